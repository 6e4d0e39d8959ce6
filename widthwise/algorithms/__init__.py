"""How error reaches each layer: one class an algorithm, one weight gradient for all."""

from ._backprop import Backprop as Backprop
from ._base import AbstractAlgorithm as AbstractAlgorithm
from ._base import Batch as Batch
from ._base import Inference as Inference
from ._base import Learner as Learner
from ._base import Metrics as Metrics
from ._base import Stepped as Stepped
from ._base import Update as Update
from ._base import cosine as cosine
from ._base import median as median
from ._gauss_newton_targets import GaussNewtonTargets as GaussNewtonTargets
from ._local_regression import local_energy as local_energy
from ._local_regression import local_gradients as local_gradients
from ._predictive_coding import PredictiveCoding as PredictiveCoding
from ._target_propagation import TargetPropagation as TargetPropagation
from .feedback import LEARNS as LEARNS
from .feedback import AbstractFeedback as AbstractFeedback
from .feedback import RidgeFeedback as RidgeFeedback
from .feedback import TiedFeedback as TiedFeedback
from .feedback import TrainedFeedback as TrainedFeedback
from .feedback import ridge_map as ridge_map
