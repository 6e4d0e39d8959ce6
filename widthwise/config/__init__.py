"""What a run is, as data, and the objects that it stands for; read without importing JAX."""

from ._names import ALGORITHMS as ALGORITHMS
from ._names import CONVOLUTIONAL as CONVOLUTIONAL
from ._names import FEEDBACKS as FEEDBACKS
from ._names import LOSSES as LOSSES
from ._names import MATMULS as MATMULS
from ._names import NETWORKS as NETWORKS
from ._names import PREDICTIVE_CODING as PREDICTIVE_CODING
from ._names import RELAXATIONS as RELAXATIONS
from ._names import SCHEDULES as SCHEDULES
from ._names import TABLE as TABLE
from ._names import TAKES as TAKES
from ._names import TARGET_PROPAGATION as TARGET_PROPAGATION
from ._names import flags as flags
from ._names import found as found
from ._objects import algorithm_of as algorithm_of
from ._objects import build_of as build_of
from ._objects import data_of as data_of
from ._objects import identity as identity
from ._objects import label_of as label_of
from ._objects import optimizer_settings as optimizer_settings
from ._objects import state_of as state_of
from ._objects import table_of as table_of
from ._run import Run as Run
from ._run import checked as checked
from ._run import mesh_of as mesh_of
