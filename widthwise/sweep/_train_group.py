"""One group: weight rates, activity rates and seeds of one shape, through one compiled program."""

import dataclasses
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
from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm, Learner
from ..data import Dataset
from ..network import Built
from ..training import (
    Examples,
    batches_per_epoch,
    evaluate,
    examples,
    leaves_steps,
    make_step,
    optimizer,
    run_order,
    sampled,
    scan_steps,
    schedule,
    start,
    streams,
    with_statistics,
)
from ._group import Group, Member, with_activity_rate

# Below this width one product of a few networks is faster than a few products; of more of them it is slower again.
VMAP_BELOW, VMAP_AT_MOST = 128, 4
# A diverged loss is one above this multiple of the loss of predicting zero.
DIVERGED = 2.0
CURVE_POINTS = 50


@dataclasses.dataclass(frozen=True)
class Training:
    """How every run of a sweep is trained.

    **Arguments:** `steps` or `epochs`, one of them; `batch_size`; `loss`; `momentum`, `epsilon`, `weight_decay`:
    see `training.optimizer`; `decay`: of the rate.
    """

    steps: int | None = 40
    epochs: int | None = None
    batch_size: int = 64
    loss: Loss = mse
    momentum: float = 0.0
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decay: str = "constant"

    def total(self, count: int) -> int:
        """Steps in all, for a number of training examples."""
        per_epoch = batches_per_epoch(count, self.batch_size)
        if (self.steps is None) == (self.epochs is None):
            raise InputError(f"give steps or epochs, one of them; got steps {self.steps}, epochs {self.epochs}")
        total = self.steps if self.epochs is None else self.epochs * per_epoch
        if total is None or total < 1:
            raise InputError(f"steps {self.steps}, epochs {self.epochs}: at least one step must be made")
        return total


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
    `log2_rate`, `log2_activity_rate`, `final_loss` (on the whole training set after the last step), `diverged`,
    `residual_median`, `iterations_median`, `settled` (share of examples), `cosine_to_backprop`, `cosine_layer_min`,
    `curvature` (None where the algorithm has none), `curve`, `seconds`.
    """
    return group_runner(group, data, training, seeds)(group.members(log2_rates, seeds), on_runs)


def group_runner(
    group: Group, data: Dataset, training: Training, seeds: Sequence[int]
) -> Callable[[Sequence[Member], OnRuns], Rows]:
    """A function that trains members of a group, which need not be known yet: its program is compiled once a shape.

    **Arguments:** as of `run_group`.

    **Returns:** `run(members, on_runs) -> rows`.
    """
    builts = [group.build(streams(seed).init) for seed in seeds]
    if builts[0].table != group.table:
        raise InputError(
            f"the network was built from the table {builts[0].table.name!r} in gauge {builts[0].table.gauge!r}, not "
            f"from the one given ({group.table.name!r}, {group.table.gauge!r}): pass the same table to both"
        )
    arrays = [eqx.filter(built.network, eqx.is_array) for built in builts]
    dtype = jax.tree.leaves(arrays[0])[0].dtype
    train_data = examples(data, "train", dtype, builts[0].network)
    total = training.total(train_data.count)
    leaves_steps(group.algorithm, total)
    group.algorithm.tried(
        group.algorithm.init(builts[0], key=streams(seeds[0]).algorithm), train_data.chunk(0, training.batch_size)
    )
    shared = _Shared(
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays),
        jnp.stack([run_order(streams(s).order, total, train_data.count, training.batch_size) for s in seeds]),
        jnp.stack([streams(seed).algorithm for seed in seeds]),
        train_data,
        eqx.filter(group.algorithm, eqx.is_array),
    )
    program = _program(builts[0], group.algorithm, training, total)
    zero = _loss_of_zero(train_data, training.loss)
    # One network's convolutions are large products already.
    images = builts[0].network.image_shape is not None
    described = group.described()

    def run(members: Sequence[Member], on_runs: OnRuns) -> Rows:
        runs = len({(one.seed, one.log2_rate) for one in members})
        chunk = 1 if images else _chunk_size(group.labels["width"], runs)
        rows: Rows = []
        for found, seconds in _chunks(program, shared, _arguments(members, seeds, dtype), chunk):
            ended = [
                described | member._asdict() | _row(one, zero, seconds)
                for member, one in zip(members[len(rows) :], found, strict=False)
            ]
            on_runs(ended)
            rows += ended
        return rows

    return run


class _Shared(NamedTuple):
    """What all runs of a group read: stacked over seeds, or common to all."""

    networks: Any
    orders: Array
    keys: Array
    data: Examples
    algorithm: Any


class _Runs(NamedTuple):
    """Runs of a group, stacked: index of the seed, base rate, and activity rate (None where it is not swept)."""

    seeds: Any
    rates: Any
    activity_rates: Any


def _program(built: Built, algorithm: AbstractAlgorithm, training: Training, total: int) -> Callable[..., Any]:
    """The group's one compiled program: a chunk of runs, each named by its seed's index and its rates."""
    network_static = eqx.filter(built.network, eqx.is_array, inverse=True)
    algorithm_static = eqx.filter(algorithm, eqx.is_array, inverse=True)
    transform = optimizer(
        built, momentum=training.momentum, epsilon=training.epsilon, weight_decay=training.weight_decay
    )
    sample = jnp.asarray(sampled(total))

    def one(shared: _Shared, run: _Runs) -> dict[str, Array]:
        rule = eqx.combine(shared.algorithm, algorithm_static)
        if run.activity_rates is not None:
            rule = with_activity_rate(rule, run.activity_rates)
        seed = run.seeds
        network = eqx.combine(jax.tree.map(lambda leaf: leaf[seed], shared.networks), network_static)
        learner: Learner = rule.init(eqx.tree_at(lambda b: b.network, built, network), key=shared.keys[seed])
        step = make_step(rule, transform, training.loss, schedule(training.decay, total))
        state, metrics = scan_steps(
            step, start(learner, transform, run.rates), shared.data, shared.orders[seed], sample, shared.keys[seed]
        )
        final, _ = evaluate(with_statistics(state.learner.network, shared.data), shared.data, training.loss)
        return metrics | {"final_loss": final}

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


def _loss_of_zero(data: Examples, loss: Loss) -> float:
    """The mean loss of predicting zero."""
    return float(jnp.mean(loss(jnp.zeros_like(data.y), data.y)))


def _row(found: dict[str, np.ndarray], zero: float, seconds: float) -> dict[str, Any]:
    """One run's measurements; None where the algorithm has none, or nothing finite was found."""
    final = float(found["final_loss"])
    curve = np.asarray(found["loss"], float)
    diverged = not (math.isfinite(final) and np.isfinite(curve).all() and final <= DIVERGED * zero)

    def median(name: str) -> float | None:
        values = np.asarray(found.get(name, np.nan), float)
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else None

    return {
        "final_loss": final if math.isfinite(final) else None,
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
