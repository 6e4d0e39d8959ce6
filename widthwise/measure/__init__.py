"""What did happen: coordinates against width, slopes with their errors, conditioning during training."""

from ._alignment import Alignment as Alignment
from ._alignment import alignment as alignment
from ._conditioning import Conditioning as Conditioning
from ._conditioning import conditioning as conditioning
from ._coordinates import CoordinateCheck as CoordinateCheck
from ._coordinates import Line as Line
from ._coordinates import coordinate_check as coordinate_check
from ._derive import Derivation as Derivation
from ._derive import derive as derive
from ._derived_table import start_table as start_table
from ._exponent import Exponent as Exponent
from ._slopes import Slope as Slope
from ._slopes import log_slope as log_slope
