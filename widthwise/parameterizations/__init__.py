"""How everything scales: exact exponents of width and depth, role by role. Standard library only."""

from ._file import from_json as from_json
from ._file import load as load
from ._file import save as save
from ._file import table_content as table_content
from ._file import to_json as to_json
from ._gauge import GAUGES as GAUGES
from ._gauge import Move as Move
from ._power import ONE as ONE
from ._power import Power as Power
from ._power import Rational as Rational
from ._power import Size as Size
from ._power import fraction as fraction
from ._role import Role as Role
from ._scaling import Scaling as Scaling
from ._scaling import growth as growth
from ._scaling import width_exponent as width_exponent
from ._table import ALGORITHMS as ALGORITHMS
from ._table import NAMES as NAMES
from ._table import OPTIMIZERS as OPTIMIZERS
from ._table import OUTPUT_LOSSES as OUTPUT_LOSSES
from ._table import OWN as OWN
from ._table import TARGET as TARGET
from ._table import WEIGHT_DECAY_KINDS as WEIGHT_DECAY_KINDS
from ._table import Parameterization as Parameterization
from ._table import parameterization as parameterization
from ._table import with_decay as with_decay
