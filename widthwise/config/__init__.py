"""What a run is, as data, and the objects that it stands for; read without importing JAX."""

from ._build import algorithm_of as algorithm_of
from ._build import build_of as build_of
from ._build import data_of as data_of
from ._build import identity as identity
from ._build import label_of as label_of
from ._build import optimizer_settings as optimizer_settings
from ._build import schedule_settings as schedule_settings
from ._build import state_of as state_of
from ._build import table_of as table_of
from ._registry import ALGORITHMS as ALGORITHMS
from ._registry import CONVOLUTIONAL as CONVOLUTIONAL
from ._registry import FEEDBACKS as FEEDBACKS
from ._registry import LOSSES as LOSSES
from ._registry import MATMULS as MATMULS
from ._registry import NETWORKS as NETWORKS
from ._registry import PREDICTIVE_CODING as PREDICTIVE_CODING
from ._registry import RELAXATIONS as RELAXATIONS
from ._registry import SCHEDULES as SCHEDULES
from ._registry import TABLE as TABLE
from ._registry import TAKES as TAKES
from ._registry import TARGET_PROPAGATION as TARGET_PROPAGATION
from ._registry import found as found
from ._registry import misplaced as misplaced
from ._spec import Run as Run
from ._spec import checked as checked
from ._spec import mesh_of as mesh_of
