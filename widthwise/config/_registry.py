"""The only dictionaries from names to classes, and which settings belong to which.

Import paths are strings, so that reading a specification, and `--help`, need no JAX.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from .._errors import InputError

NETWORKS = {
    "mlp": "widthwise.network:mlp",
    "residual_mlp": "widthwise.network:residual_mlp",
    "cnn": "widthwise.network:cnn",
    "vgg": "widthwise.network:vgg",
    "residual_cnn": "widthwise.network:residual_cnn",
}
# Networks of images, the settings that are theirs alone, and where nothing is given their depths.
CONVOLUTIONAL = ("cnn", "vgg", "residual_cnn")
IMAGE_SETTINGS = ("channels", "pool", "stride", "readout", "norm")
IMAGE_DEPTHS = {"vgg": 5, "residual_cnn": 10}
ALGORITHMS = {
    "bp": "widthwise.algorithms:Backprop",
    "pc": "widthwise.algorithms:PredictiveCoding",
    "tp": "widthwise.algorithms:TargetPropagation",
    "dtp": "widthwise.algorithms:TargetPropagation",
}
FEEDBACKS = {
    "ridge": "widthwise.algorithms:RidgeFeedback",
    "tied": "widthwise.algorithms:TiedFeedback",
    "trained": "widthwise.algorithms:TrainedFeedback",
    "drl": "widthwise.algorithms:TrainedFeedback",
    "ldrl": "widthwise.algorithms:TrainedFeedback",
}
RELAXATIONS = {
    "descent": "widthwise.inference:ActivityDescent",
    "sweep": "widthwise.inference:SequentialSweep",
    "error": "widthwise.inference:ErrorDescent",
    "anderson": "widthwise.inference:Anderson",
    "gauss_newton": "widthwise.inference:GaussNewton",
    "quasi_newton": "widthwise.inference:QuasiNewton",
    "ode": "widthwise.inference:OdeFlow",
    "exact": "widthwise.inference:OutputSpaceSolve",
    "auto": "widthwise.inference:Automatic",
}
LOSSES = {"mse": "widthwise._loss:mse", "ce": "widthwise._loss:cross_entropy"}
DTYPES = ("float32", "float64")
MATMULS = ("float32", "bfloat16")
SCHEDULES = ("constant", "linear", "cosine")
MESH = ("data", "model")

# Which settings belong to predictive coding alone; given without it they would be ignored.
PREDICTIVE_CODING = (
    "relaxation",
    "iterations",
    "tolerance",
    "activity_rate",
    "look_ahead",
    "fixed_prediction",
    "sweep_step",
    "output_precision",
    "precision_cap",
    "activity_decay",
)
# Which belong to target propagation alone, and which of them to each feedback, under the name it gives them.
TARGET_PROPAGATION = (
    "feedback",
    "ridge",
    "eta_hat",
    "feedback_activation",
    "feedback_optimizer",
    "feedback_rate",
    "feedback_steps",
    "feedback_pretrain",
    "noise",
)
TRAINED = {
    "feedback_activation": "activation",
    "feedback_optimizer": "optimizer",
    "feedback_rate": "rate",
    "feedback_steps": "steps",
    "feedback_pretrain": "pretrain",
    "noise": "noise",
}
FEEDBACK_TAKES: dict[str, dict[str, str]] = {
    "ridge": {"ridge": "ridge"},
    "tied": {},
    "trained": TRAINED,
    "drl": TRAINED,
    "ldrl": TRAINED,
}
# Of these, what belongs to the rule whatever its relaxation.
WHOLE = ("output_precision", "precision_cap", "activity_decay", "fixed_prediction")
# Which of its settings each relaxation takes, under the name it gives them.
TAKES = {
    "descent": {"iterations": "iterations", "activity_rate": "rate", "tolerance": "tolerance"},
    "sweep": {"iterations": "sweeps", "sweep_step": "step", "tolerance": "tolerance"},
    "error": {
        "iterations": "iterations",
        "activity_rate": "rate",
        "tolerance": "tolerance",
        "look_ahead": "look_ahead",
    },
    "anderson": {"iterations": "iterations", "tolerance": "tolerance"},
    "gauss_newton": {"iterations": "iterations", "tolerance": "tolerance"},
    "quasi_newton": {"iterations": "iterations", "tolerance": "tolerance"},
    "ode": {"iterations": "iterations", "tolerance": "tolerance"},
    "exact": {"tolerance": "tolerance"},
    "auto": {"iterations": "iterations", "tolerance": "tolerance"},
}
# What a table is made from; a table's file fixes them all.
TABLE = (
    "optimizer",
    "gamma_bar",
    "richness",
    "gauge",
    "output_loss",
    "weight_decay_kind",
    "base_width",
    "base_depth",
    "gamma_0",
)


def found(name: str, dictionary: dict[str, str]) -> Any:
    """The object that a name stands for, imported when it is asked for."""
    module, attribute = dictionary[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def misplaced(given: Mapping[str, Any], problem: str, remedy: str) -> InputError:
    """The error for settings that would be ignored, with their values as the command line writes them.

    **Arguments:** `given`: the settings, at least one; `problem`: why they would be ignored; `remedy`: what to do.

    **Returns:** the error, to be raised by the caller; its setting and value are the first.

    >>> print(misplaced({"pool": "max", "look_ahead": True}, "not of mlp", "leave them out"))
    --pool max, --look-ahead: not of mlp: leave them out
    """
    shown = ", ".join(
        _flag(name) if value is True else f"{_flag(name)} {_text(value)}" for name, value in given.items()
    )
    first, value = next(iter(given.items()))
    return InputError(f"{shown}: {problem}", setting=_flag(first), value=value, remedy=remedy)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
