"""One group: weight rates, activity rates and seeds of one shape, through one compiled program."""

import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError
from .._loss import Loss, check_loss, mse
from .._numbers import real_number
from ..algorithms import AbstractAlgorithm, Learner
from ..data import Dataset
from ..network import Built, Factors
from ..parameterizations import UpdateRule
from ..training import (
    Examples,
    Scaled,
    batches_per_epoch,
    checked_settings,
    chosen_update,
    evaluate,
    evaluated,
    examples,
    init_learner,
    leaves_steps,
    make_step,
    matching_rule,
    run_order,
    sampled,
    scaled_update,
    scan_steps,
    schedule,
    start,
    streams,
    total_steps,
    with_statistics,
)
from ._group import Group, Member, with_activity_rate

# Below this width one product of a few networks is faster than a few products; of more of them it is slower again.
VMAP_BELOW, VMAP_AT_MOST = 128, 4
CURVE_POINTS = 50


@dataclasses.dataclass(frozen=True)
class Training:
    """How every run of a sweep is trained.

    **Arguments:** `steps` or `epochs`, one of them; `batch_size`; `loss`; `momentum`, `epsilon`, `weight_decay`:
    see `training.optimizer`; `decay`: of the rate; `warmup`, `clip`, `optimizer`: see `training.train`.
    """

    steps: int | None = 40
    epochs: int | None = None
    batch_size: int = 64
    loss: Loss = mse
    momentum: float = 0.0
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decay: str = "constant"
    warmup: int = 0
    clip: float | None = None
    optimizer: Any = None

    def settings(self) -> dict[str, Any]:
        """What an optimizer is made from."""
        return {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "weight_decay": self.weight_decay,
            "clip": self.clip,
        }

    def total(self, count: int) -> int:
        """Steps in all, for a number of training examples."""
        return total_steps(self.epochs, self.steps, batches_per_epoch(count, self.batch_size))


Rows = list[dict[str, Any]]
OnRuns = Callable[[Rows], None]


def run_group(
    group: Group,
    data: Dataset,
    training: Training,
    log2_rates: Sequence[float],
    seeds: Sequence[int],
    *,
    on_runs: OnRuns = lambda rows: None,
) -> Rows:
    """Train every member of a group and measure it.

    **Arguments:** `group`, `data`, `training`; `log2_rates`: of the base rate; `seeds`; `on_runs`: told the rows of
    runs as they end.

    **Returns:** one row a run, in the order of `group.members`: the labels, `gamma_bar`, `output_precision`, `seed`,
    `log2_rate`, `log2_activity_rate`, `tuned`, `first_loss` and `final_loss` (on the whole training set, before the
    first step and after the last), `train_accuracy`, `test_loss`, `test_accuracy` (None for regression), `diverged`
    (no finite loss; see `optima.with_divergence` for the others), `residual_median`, `iterations_median`, `settled`
    (share of examples), `cosine_to_backprop`, `cosine_layer_min`, `curvature` (None where the algorithm has none),
    `curve`, `seconds`.
    """
    return group_runner(group, data, training, seeds)(group.members(log2_rates, seeds), on_runs)


def group_runner(
    group: Group, data: Dataset, training: Training, seeds: Sequence[int], together: int | None = None
) -> Callable[[Sequence[Member], OnRuns], Rows]:
    """A function that trains members of a group, which need not be known yet: its program is compiled once a shape.

    **Arguments:** as of `run_group`; `together`: see `Work` (the runs that are given).

    **Returns:** `run(members, on_runs) -> rows`.
    """
    builts = [group.build(streams(seed).init) for seed in seeds]
    if builts[0].table != group.table:
        raise InputError(
            f"the network was built from the table {builts[0].table.name!r} in gauge {builts[0].table.gauge!r}, not "
            f"from the one given ({group.table.name!r}, {group.table.gauge!r})",
            setting="table",
            value=group.table.name,
            remedy="pass the same table to both",
        )
    learners = [
        init_learner(group.algorithm, built, key=streams(seed).algorithm)
        for built, seed in zip(builts, seeds, strict=True)
    ]
    dtype = builts[0].network.dtype
    checked_settings(dtype, **training.settings())
    train_data, test_data = (examples(data, split, dtype, builts[0].network) for split in ("train", "test"))
    total = training.total(train_data.count)
    leaves_steps(group.algorithm, total)
    check_loss(training.loss, data, dtype)
    group.algorithm.validate(learners[0], train_data.chunk(0, training.batch_size))
    shared = _Shared(
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *(eqx.filter(learner, eqx.is_array) for learner in learners)),
        builts[0].factors,
        jnp.stack([run_order(streams(s).order, total, train_data.count, training.batch_size) for s in seeds]),
        jnp.stack([streams(seed).algorithm for seed in seeds]),
        train_data,
        test_data,
        eqx.filter(group.algorithm, eqx.is_array),
    )
    first = {
        seed: evaluated(with_statistics(built.network, train_data), train_data, training.loss)[0]
        for seed, built in zip(seeds, builts, strict=True)
    }
    program = _program_of(builts[0], learners[0], group.algorithm, training, total)
    # One network's convolutions are large products already.
    images = builts[0].network.image_shape is not None
    described = group.described()

    def run(members: Sequence[Member], on_runs: OnRuns) -> Rows:
        for log2 in {one.log2_rate for one in members}:
            real_number("rate", 2.0**log2, dtype)
        runs = len({(one.seed, one.log2_rate) for one in members})
        chunk = 1 if images else _chunk_size(group.labels["width"], together or runs)
        rows: Rows = []
        # A last call of another shape would be compiled anew: the last run fills it up, and is told once.
        filled = [*members, *[members[-1]] * (-len(members) % chunk)]
        for found, seconds in _chunks(program, shared, _arguments(filled, seeds, dtype), chunk):
            ended = [
                described | member._asdict() | _row(one, first[member.seed], seconds, data.classes is not None)
                for member, one in zip(members[len(rows) :], found, strict=False)
            ]
            on_runs(ended)
            rows += ended
        return rows

    return run


class _Shared(NamedTuple):
    """What all runs of a group read: stacked over seeds, or common to all."""

    learners: Any
    factors: Factors
    orders: Array
    keys: Array
    data: Examples
    test: Examples
    algorithm: Any


class _Runs(NamedTuple):
    """Runs of a group, stacked: index of the seed, base rate, and activity rate (None where it is not swept)."""

    seeds: Any
    rates: Any
    activity_rates: Any


class _Shape(NamedTuple):
    """All that a group's program depends on beside its arguments: groups of one shape share one program."""

    learner: Any
    algorithm: Any
    labels: Any
    rule: UpdateRule
    transform: Any
    decay_kind: str
    training: Training
    steps: int


def _program_of(
    built: Built, learner: Learner, algorithm: AbstractAlgorithm, training: Training, total: int
) -> Callable[..., Any]:
    """The group's compiled program, shared with every group of the same shape, whatever its table."""
    learner_static, algorithm_static = (eqx.filter(held, eqx.is_array, inverse=True) for held in (learner, algorithm))
    if isinstance(training.optimizer, tuple):
        # The user's function may read the table, so that its program is this group's own.
        update = chosen_update(built, training.optimizer, **training.settings())
        return _program(learner_static, algorithm_static, lambda factors: update, training, total)
    rule = built.table.rule if training.optimizer is None else matching_rule(training.optimizer, built)
    kind = built.table.weight_decay_kind
    labels = Scaled.of(built).labels
    shape = _Shape(learner_static, algorithm_static, labels, rule, rule.transform, kind, training, total)
    try:
        hash(shape)
    except TypeError:
        # A module or a rule of the user's own that cannot be compared shares with none.
        return _shared_program.__wrapped__(shape)
    return _shared_program(shape)


@functools.lru_cache(maxsize=16)
def _shared_program(shape: _Shape) -> Callable[..., Any]:
    """The program of a shape; the latest few are kept."""

    def update(factors: Factors) -> Any:
        scaled = Scaled(shape.labels, factors)
        return scaled_update(scaled, rule=shape.rule, decay_kind=shape.decay_kind, **shape.training.settings())

    return _program(shape.learner, shape.algorithm, update, shape.training, shape.steps)


def _program(
    learner_static: Any,
    algorithm_static: Any,
    update: Callable[[Factors], Any],
    training: Training,
    total: int,
) -> Callable[..., Any]:
    """One compiled program: a chunk of runs, each named by its seed's index and its rates."""
    sample = jnp.asarray(sampled(total))

    def one(shared: _Shared, run: _Runs) -> dict[str, Array]:
        rule = eqx.combine(shared.algorithm, algorithm_static)
        if run.activity_rates is not None:
            rule = with_activity_rate(rule, run.activity_rates)
        seed, transform = run.seeds, update(shared.factors)
        learner: Learner = eqx.combine(jax.tree.map(lambda leaf: leaf[seed], shared.learners), learner_static)
        step = make_step(rule, transform, training.loss, schedule(training.decay, total, training.warmup))
        state, metrics = scan_steps(
            step, start(learner, transform, run.rates), shared.data, shared.orders[seed], sample, shared.keys[seed]
        )
        network = with_statistics(state.learner.network, shared.data)
        final, accuracy = evaluate(network, shared.data, training.loss)
        test_loss, test_accuracy = evaluate(network, shared.test, training.loss)
        ended = {"final_loss": final, "train_accuracy": accuracy, "test_loss": test_loss}
        return metrics | ended | {"test_accuracy": test_accuracy}

    @jax.jit
    def chunk(shared: _Shared, runs: _Runs) -> dict[str, Array]:
        if runs.seeds.shape[0] == 1:
            return jax.tree.map(lambda leaf: leaf[None], one(shared, jax.tree.map(lambda leaf: leaf[0], runs)))
        return jax.vmap(one, (None, 0))(shared, runs)

    return chunk


def _arguments(members: Sequence[Member], seeds: Sequence[int], dtype: Any) -> _Runs:
    """The runs of a group as the program takes them."""
    activity = [2.0**one.log2_activity_rate for one in members if one.log2_activity_rate is not None]
    return _Runs(
        np.asarray([seeds.index(one.seed) for one in members]),
        np.asarray([2.0**one.log2_rate for one in members], dtype),
        np.asarray(activity, dtype) if activity else None,
    )


def _chunk_size(width: int, runs: int) -> int:
    """How many runs one call trains: a function of the shape alone, so that results never depend on the machine.

    **Arguments:** `width`; `runs`: of one activity rate. Runs that share a call all wait for the one that takes most
    iterations, and these depend on the activity rate above all.
    """
    if width >= VMAP_BELOW:
        return 1
    # A divisor: the last call has the shape of the others, and none mixes two activity rates.
    return max(size for size in range(1, VMAP_AT_MOST + 1) if runs % size == 0)


def _chunks(
    program: Callable[..., Any], shared: _Shared, runs: _Runs, size: int
) -> Iterator[tuple[list[dict[str, np.ndarray]], float]]:
    """Results of chunk after chunk, in order; two at a time, as XLA keeps about one core busy on these shapes."""

    def call(first: int) -> tuple[list[dict[str, np.ndarray]], float]:
        part = jax.tree.map(lambda leaf: leaf[first : first + size], runs)
        began = time.perf_counter()
        found = jax.device_get(program(shared, part))
        seconds = (time.perf_counter() - began) / size
        return [{name: values[i] for name, values in found.items()} for i in range(size)], seconds

    firsts = list(range(0, runs.seeds.shape[0], size))
    # The first call compiles; the others then find the program.
    yield call(firsts[0])
    workers = 2 if jax.default_backend() == "cpu" and (os.cpu_count() or 1) > 1 else 1
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(call, firsts[1:])


def _row(found: dict[str, np.ndarray], first: float, seconds: float, classes: bool) -> dict[str, Any]:
    """One run's measurements; None where the algorithm has none, or nothing finite was found."""
    curve = np.asarray(found["loss"], float)
    # A loss that was infinite on the way and came back was no training either.
    diverged = not np.isfinite([*curve, float(found["final_loss"])]).all()

    def number(name: str) -> float | None:
        value = float(found[name])
        return value if math.isfinite(value) and not diverged else None

    def median(name: str) -> float | None:
        values = np.asarray(found.get(name, np.nan), float)
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else None

    return {
        "first_loss": first if math.isfinite(first) else None,
        "final_loss": number("final_loss"),
        "train_accuracy": number("train_accuracy") if classes else None,
        "test_loss": number("test_loss"),
        "test_accuracy": number("test_accuracy") if classes else None,
        "diverged": diverged,
        "residual_median": median("residual_median"),
        "iterations_median": median("iterations"),
        "settled": median("settled"),
        "cosine_to_backprop": median("cosine"),
        "cosine_layer_min": median("cosine_layer_min"),
        "curvature": median("curvature"),
        "curve": curve[:: max(1, -(-len(curve) // CURVE_POINTS))].tolist(),
        "seconds": seconds,
    }
