"""Training one network: an epoch a call, progress between epochs, checkpoint and resume."""

import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, RunWarning, expect
from .._loss import Loss, check_loss, mse
from .._numbers import real_number, whole_number
from ..algorithms import AbstractAlgorithm
from ..data import Dataset
from ..inference import AbstractRelaxation
from ..network import Built, Network, with_factors, without_factors
from ..parameterizations import UpdateRule
from ._checkpoint import load_checkpoint, save_checkpoint, set_aside_if_damaged
from ._examples import (
    Examples,
    batches_per_epoch,
    epoch_order,
    evaluate,
    examples,
    streams,
    total_steps,
    with_statistics,
)
from ._optimizer import checked_settings, chosen_update
from ._schedule import schedule
from ._sharding import beside, gathered, split, together
from ._step import TrainState, init_learner, leaves_steps, make_step, sampled, scan_steps, start

History = dict[str, list[float]]


# Below this share of settled examples a run that was promised to settle says so.
SETTLED = 0.95


class UnsettledWarning(RunWarning):
    """Inference that was asked to settle left examples unsettled."""


class DamagedWarning(RunWarning):
    """A stored state could not be read, and its run begins again."""


class DivergedWarning(RunWarning):
    """A run whose loss became infinite or NaN."""


class Progress(NamedTuple):
    """What a training run tells while it runs: steps done (`stepped` of them since it last told) and in all, the
    seconds they took, and the last epoch's mean metrics."""

    done: int
    stepped: int
    total: int
    seconds: float
    metrics: dict[str, float]


class Trained(NamedTuple):
    """A trained network.

    **Fields:** `network`; `history`: every metric at every step; `test_loss`, `test_accuracy` (None for regression,
    and where predictions are NaN); `train_seconds`, `compile_seconds`: of this process (a resumed run counts what it
    did itself).
    """

    network: Network
    history: History
    test_loss: float
    test_accuracy: float | None
    train_seconds: float
    compile_seconds: float


def train(
    built: Built,
    algorithm: AbstractAlgorithm,
    data: Dataset,
    *,
    rate: float,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 64,
    loss: Loss = mse,
    momentum: float = 0.0,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "constant",
    warmup: int = 0,
    clip: float | None = None,
    optimizer: Any = None,
    seed: int = 0,
    devices: int = 1,
    mesh: Mapping[str, int] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    identity: str = "",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train a network with any algorithm, a whole epoch in one compiled call.

    **Arguments:** `built`, `algorithm`, `data`; `rate`: base rate η, of which each leaf takes its own multiple;
    `epochs` or `steps`: how long (one of them); `batch_size`; `loss`; `momentum`, `epsilon`, `weight_decay`, `clip`:
    see `training.optimizer`; `decay`: of the rate, `"constant"`, `"linear"` or `"cosine"` to 0; `warmup`: first steps
    over which the rate rises; `optimizer`: the table's own by its name or row, or a pair of it and a function from
    `built` to an optax transformation, which replaces momentum, epsilon and weight decay and ends before the learning
    rate; `seed`: of the order of the data and the algorithm's noise (the network brings its own weights); `devices`:
    how many share each batch, of `jax.devices()`; `mesh`: instead, `{"data": 2, "model": 2}`: devices that share each
    batch, times devices that share the width, of all processes where `training.join` was called; `checkpoint`: a file
    written after every epoch (by the first process; all read it), from which the same call resumes to bit-identical
    results; `identity`: a name of the run that the checkpoint must carry; `on_progress`: called after every epoch.

    **Returns:** a `Trained`.

    **Raises:** `InputError` for arguments of another kind, settings out of range and a checkpoint of another run.

    >>> import widthwise as ww
    >>> built = ww.mlp(64, 32, 10, depth=3, table=ww.parameterization("mup"), key=jax.random.key(0))
    >>> trained = ww.train(built, ww.Backprop(), ww.data.digits(), rate=0.2, steps=20)
    >>> trained.test_accuracy > 0.5
    True
    """
    expect(Built, "ww.mlp(...)", built=built)
    expect(AbstractAlgorithm, "ww.PredictiveCoding()", algorithm=algorithm)
    expect(Dataset, "ww.data.digits()", data=data)
    expect(Callable, "ww.mse", loss=loss)
    dtype = built.network.dtype
    rate = real_number("rate", rate, dtype)
    settings = checked_settings(dtype, momentum=momentum, epsilon=epsilon, weight_decay=weight_decay, clip=clip)
    batch_size, seed = whole_number("batch_size", batch_size), whole_number("seed", seed, 0, 2**32 - 1)
    devices, warmup = whole_number("devices", devices), whole_number("warmup", warmup, 0)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    readout = jax.tree.leaves(eqx.filter(built.network.segments[-1], eqx.is_array))[0]
    if mesh is not None and devices != 1:
        raise InputError(
            f"devices {devices} and mesh {dict(mesh)}", setting="devices", value=devices, remedy="give one of them"
        )
    if mesh is not None and mesh.get("model", 1) > 1 and built.network.image_shape is not None:
        raise InputError(
            f"mesh {dict(mesh)}: devices share the width of dense layers only",
            setting="mesh",
            value=dict(mesh),
            remedy="share the batch, by data",
        )
    parts = split({"data": devices} if mesh is None else mesh, batch_size, readout.shape[-1])
    train_data = examples(data, "train", dtype, built.network)
    per_epoch = batches_per_epoch(train_data.count, batch_size)
    total = total_steps(epochs, steps, per_epoch)
    leaves_steps(algorithm, total)
    check_loss(loss, data, dtype)
    keys = streams(seed)
    transform = chosen_update(built, optimizer, **settings)
    factor = schedule(decay, total, warmup)
    learner = init_learner(algorithm, built, key=keys.algorithm)
    algorithm.validate(learner, train_data.chunk(0, batch_size))
    state = start(learner, transform, jnp.asarray(rate, dtype))
    history: History = {}
    # What a resumed run must share with its beginning; a constant rate may be continued for longer.
    shared = {
        "rate": rate,
        "seed": seed,
        "batch_size": batch_size,
        "momentum": settings["momentum"],
        "epsilon": settings["epsilon"],
        "weight_decay": settings["weight_decay"],
        "decay": decay,
        "total": None if decay == "constant" else total,
        "devices": devices,
        "mesh": None if mesh is None else dict(mesh),
    }
    # Settings that the first checkpoints did not have.
    later = {"warmup": warmup or None, "clip": settings["clip"], "optimizer": _named(optimizer)}
    shared |= {name: value for name, value in later.items() if value is not None}
    # Of several processes the first renames it, before any other looks.
    if checkpoint is not None and jax.process_index() == 0 and (damage := set_aside_if_damaged(checkpoint)):
        warnings.warn(damage, DamagedWarning, stacklevel=2)
    together()
    if checkpoint is not None and checkpoint.exists():
        state, history = _resumed(checkpoint, state, identity, shared)

    def run(arrays: Any, algorithm_arrays: Any, data: Examples, order: Any, sample: Any) -> Any:
        rule = eqx.combine(algorithm_arrays, algorithm_static)
        step = make_step(rule, transform, loss, factor)
        state = eqx.combine(arrays, static)
        state, metrics = scan_steps(step, state, data, order, sample, keys.algorithm, parts)
        return eqx.filter(state, eqx.is_array), metrics

    if parts is not None:
        state = parts.shared(state)
        algorithm, train_data = parts.copied((algorithm, train_data))
    arrays, static = eqx.partition(state, eqx.is_array)
    # As they came, so that what one epoch hands to the next lies where it did.
    kept = None if parts is None else (jax.tree.map(parts.share, arrays), parts.whole)
    # Each epoch's state takes the memory of the last; the first is a copy, for the caller keeps his network.
    arrays = jax.tree.map(jnp.copy, arrays)
    compile_run = jax.jit(run, out_shardings=kept, donate_argnums=0)
    algorithm_arrays, algorithm_static = eqx.partition(algorithm, eqx.is_array)
    ordered = jax.jit(lambda epoch: epoch_order(keys.order, epoch, train_data.count, batch_size))
    compiled: dict[int, Any] = {}
    train_seconds = compile_seconds = 0.0
    done = int(state.step)
    while done < total:
        # A run of fewer steps than an epoch, or the rest of one, is a shorter scan.
        length = min(per_epoch - done % per_epoch, total - done)
        first = done % per_epoch
        # As NumPy's, they are every process's.
        order = np.asarray(ordered(done // per_epoch)[first : first + length])
        inputs = (arrays, algorithm_arrays, train_data, order, np.asarray(sampled(length)))
        if length not in compiled:
            began = time.perf_counter()
            compiled[length] = compile_run.lower(*inputs).compile()
            compile_seconds += time.perf_counter() - began
        began = time.perf_counter()
        arrays, metrics = jax.block_until_ready(compiled[length](*inputs))
        train_seconds += time.perf_counter() - began
        done += length
        for name, values in metrics.items():
            history.setdefault(name, []).extend(np.asarray(values, float).tolist())
        if checkpoint is not None:
            header = {"identity": identity, "settings": shared, "history": _stored(history)}
            everything = gathered(arrays)
            if jax.process_index() == 0:
                save_checkpoint(checkpoint, without_factors(everything), header)
        recent = {name: float(np.nanmean(np.asarray(v))) for name, v in metrics.items() if np.isfinite(v).any()}
        on_progress(Progress(done, length, total, train_seconds, recent))
    _warn(algorithm, history)
    network = eqx.combine(arrays, static).learner.network
    network = with_statistics(network, train_data)
    test_loss, test_accuracy = evaluated(network, examples(data, "test", dtype, network), loss)
    accuracy = None if data.classes is None or np.isnan(test_accuracy) else test_accuracy
    return Trained(network, history, test_loss, accuracy, train_seconds, compile_seconds)


def _named(optimizer: Any) -> str | None:
    """The row of a transformation of the user's own, as far as a checkpoint can name it."""
    if not isinstance(optimizer, tuple):
        return None
    row = optimizer[0]
    return row.name if isinstance(row, UpdateRule) else str(row)


def diverged_at(history: History) -> int | None:
    """The first step whose loss is not finite, counted from 1; None where there is none."""
    finite = np.isfinite(np.asarray(history["loss"], float))
    return None if finite.all() else int(np.argmin(finite)) + 1


def _warn(algorithm: AbstractAlgorithm, history: History) -> None:
    """One warning where the loss diverged, inference moved away from equilibrium, or did not settle."""
    step = diverged_at(history)
    if step is not None:
        warnings.warn(
            f"the loss is not finite from step {step} on: lower the rate, or the activity rate where one was given",
            DivergedWarning,
            stacklevel=3,
        )
        return
    relaxation = algorithm.relaxation
    promised = relaxation is not None and relaxation.promises
    share = float(np.mean(history.get("settled", [1.0])))
    residuals = np.asarray(history.get("residual_median", []), float)
    away = residuals > 1
    if away.any() and not promised:
        first = int(np.argmax(away))
        text = (
            f"inference ended farther from equilibrium than it began at {away.sum()} of {len(away)} steps, first at "
            f"step {first + 1} (median residual {residuals[first]:.2g}): lower the activity rate where one was given, "
            f"or the output precision, or use --relaxation auto"
        )
    elif relaxation is not None and not share >= SETTLED:
        other = "" if promised else "--relaxation auto, "
        text = (
            f"inference left {1 - share:.0%} of examples above the tolerance {float(relaxation.tolerance):g} (median "
            f"residual {np.nanmedian(residuals):.2g}): give it {other}more iterations{_made(relaxation)}, a lower "
            f"output precision or precision_cap, or a smooth activation"
        )
    else:
        return
    warnings.warn(text, UnsettledWarning, stacklevel=3)


def _made(relaxation: AbstractRelaxation) -> str:
    """Than how many iterations more would be more."""
    return "" if relaxation.iterations is None else f" than {relaxation.iterations}"


def evaluated(network: Network, data: Examples, loss: Loss) -> tuple[float, float]:
    """Mean loss and accuracy of a network on a split, as floats."""
    mean_loss, accuracy = eqx.filter_jit(evaluate)(network, beside(network, data), loss)
    return float(mean_loss), float(accuracy)


def _resumed(
    checkpoint: Path, state: TrainState, identity: str, settings: dict[str, Any]
) -> tuple[TrainState, History]:
    arrays, static = eqx.partition(state, eqx.is_array)
    stored_arrays, header = load_checkpoint(checkpoint, without_factors(arrays))
    arrays = with_factors(stored_arrays, arrays)
    if header.get("identity") != identity:
        raise InputError(
            f"checkpoint {checkpoint} belongs to another run",
            setting="checkpoint",
            value=checkpoint,
            remedy="use another directory",
        )
    stored = header.get("settings", {})
    for name, value in settings.items():
        if stored.get(name) != value:
            raise InputError(
                f"checkpoint {checkpoint} belongs to another run: {name} {stored.get(name)} stored, {value} given",
                setting=name,
                value=value,
                remedy="use another file",
            )
    history = {name: [float(value) for value in values] for name, values in header["history"].items()}
    return eqx.combine(arrays, static), history


def _stored(history: History) -> dict[str, list[float | str]]:
    """The history as JSON, which has no word for NaN and infinity."""
    return {name: [v if np.isfinite(v) else str(v) for v in values] for name, values in history.items()}
