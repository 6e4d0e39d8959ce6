"""From a run's specification to its table, network, algorithm, data and optimizer's settings."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InputError
from ..parameterizations import OWN, TARGET, Parameterization, from_json, parameterization, to_json
from ._registry import (
    ALGORITHMS,
    CONVOLUTIONAL,
    FEEDBACK_TAKES,
    FEEDBACKS,
    IMAGE_SETTINGS,
    NETWORKS,
    PREDICTIVE_CODING,
    RELAXATIONS,
    TABLE,
    TAKES,
    TARGET_PROPAGATION,
    WHOLE,
    found,
    misplaced,
)
from ._spec import Run, channel_list, of_setting

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from ..algorithms import AbstractAlgorithm
    from ..data import Dataset
    from ..network import Built


# Settings that the first runs did not have.
LATER = ("rule", "warmup", "clip", "target", "task", "classes", "standardize")


def table_of(run: Run) -> Parameterization:
    """The run's parameterization, from its name or from the table's file.

    **Raises:** `InputError` where a file and settings of the table are both given, and for a rule of one's own, of
    which no name is a table.
    """
    if run.table is None and run.algorithm == OWN:
        raise InputError(
            f"--parameterization {run.parameterization} is no table for a rule of one's own",
            setting="--parameterization",
            value=run.parameterization,
            remedy="give a file, as `widthwise derive --rule FILE.py:CLASS --json mine.json` or `widthwise "
            "table --json mine.json` writes it",
        )
    given = {name: getattr(run, name) for name in TABLE if getattr(run, name) is not None}
    if run.table is None:
        return parameterization(run.parameterization, algorithm=run.algorithm, **given)
    if given:
        raise misplaced(given, f"the file {run.parameterization} fixes the table", "leave out what it says")
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
            raise InputError(
                f"--network {run.network} reads images, and {run.data} has none",
                setting="--network",
                value=run.network,
                remedy="use mlp or residual_mlp",
            )
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


def _scaled(text: str, width: int) -> list[int | str]:
    """The channels when the first layer has `width` of them."""
    parts = channel_list(text)
    first = parts[0]
    for part in parts:
        if isinstance(part, int) and isinstance(first, int) and part * width % first:
            raise InputError(
                f"--width {width}: --channels {text} times {width}/{first} are not whole numbers",
                setting="--width",
                value=width,
                remedy=f"give a multiple of {first}",
            )
    return [part if isinstance(part, str) else part * width // int(first) for part in parts]


def state_of(run: Run) -> str:
    """Whether states are pre- or post-activations: where not given, as the algorithm's papers have it."""
    if run.state is not None:
        return run.state
    return "post" if run.algorithm in TARGET and not run.network.startswith("residual") else "pre"


def algorithm_of(run: Run, table: Parameterization) -> "AbstractAlgorithm":
    """The run's algorithm.

    **Raises:** `InputError` for settings that it, or its relaxation, does not take, and for an algorithm of one's own,
    whose class only the command line can name.
    """
    if run.algorithm == OWN:
        raise InputError(
            f"--parameterization {run.parameterization} is for an algorithm of one's own",
            setting="--parameterization",
            value=run.parameterization,
            remedy="name its class with --rule FILE.py:CLASS (derive, check, tune, transfer, train), or take "
            "one of ours with "
            f"--algorithm {', '.join(ALGORITHMS)}",
        )
    given = _given(run, PREDICTIVE_CODING)
    targets = _given(run, TARGET_PROPAGATION)
    rule = found(run.algorithm, ALGORITHMS)
    if given and run.algorithm != "pc":
        raise misplaced(given, f"of predictive coding (--algorithm pc), not of {run.algorithm}", "leave it out")
    if targets and run.algorithm not in TARGET:
        raise misplaced(
            targets, f"of target propagation (--algorithm dtp or tp), not of {run.algorithm}", "leave it out"
        )
    if run.algorithm in TARGET:
        return _target_propagation(run, rule, targets)
    if run.algorithm != "pc":
        return rule()
    relaxation = given.pop("relaxation", "error")
    whole = {name: given.pop(name) for name in WHOLE if name in given}
    takes = TAKES[relaxation]
    for name in given:
        if name not in takes:
            users = ", ".join(kind for kind, settings in TAKES.items() if name in settings)
            raise misplaced({name: given[name]}, f"the relaxation {relaxation!r} has none", f"it belongs to {users}")
    if relaxation == "exact" and (run.activation != "linear" or run.loss != "mse" or run.fixed_prediction):
        raise InputError(
            "--relaxation exact needs linear activations, the loss mse and free predictions; got "
            f"{run.activation}, {run.loss}{', fixed' if run.fixed_prediction else ''}",
            setting="--relaxation",
            value="exact",
            remedy="use --relaxation error",
        )
    settle = found(relaxation, RELAXATIONS)(**{takes[name]: value for name, value in given.items()})
    return rule(settle, output_loss=table.output_loss, **whole)


def _given(run: Run, names: tuple[str, ...]) -> dict[str, Any]:
    """The settings among `names` that were given; by identity, as 0 equals False."""
    values = {name: getattr(run, name) for name in names}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _target_propagation(run: Run, rule: Any, given: dict[str, Any]) -> "AbstractAlgorithm":
    """TP or DTP with its feedback."""
    feedback = given.pop("feedback", "ridge")
    target_step = given.pop("eta_hat", None)
    takes = FEEDBACK_TAKES[feedback]
    for name in given:
        if name not in takes:
            users = ", ".join(kind for kind, settings in FEEDBACK_TAKES.items() if name in settings)
            raise misplaced({name: given[name]}, f"the feedback {feedback!r} has none", f"it belongs to {users}")
    learns = {"learns": feedback} if feedback in ("drl", "ldrl") else {}
    held = found(feedback, FEEDBACKS)(**learns, **{takes[name]: value for name, value in given.items()})
    return rule(held, difference=run.algorithm == "dtp", target_step=target_step)


def data_of(run: Run) -> "Dataset":
    """The run's data.

    **Raises:** `InputError` where it is missing or corrupt, and for a folder that the data set does not read or an
    image size that it cannot have.
    """
    data = importlib.import_module("widthwise.data")
    if run.data_dir is not None and run.data not in data.SOURCES:
        users = ", ".join(data.SOURCES)
        raise InputError(
            f"--data-dir {run.data_dir}: {run.data} reads no folder",
            setting="--data-dir",
            value=run.data_dir,
            remedy=f"leave it out; it is for {users}",
        )
    return data.load(
        run.data,
        data_dir=run.data_dir,
        examples=run.examples,
        image_size=run.image_size,
        target=run.target,
        task=run.task,
        classes=run.classes,
        standardize=run.standardize,
    )


def optimizer_settings(run: Run, table: Parameterization) -> dict[str, Any]:
    """Momentum, epsilon and decay, as `training.optimizer` takes them.

    **Raises:** `InputError` for settings that would be ignored.
    """
    if run.weight_decay_kind is not None and not run.weight_decay:
        raise InputError(
            f"--weight-decay-kind {run.weight_decay_kind} decays nothing",
            setting="--weight-decay-kind",
            value=run.weight_decay_kind,
            remedy="it needs --weight-decay above 0",
        )
    if run.epsilon is not None and "epsilon" not in table.rule.settings:
        raise InputError(
            f"--epsilon {run.epsilon} is not of {table.optimizer}",
            setting="--epsilon",
            value=run.epsilon,
            remedy=f"leave it out; it is for --optimizer {of_setting('epsilon')}",
        )
    settings = {"momentum": run.momentum, "weight_decay": run.weight_decay}
    return settings if run.epsilon is None else settings | {"epsilon": run.epsilon}


def schedule_settings(run: Run) -> dict[str, Any]:
    """How the rate changes and gradients are clipped, as `train` and `Training` take them."""
    return {"decay": run.schedule, "warmup": run.warmup, "clip": run.clip}


def label_of(run: Run) -> str:
    """What curves call a run's parameterization: its name, or that of its table's file without the ending."""
    return Path(run.parameterization).stem if run.table is not None else run.parameterization


def identity(run: Run, digest: str, table: Parameterization) -> dict[str, Any]:
    """What a run's numbers depend on, as plain data: its settings, its data's content, its whole table.

    Where the data's files lie does not change it. Of a rule of one's own it holds the name and the digest. A setting
    that came later counts only where it is not at its default, so that older runs are what they were.
    """
    unused = {name for name in LATER if getattr(run, name) == Run.model_fields[name].default}
    settings = run.model_dump(exclude={"data_dir", "table"} | unused)
    return {"settings": settings, "data_digest": digest, "table": to_json(table)}
