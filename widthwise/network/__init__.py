"""What is trained: a chain of stages, stacked along depth, scaled once when it is built."""

from ._build import STATES as STATES
from ._build import Built as Built
from ._build import LeafScaling as LeafScaling
from ._build import mlp as mlp
from ._build import residual_mlp as residual_mlp
from ._chain import Network as Network
from ._chain import Segment as Segment
from ._chain import States as States
from ._chain import above as above
from ._chain import below as below
from ._chain import each as each
from ._chain import forward as forward
from ._chain import head as head
from ._chain import inputs as inputs
from ._chain import perturbed as perturbed
from ._chain import pull as pull
from ._chain import pullback as pullback
from ._chain import square_norm as square_norm
from ._chain import stage_at as stage_at
from ._chain import sweep as sweep
from ._layer import ACTIVATIONS as ACTIVATIONS
from ._layer import Linear as Linear
from ._layer import activation as activation
from ._stage import AbstractStage as AbstractStage
from ._stage import Dense as Dense
from ._stage import State as State
