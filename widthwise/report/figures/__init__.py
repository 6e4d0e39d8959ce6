"""One file a figure of the report."""

from ._at_the_best_rate import Measure as Measure
from ._at_the_best_rate import measured as measured
from ._at_the_best_rate import measured_figure as measured_figure
from ._best_rate_against_size import KINDS as KINDS
from ._best_rate_against_size import drift_figure as drift_figure
from ._best_rate_against_size import drift_words as drift_words
from ._best_rate_against_size import looks as looks
from ._check_slopes import slopes_figure as slopes_figure
from ._conditioning import conditioning_figure as conditioning_figure
from ._loss_against_rate import loss_range as loss_range
from ._loss_against_rate import transfer_figure as transfer_figure
from ._loss_map import loss_map as loss_map
from ._loss_map import map_figure as map_figure
from ._plane import plane_figure as plane_figure
from ._two_rates import activity_figure as activity_figure
from ._two_rates import marked as marked
from ._two_rates import surfaces as surfaces
