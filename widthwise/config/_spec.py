"""What a run is, as data: frozen, validated, readable as JSON."""

import re
from typing import Any

import pydantic
from pydantic import Field

from .._errors import InputError, unknown
from ..parameterizations import FEEDBACK_OPTIMIZERS, NAMES, OPTIMIZERS, OWN, UPDATE_RULES
from ._registry import (
    ALGORITHMS,
    CONVOLUTIONAL,
    DTYPES,
    FEEDBACKS,
    IMAGE_DEPTHS,
    IMAGE_SETTINGS,
    LOSSES,
    MATMULS,
    MESH,
    NETWORKS,
    RELAXATIONS,
    SCHEDULES,
    misplaced,
)

# The verbs of the command line that take a setting.
ALL = "train transfer tune check table gauge"
RUN = "train transfer tune"
NET = "train transfer tune check derive gauge"
DERIVE = " derive"
THEORY = " theory"


def of_setting(name: str) -> str:
    """The optimizers that have a setting."""
    return ", ".join(rule.name for rule in UPDATE_RULES.values() if name in rule.settings)


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
        "digits, fashion_mnist, mnist, cifar10, cifar100, linear_teacher, mlp_teacher, or a file.npz or file.csv",
    )
    data_dir: str | None = _field(None, RUN + THEORY, "the only folder to look in for the data's files")
    examples: int | None = _field(None, RUN + THEORY, "use N training examples, drawn by a fixed permutation")
    target: str | None = _field(None, RUN + THEORY, "of a .csv: the column that is learned (the last)")
    task: str | None = _field(None, RUN + THEORY, "of your own file: classification or regression (as its targets say)")
    classes: int | None = _field(None, RUN + THEORY, "of your own file: how many classes there are (as labels say)")
    standardize: bool = _field(False, RUN + THEORY, "of your own file: shift and scale every feature")
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
    algorithm: str = _field("bp", ALL, "bp, pc, tp or dtp; a table's file says its own")
    parameterization: str = _field("mup", ALL + THEORY, f"{', '.join(NAMES)}, or a table's JSON file")
    table: dict[str, Any] | None = Field(None, description="the content of the table's file")
    rule: str | None = Field(None, description="name and digest of an algorithm of one's own; nothing imports it")
    gamma_bar: str | None = _field(
        None, ALL + THEORY + DERIVE, "exponent of the output precision (0; -1 is Gauss-Newton's end)"
    )
    richness: str | None = _field(
        None, ALL + THEORY + DERIVE, "r from 0 (lazy) to 1/2 (rich), with parameterization richness (derive: 1/2)"
    )
    gauge: str | None = _field(None, ALL, "stp, mup or rescaling (the name's own)")
    optimizer: str | None = _field(None, ALL + DERIVE, f"{', '.join(OPTIMIZERS)} (sgd)")
    momentum: float = _field(0.0, "train transfer tune check gauge", f"of {of_setting('momentum')}")
    epsilon: float | None = _field(
        None, NET, f"of {of_setting('epsilon')}, at the base size (1e-8; check, derive: 1e-12)"
    )
    clip: float | None = _field(None, RUN, "largest norm of the gradient, at the base size (none)")
    weight_decay: float = _field(0.0, RUN, "at the base size")
    weight_decay_kind: str | None = _field(None, "train transfer tune table gauge", "coupled, lr or independent (lr)")
    loss: str = _field("mse", NET, "mse or ce")
    output_loss: str | None = _field(None, ALL + DERIVE, "weighted or unweighted by the output precision (weighted)")
    output_precision: float | None = _field(None, NET + THEORY, "gamma' of predictive coding (1)")
    precision_cap: float | None = _field(
        None, NET, "most curvature that an example's output error may meet; lowers its precision"
    )
    activity_decay: float | None = _field(None, NET, "alpha of alpha/2 |h|^2, added to the energy of hidden activities")
    relaxation: str | None = _field(
        None, NET + THEORY, "auto, error, quasi_newton, anderson, gauss_newton, exact, descent, sweep or ode (error)"
    )
    iterations: int | None = _field(
        None, NET + THEORY, "of inference (auto 40, error 12, descent 20, sweep 1; theory 200)"
    )
    tolerance: float | None = _field(None, NET + THEORY, "of the residual (0.01)")
    activity_rate: float | None = _field(None, NET, "step of inference (error: from the curvature, descent: 0.2)")
    look_ahead: bool = _field(False, NET, "of error: at the end the errors take one more step, without a sweep")
    fixed_prediction: bool = _field(False, NET, "predictions stay at the forward pass")
    sweep_step: float | None = _field(None, NET, "step s_l of each layer in a sweep (1/gamma_l)")
    feedback: str | None = _field(None, NET, "of tp and dtp: ridge, trained, drl, ldrl or tied (ridge)")
    ridge: float | None = _field(None, NET, "mu' of the feedback ridge, times batch and fan-in (0.001)")
    eta_hat: float | None = _field(None, NET, "step of the output's target (dtp 0.1, tp 1)")
    feedback_activation: str | None = _field(None, NET, "of trained feedback (linear)")
    feedback_optimizer: str | None = _field(None, NET, f"of trained feedback: {', '.join(FEEDBACK_OPTIMIZERS)} (sgd)")
    feedback_rate: float | None = _field(None, NET, "base rate of trained feedback (0.1)")
    feedback_steps: int | None = _field(None, NET, "updates of trained feedback a batch (1)")
    feedback_pretrain: int | None = _field(None, NET, "first training steps that change feedback alone (0)")
    noise: float | None = _field(None, NET, "standard deviation of what trained feedback learns from (0.1)")
    schedule: str = _field("constant", RUN, "of the rate: constant, linear or cosine, to 0")
    warmup: int = _field(0, RUN, "first steps over which the rate rises to its full size")
    steps: int | None = _field(None, NET, "training steps (transfer, tune 40, check 4, derive 1)")
    epochs: int | None = _field(None, RUN, "training epochs, instead of steps")
    batch_size: int = _field(64, RUN + THEORY, "examples in a batch")
    base_width: int | None = _field(None, ALL + THEORY + DERIVE, "width at which all parameterizations coincide (64)")
    base_depth: int | None = _field(None, ALL + THEORY, "depth at which they coincide (8)")
    gamma_0: float | None = _field(
        None, ALL + THEORY, "prefactor of the richness: features move so many times as much (1)"
    )
    devices: int = _field(1, "train", "that share each batch; on a CPU, cores")
    mesh: str | None = _field(None, "train", "data=2,model=2: devices that share each batch, times the width")
    validation: int | None = _field(None, "train", "hold out N training examples, drawn by a fixed permutation")
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
            convolutions = [part for part in channel_list(values["channels"]) if isinstance(part, int)]
            settled = {"depth": len(convolutions) + 1, "width": convolutions[0]}
            if values.get("depth", settled["depth"]) != settled["depth"]:
                raise InputError(
                    f"--depth {values['depth']}: --channels {values['channels']} have {len(convolutions)} "
                    f"convolutions and a readout, a depth of {settled['depth']}",
                    setting="--depth",
                    value=values["depth"],
                    remedy="leave one of them out",
                )
        elif network in IMAGE_DEPTHS:
            settled = {"depth": IMAGE_DEPTHS[network]}
        return settled | values

    @pydantic.model_validator(mode="before")
    @classmethod
    def _algorithm_of_the_file(cls, values: Any) -> Any:
        """Where none is given, the algorithm is the one that the table's file was made for."""
        table = values.get("table") if isinstance(values, dict) else None
        made_for = table.get("algorithm") if isinstance(table, dict) else None
        # Any other is no table, which whoever reads the table says.
        return {"algorithm": made_for} | values if made_for in (*ALGORITHMS, OWN) else values

    @pydantic.model_validator(mode="after")
    def _names(self) -> "Run":
        for kind, value, options in (
            ("network", self.network, NETWORKS),
            ("algorithm", self.algorithm, (*ALGORITHMS, OWN)),
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
            raise misplaced(
                given, f"of networks of images ({', '.join(CONVOLUTIONAL)}), not of {self.network}", "leave it out"
            )
        if self.channels is not None and self.network != "vgg":
            raise InputError(
                f"--channels {self.channels}: of vgg, not of {self.network}",
                setting="--channels",
                value=self.channels,
                remedy="use --width",
            )
        if self.mesh is not None and self.devices != 1:
            raise InputError(
                f"--devices {self.devices} and --mesh {self.mesh}",
                setting="--devices",
                value=self.devices,
                remedy="give one of them",
            )
        mesh_of(self)
        if self.matmul == "bfloat16" and self.dtype == "float64":
            raise InputError(
                "--matmul bfloat16 rounds what --dtype float64 keeps",
                setting="--matmul",
                value=self.matmul,
                remedy="leave one of them out",
            )
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
        raise InputError(
            f"{name} is {first['input']!r}", setting=name, value=first["input"], remedy=first["msg"].lower()
        ) from None


def channel_list(text: str) -> list[int | str]:
    """The list that `--channels` writes.

    >>> channel_list("16,M,32")
    [16, 'M', 32]
    """
    parts: list[int | str] = []
    for part in (part.strip() for part in text.split(",")):
        if part != "M" and not (part.isascii() and part.isdigit() and int(part) > 0):
            raise InputError(
                f"--channels {text}: {part!r} is neither a number of at least 1 nor M, where it pools",
                setting="--channels",
                value=text,
                remedy="give a list like 16,M,32",
            )
        parts.append(part if part == "M" else int(part))
    if parts[0] == "M":
        raise InputError(
            f"--channels {text} begins with M",
            setting="--channels",
            value=text,
            remedy="M follows the convolution whose output it pools",
        )
    return parts


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
            f"--mesh {run.mesh}",
            setting="--mesh",
            value=run.mesh,
            remedy="expected axes data and model with their numbers of devices, as data=2,model=2",
        )
    return {axis: int(size) for axis, size in pairs}
