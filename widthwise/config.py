"""What a run is, as data: frozen, validated, readable as JSON, and the only dictionaries from names to classes.

Import paths are strings, so that reading a specification, and `--help`, need no JAX.
"""

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import Field

from ._errors import InputError, unknown
from .parameterization import NAMES, TARGET, Parameterization, from_json, parameterization, to_json

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from .algorithms import AbstractAlgorithm
    from .data import Dataset
    from .network import Built

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
    "error": {"iterations": "iterations", "activity_rate": "rate", "tolerance": "tolerance"},
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
)
ALL = "train transfer tune check table gauge"
RUN = "train transfer tune"
NET = "train transfer tune check derive gauge"
DERIVE = " derive"
THEORY = " theory"


def _field(default: Any, verbs: str, description: str) -> Any:
    return Field(default, description=description, json_schema_extra={"verbs": verbs})


class Run(pydantic.BaseModel):
    """One run, but for its rate and seed: everything that its numbers depend on.

    None stands for a setting not given; where the setting applies, the default named in its description holds.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: str = _field(
        "digits",
        RUN + THEORY,
        "digits, fashion_mnist, mnist, cifar10, cifar100, linear_teacher, mlp_teacher, or a file.npz",
    )
    data_dir: str | None = _field(None, RUN + THEORY, "the only folder to look in for the data's files")
    examples: int | None = _field(None, RUN + THEORY, "use the first N training examples")
    image_size: int | None = _field(None, RUN, "shrink images to N rows of pixels, by averaging whole blocks")
    network: str = _field("mlp", NET + THEORY, "mlp, residual_mlp, cnn, vgg or residual_cnn")
    width: int = _field(128, NET + THEORY, "units of each hidden layer; channels, of vgg the first layer's")
    depth: int = _field(3, NET + THEORY, "weight layers")
    channels: str | None = _field(None, NET, "of vgg, with M where it pools, like 16,M,32; --width scales them all")
    pool: str | None = _field(None, NET, "2 x 2 pooling of images: none, avg or max (vgg max, others none)")
    stride: int | None = _field(
        None, NET, "of convolutions (cnn: each, 2; residual_cnn: the first, 2; vgg: the first, 1)"
    )
    readout: str | None = _field(None, NET, "of images: flatten or gap, the mean over pixels (residual_cnn gap)")
    norm: str | None = _field(None, NET, "of images, before activations: none, layer or batch (none)")
    activation: str = _field("tanh", NET + THEORY, "linear, tanh, relu, gelu or silu")
    bias: bool = _field(False, NET + THEORY, "add biases")
    state: str | None = _field(
        None, NET, "states are pre- or post-activations (pre; of tp and dtp without skips, post)"
    )
    gain: float = _field(1.0, NET + THEORY, "factor on the initial std of weights that see activations")
    algorithm: str = _field("bp", ALL, "bp, pc, tp or dtp")
    parameterization: str = _field("mup", ALL + THEORY, f"{', '.join(NAMES)}, or a table's JSON file")
    table: dict[str, Any] | None = Field(None, description="the content of the table's file")
    gamma_bar: str | None = _field(
        None, ALL + THEORY + DERIVE, "exponent of the output precision (0; -1 is Gauss-Newton's end)"
    )
    richness: str | None = _field(
        None, ALL + THEORY + DERIVE, "r from 0 (lazy) to 1/2 (rich), with parameterization richness (derive: 1/2)"
    )
    gauge: str | None = _field(None, ALL, "stp, mup or rescaling (the name's own)")
    optimizer: str | None = _field(None, ALL + DERIVE, "sgd or adam (sgd)")
    momentum: float = _field(0.0, "train transfer tune check gauge", "of sgd")
    epsilon: float | None = _field(None, NET, "of adam, at the base size (1e-8; check, derive: 1e-12)")
    weight_decay: float = _field(0.0, RUN, "at the base size")
    weight_decay_kind: str | None = _field(None, "train transfer tune table gauge", "coupled, lr or independent (lr)")
    loss: str = _field("mse", NET, "mse or ce")
    output_loss: str | None = _field(None, ALL + DERIVE, "weighted or unweighted by the output precision (weighted)")
    output_precision: float | None = _field(None, NET + THEORY, "gamma' of predictive coding (1)")
    precision_cap: float | None = _field(None, NET, "most curvature that an example may meet; lowers its precision")
    activity_decay: float | None = _field(None, NET, "alpha of alpha/2 |h|^2, added to the energy of hidden activities")
    relaxation: str | None = _field(
        None, NET, "auto, error, quasi_newton, anderson, gauss_newton, exact, descent, sweep or ode (error)"
    )
    iterations: int | None = _field(
        None, NET + THEORY, "of inference (auto 40, error 12, descent 20, sweep 1; theory 200)"
    )
    tolerance: float | None = _field(None, NET + THEORY, "of the residual (0.01)")
    activity_rate: float | None = _field(None, NET, "step of inference (error: from the curvature, descent: 0.2)")
    fixed_prediction: bool = _field(False, NET, "predictions stay at the forward pass")
    sweep_step: float | None = _field(None, NET, "step s_l of each layer in a sweep (1/gamma_l)")
    feedback: str | None = _field(None, NET, "of tp and dtp: ridge, trained, drl, ldrl or tied (ridge)")
    ridge: float | None = _field(None, NET, "mu' of the feedback ridge, times batch and fan-in (0.001)")
    eta_hat: float | None = _field(None, NET, "step of the output's target (dtp 0.1, tp 1)")
    feedback_activation: str | None = _field(None, NET, "of trained feedback (linear)")
    feedback_optimizer: str | None = _field(None, NET, "of trained feedback: sgd or adam (sgd)")
    feedback_rate: float | None = _field(None, NET, "base rate of trained feedback (0.1)")
    feedback_steps: int | None = _field(None, NET, "updates of trained feedback a batch (1)")
    feedback_pretrain: int | None = _field(None, NET, "first training steps that change feedback alone (0)")
    noise: float | None = _field(None, NET, "standard deviation of what trained feedback learns from (0.1)")
    schedule: str = _field("constant", RUN, "of the rate: constant, linear or cosine, to 0")
    steps: int | None = _field(None, NET, "training steps (transfer, tune 40, check 4, derive 1)")
    epochs: int | None = _field(None, RUN, "training epochs, instead of steps")
    batch_size: int = _field(64, RUN + THEORY, "examples in a batch")
    base_width: int | None = _field(None, ALL + THEORY + DERIVE, "width at which all parameterizations coincide (64)")
    base_depth: int | None = _field(None, ALL + THEORY, "depth at which they coincide (8)")
    devices: int = _field(1, "train", "that share each batch; on a CPU, cores")
    mesh: str | None = _field(None, "train", "data=2,model=2: devices that share each batch, times the width")
    validation: int | None = _field(None, "train", "hold out the last N training examples")
    dtype: str = _field("float32", NET + THEORY, "float32 or float64")
    matmul: str = _field("float32", NET, "products in float32, or of factors rounded to bfloat16")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _image_sizes(cls, values: Any) -> Any:
        """Depth and width that a network of images has where none is given; `channels` say both."""
        if not isinstance(values, dict):
            return values
        settled = {}
        network = values.get("network")
        if isinstance(values.get("channels"), str) and network == "vgg":
            convolutions = [part for part in _channels(values["channels"]) if isinstance(part, int)]
            settled = {"depth": len(convolutions) + 1, "width": convolutions[0]}
            if values.get("depth", settled["depth"]) != settled["depth"]:
                raise InputError(
                    f"--depth {values['depth']}: --channels {values['channels']} have {len(convolutions)} convolutions "
                    f"and a readout, a depth of {settled['depth']}; leave one of them out"
                )
        elif network in IMAGE_DEPTHS:
            settled = {"depth": IMAGE_DEPTHS[network]}
        return settled | values

    @pydantic.model_validator(mode="after")
    def _names(self) -> "Run":
        for kind, value, options in (
            ("network", self.network, NETWORKS),
            ("algorithm", self.algorithm, ALGORITHMS),
            ("loss", self.loss, LOSSES),
            ("dtype", self.dtype, DTYPES),
            ("matmul", self.matmul, MATMULS),
            ("schedule", self.schedule, SCHEDULES),
            ("relaxation", self.relaxation, RELAXATIONS),
            ("feedback", self.feedback, FEEDBACKS),
        ):
            if value is not None and value not in options:
                raise unknown(kind, value, options)
        given = {name: getattr(self, name) for name in IMAGE_SETTINGS if getattr(self, name) is not None}
        if given and self.network not in CONVOLUTIONAL:
            raise InputError(
                f"{_flags(given)}: of networks of images ({', '.join(CONVOLUTIONAL)}), not of {self.network}"
            )
        if self.channels is not None and self.network != "vgg":
            raise InputError(f"--channels {self.channels}: of vgg, not of {self.network}; use --width")
        if self.mesh is not None and self.devices != 1:
            raise InputError(f"--devices {self.devices} and --mesh {self.mesh}: give one of them")
        mesh_of(self)
        if self.matmul == "bfloat16" and self.dtype == "float64":
            raise InputError("--matmul bfloat16 rounds what --dtype float64 keeps: leave one of them out")
        return self


def checked(values: dict[str, Any]) -> Run:
    """A run from plain values.

    **Raises:** `InputError` that names the setting, the value received and what was expected.
    """
    try:
        return Run(**values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        name = str(first["loc"][0]) if first["loc"] else "settings"
        if first["type"] == "extra_forbidden":
            raise unknown("setting", name, Run.model_fields) from None
        raise InputError(f"{name} is {first['input']!r}: {first['msg'].lower()}") from None


def found(name: str, dictionary: dict[str, str]) -> Any:
    """The object that a name stands for, imported when it is asked for."""
    module, attribute = dictionary[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def table_of(run: Run) -> Parameterization:
    """The run's parameterization, from its name or from the table's file.

    **Raises:** `InputError` where a file and settings of the table are both given.
    """
    given = {name: getattr(run, name) for name in TABLE if getattr(run, name) is not None}
    if run.table is None:
        return parameterization(run.parameterization, algorithm=run.algorithm, **given)
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(f"the file {run.parameterization} fixes the table: {flags} cannot be given beside it")
    return from_json(run.table, f"table file {run.parameterization}")


def build_of(
    run: Run, table: Parameterization, in_size: int, out_size: int, image_shape: tuple[int, ...] | None = None
) -> "Callable[[PRNGKeyArray], Built]":
    """The run's network, as a function of a random key.

    **Raises:** `InputError` for a network of images where the data has none.
    """
    maker = found(run.network, NETWORKS)
    reads: Any = in_size
    own: dict[str, Any] = {"width": run.width}
    if run.network in CONVOLUTIONAL:
        if image_shape is None:
            raise InputError(f"--network {run.network} reads images, and {run.data} has none: use mlp or residual_mlp")
        reads = image_shape
        own |= {name: getattr(run, name) for name in IMAGE_SETTINGS if getattr(run, name) is not None}
    if run.network == "vgg":
        own["channels"] = own.pop("width") if run.channels is None else _scaled(run.channels, own.pop("width"))

    def build(key: "PRNGKeyArray") -> "Built":
        return maker(
            reads,
            out_size=out_size,
            depth=run.depth,
            activation=run.activation,
            table=table,
            key=key,
            bias=run.bias,
            state=state_of(run),
            gain=run.gain,
            dtype=run.dtype,
            matmul=run.matmul,
            **own,
        )

    return build


def _channels(text: str) -> list[int | str]:
    """The list that `--channels` writes.

    >>> _channels("16,M,32")
    [16, 'M', 32]
    """
    parts: list[int | str] = []
    for part in (part.strip() for part in text.split(",")):
        if part != "M" and not (part.isascii() and part.isdigit() and int(part) > 0):
            raise InputError(f"--channels {text}: {part!r} is neither a number of at least 1 nor M, where it pools")
        parts.append(part if part == "M" else int(part))
    if parts[0] == "M":
        raise InputError(f"--channels {text}: M follows the convolution whose output it pools")
    return parts


def _scaled(text: str, width: int) -> list[int | str]:
    """The channels when the first layer has `width` of them."""
    parts = _channels(text)
    first = parts[0]
    for part in parts:
        if isinstance(part, int) and isinstance(first, int) and part * width % first:
            raise InputError(f"--width {width}: --channels {text} times {width}/{first} are not whole numbers")
    return [part if isinstance(part, str) else part * width // int(first) for part in parts]


def state_of(run: Run) -> str:
    """Whether states are pre- or post-activations: where not given, as the algorithm's papers have it."""
    if run.state is not None:
        return run.state
    return "post" if run.algorithm in TARGET and not run.network.startswith("residual") else "pre"


def algorithm_of(run: Run, table: Parameterization) -> "AbstractAlgorithm":
    """The run's algorithm.

    **Raises:** `InputError` for settings that it, or its relaxation, does not take.
    """
    given = _given(run, PREDICTIVE_CODING)
    targets = _given(run, TARGET_PROPAGATION)
    rule = found(run.algorithm, ALGORITHMS)
    if given and run.algorithm != "pc":
        raise InputError(f"{_flags(given)}: of predictive coding (--algorithm pc), not of {run.algorithm}")
    if targets and run.algorithm not in TARGET:
        raise InputError(f"{_flags(targets)}: of target propagation (--algorithm dtp or tp), not of {run.algorithm}")
    if run.algorithm in TARGET:
        return _target_propagation(run, rule, targets)
    if run.algorithm != "pc":
        return rule()
    relaxation = given.pop("relaxation", "error")
    whole = {name: given.pop(name) for name in WHOLE if name in given}
    takes = TAKES[relaxation]
    for name in given:
        if name not in takes:
            flag = "--" + name.replace("_", "-")
            users = ", ".join(kind for kind, settings in TAKES.items() if name in settings)
            raise InputError(f"{flag}: the relaxation {relaxation!r} has none; it belongs to {users}")
    if relaxation == "exact" and (run.activation != "linear" or run.loss != "mse" or run.fixed_prediction):
        raise InputError(
            f"the relaxation 'exact' needs linear activations, the loss mse and free predictions; got "
            f"{run.activation}, {run.loss}{', fixed' if run.fixed_prediction else ''}: use --relaxation error"
        )
    settle = found(relaxation, RELAXATIONS)(**{takes[name]: value for name, value in given.items()})
    return rule(settle, output_loss=table.output_loss, **whole)


def _given(run: Run, names: tuple[str, ...]) -> dict[str, Any]:
    """The settings among `names` that were given; by identity, as 0 equals False."""
    values = {name: getattr(run, name) for name in names}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _flags(given: dict[str, Any]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in given)


def _target_propagation(run: Run, rule: Any, given: dict[str, Any]) -> "AbstractAlgorithm":
    """TP or DTP with its feedback."""
    feedback = given.pop("feedback", "ridge")
    target_step = given.pop("eta_hat", None)
    takes = FEEDBACK_TAKES[feedback]
    for name in given:
        if name not in takes:
            users = ", ".join(kind for kind, settings in FEEDBACK_TAKES.items() if name in settings)
            raise InputError(f"{_flags({name: None})}: the feedback {feedback!r} has none; it belongs to {users}")
    learns = {"learns": feedback} if feedback in ("drl", "ldrl") else {}
    held = found(feedback, FEEDBACKS)(**learns, **{takes[name]: value for name, value in given.items()})
    return rule(held, difference=run.algorithm == "dtp", target_step=target_step)


def mesh_of(run: Run) -> dict[str, int] | None:
    """How many devices share the batch and the width, None where no mesh was given.

    **Raises:** `InputError` for text that is no list of axes and sizes.

    >>> mesh_of(Run(mesh="data=2,model=4"))
    {'data': 2, 'model': 4}
    """
    if run.mesh is None:
        return None
    pairs = [part.split("=") for part in run.mesh.split(",")]
    good = all(len(pair) == 2 and pair[0] in MESH and re.fullmatch("[1-9][0-9]{0,5}", pair[1]) for pair in pairs)
    if not good or len({pair[0] for pair in pairs}) < len(pairs):
        raise InputError(
            f"--mesh {run.mesh}: expected axes data and model with their numbers of devices, as data=2,model=2"
        )
    return {axis: int(size) for axis, size in pairs}


def data_of(run: Run) -> "Dataset":
    """The run's data.

    **Raises:** `InputError` where it is missing or corrupt, and for a folder that the data set does not read or an
    image size that it cannot have.
    """
    data = importlib.import_module("widthwise.data")
    if run.data_dir is not None and run.data not in data.SOURCES:
        users = ", ".join(data.SOURCES)
        raise InputError(f"--data-dir {run.data_dir}: {run.data} reads no folder; it is for {users}")
    return data.load(run.data, data_dir=run.data_dir, examples=run.examples, image_size=run.image_size)


def optimizer_settings(run: Run, table: Parameterization) -> dict[str, float]:
    """Momentum, epsilon and decay, as `training.optimizer` takes them.

    **Raises:** `InputError` for settings that would be ignored.
    """
    if run.weight_decay_kind is not None and not run.weight_decay:
        raise InputError(f"--weight-decay-kind {run.weight_decay_kind} needs --weight-decay above 0")
    if run.epsilon is not None and table.optimizer != "adam":
        raise InputError(f"--epsilon {run.epsilon} is of adam (--optimizer adam), not of {table.optimizer}")
    settings = {"momentum": run.momentum, "weight_decay": run.weight_decay}
    return settings if run.epsilon is None else settings | {"epsilon": run.epsilon}


def identity(run: Run, digest: str, table: Parameterization) -> dict[str, Any]:
    """What a run's numbers depend on, as plain data: its settings, its data's content, its whole table.

    Where the data's files lie does not change it.
    """
    settings = run.model_dump(exclude={"data_dir", "table"})
    return {"settings": settings, "data_digest": digest, "table": to_json(table)}
