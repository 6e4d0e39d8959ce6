"""widthwise: local learning rules that keep their best hyperparameters as networks grow wider and deeper.

Tune small, transfer zero-shot to large, and show with evidence that the optimum did not move. Public names are
resolved when they are first used, so that `import widthwise` and `widthwise --help` do not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name lives: the whole public API on one screen.
_PUBLIC = {
    "parameterizations": ("Parameterization", "Role", "UpdateRule", "load", "parameterization", "save"),
    "network": (
        "Built",
        "Network",
        "cnn",
        "forward",
        "inputs",
        "mlp",
        "own_network",
        "residual_cnn",
        "residual_mlp",
        "vgg",
    ),
    "inference": (
        "AbstractRelaxation",
        "ActivityDescent",
        "Anderson",
        "Automatic",
        "ErrorDescent",
        "GaussNewton",
        "OdeFlow",
        "OutputSpaceSolve",
        "QuasiNewton",
        "SequentialSweep",
        "Settled",
    ),
    "algorithms": (
        "AbstractAlgorithm",
        "AbstractFeedback",
        "Backprop",
        "Batch",
        "GaussNewtonTargets",
        "Inference",
        "Learner",
        "PredictiveCoding",
        "RidgeFeedback",
        "Stepped",
        "TargetPropagation",
        "TiedFeedback",
        "TrainedFeedback",
        "local_gradients",
    ),
    "training": (
        "DivergedWarning",
        "UnsettledWarning",
        "make_step",
        "optimizer",
        "scale_by_parameterization",
        "train",
    ),
    "measure": (
        "alignment",
        "coordinate_check",
        "derive",
        "desiderata",
        "directions",
        "prove_gauge",
        "richness",
    ),
    "sweep": ("transfer", "tune"),
    "_loss": ("cross_entropy", "mse"),
    "_errors": ("InputError",),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}
_MODULES = ("data", "theory", "report")

__all__ = [
    *_HOME,
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from . import data as data
    from . import report as report
    from . import theory as theory
    from ._errors import InputError as InputError
    from ._loss import cross_entropy as cross_entropy
    from ._loss import mse as mse
    from .algorithms import AbstractAlgorithm as AbstractAlgorithm
    from .algorithms import AbstractFeedback as AbstractFeedback
    from .algorithms import Backprop as Backprop
    from .algorithms import Batch as Batch
    from .algorithms import GaussNewtonTargets as GaussNewtonTargets
    from .algorithms import Inference as Inference
    from .algorithms import Learner as Learner
    from .algorithms import PredictiveCoding as PredictiveCoding
    from .algorithms import RidgeFeedback as RidgeFeedback
    from .algorithms import Stepped as Stepped
    from .algorithms import TargetPropagation as TargetPropagation
    from .algorithms import TiedFeedback as TiedFeedback
    from .algorithms import TrainedFeedback as TrainedFeedback
    from .algorithms import local_gradients as local_gradients
    from .inference import AbstractRelaxation as AbstractRelaxation
    from .inference import ActivityDescent as ActivityDescent
    from .inference import Anderson as Anderson
    from .inference import Automatic as Automatic
    from .inference import ErrorDescent as ErrorDescent
    from .inference import GaussNewton as GaussNewton
    from .inference import OdeFlow as OdeFlow
    from .inference import OutputSpaceSolve as OutputSpaceSolve
    from .inference import QuasiNewton as QuasiNewton
    from .inference import SequentialSweep as SequentialSweep
    from .inference import Settled as Settled
    from .measure import alignment as alignment
    from .measure import coordinate_check as coordinate_check
    from .measure import derive as derive
    from .measure import desiderata as desiderata
    from .measure import directions as directions
    from .measure import prove_gauge as prove_gauge
    from .measure import richness as richness
    from .network import Built as Built
    from .network import Network as Network
    from .network import cnn as cnn
    from .network import forward as forward
    from .network import inputs as inputs
    from .network import mlp as mlp
    from .network import own_network as own_network
    from .network import residual_cnn as residual_cnn
    from .network import residual_mlp as residual_mlp
    from .network import vgg as vgg
    from .parameterizations import Parameterization as Parameterization
    from .parameterizations import Role as Role
    from .parameterizations import UpdateRule as UpdateRule
    from .parameterizations import load as load
    from .parameterizations import parameterization as parameterization
    from .parameterizations import save as save
    from .sweep import transfer as transfer
    from .sweep import tune as tune
    from .training import DivergedWarning as DivergedWarning
    from .training import UnsettledWarning as UnsettledWarning
    from .training import make_step as make_step
    from .training import optimizer as optimizer
    from .training import scale_by_parameterization as scale_by_parameterization
    from .training import train as train
