"""The report of a transfer sweep: figures, tables and one self-contained HTML page from `transfer.json`."""

from ._html import FIGURES as FIGURES
from ._html import render as render
from ._html import write as write
from ._save import SUFFIXES as SUFFIXES
from ._save import save as save
from ._save import svg as svg
from ._tables import Table as Table
from ._tables import failures_table as failures_table
from ._tables import optima_table as optima_table
from ._tables import scaling_table as scaling_table
from ._tables import settings_table as settings_table
from ._tables import settled_table as settled_table
from ._tables import summary_table as summary_table
from ._text_table import summary_text as summary_text
from ._transfer_result import TransferResult as TransferResult
from ._verdict import Verdict as Verdict
from ._verdict import verdicts as verdicts
from ._verdict import verifications as verifications
from .figures import activity_figure as activity_figure
from .figures import conditioning_figure as conditioning_figure
from .figures import drift_figure as drift_figure
from .figures import map_figure as map_figure
from .figures import measured_figure as measured_figure
from .figures import plane_figure as plane_figure
from .figures import slopes_figure as slopes_figure
from .figures import transfer_figure as transfer_figure
