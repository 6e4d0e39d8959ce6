"""What did happen: coordinates against width, slopes with their errors, conditioning during training."""

from ._alignment import Alignment as Alignment
from ._alignment import alignment as alignment
from ._angles import directions as directions
from ._conditioning import Conditioning as Conditioning
from ._conditioning import conditioning as conditioning
from ._desiderata import Desiderata as Desiderata
from ._desiderata import desiderata as desiderata
from ._gauge import GaugeProof as GaugeProof
from ._gauge import prove_gauge as prove_gauge
from ._probe import probe as probe
from ._richness import Richness as Richness
from ._richness import richness as richness
from ._slopes import Slope as Slope
from ._slopes import log_slope as log_slope
from .check import CoordinateCheck as CoordinateCheck
from .check import Line as Line
from .check import coordinate_check as coordinate_check
from .derive import Derivation as Derivation
from .derive import Exponent as Exponent
from .derive import derive as derive
from .derive import start_table as start_table
