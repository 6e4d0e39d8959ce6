"""One group: rates times seeds of one shape, through one compiled program."""

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
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm, Learner
from ..data import Dataset
from ..network import Built
from ..parameterization import Parameterization
from ..training import (
    Examples,
    batches_per_epoch,
    evaluate,
    examples,
    make_step,
    optimizer,
    run_order,
    sampled,
    scan_steps,
    schedule,
    start,
    streams,
)

# Below this width one product of many networks is faster than many products (docs/performance.md, sweeps).
VMAP_BELOW = 128
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


class Group(NamedTuple):
    """The runs that share one compiled program: all rates and seeds at one size.

    **Fields:** `build(key)`: the network; `algorithm`; `table`; `labels`: algorithm, parameterization, optimizer,
    width, depth.
    """

    build: Callable[[PRNGKeyArray], Built]
    algorithm: AbstractAlgorithm
    table: Parameterization
    labels: dict[str, Any]


def members(log2_rates: Sequence[float], seeds: Sequence[int]) -> list[tuple[int, float]]:
    """The (seed, log2 rate) of a group's runs, in order: a function of the sweep alone."""
    return [(seed, rate) for seed in seeds for rate in log2_rates]


def run_group(
    group: Group,
    data: Dataset,
    training: Training,
    log2_rates: Sequence[float],
    seeds: Sequence[int],
    *,
    on_runs: Callable[[int], None] = lambda count: None,
) -> list[dict[str, Any]]:
    """Train every member of a group and measure it.

    **Arguments:** `group`, `data`, `training`; `log2_rates`: of the base rate; `seeds`; `on_runs`: told how many runs
    have ended.

    **Returns:** one row a run, in the order of `members`: the labels, `log2_rate`, `seed`, `final_loss` (on the whole
    training set after the last step), `diverged`, `residual_median`, `iterations_median`, `settled` (of examples),
    `cosine_to_backprop`, `cosine_layer_min`, `curvature` (None where the algorithm has none), `curve`, `seconds`.
    """
    builts = [group.build(streams(seed).init) for seed in seeds]
    if builts[0].table != group.table:
        raise InputError(
            f"the network was built from the table {builts[0].table.name!r} in gauge {builts[0].table.gauge!r}, not "
            f"from the one given ({group.table.name!r}, {group.table.gauge!r}): pass the same table to both"
        )
    arrays = [eqx.filter(built.network, eqx.is_array) for built in builts]
    dtype = jax.tree.leaves(arrays[0])[0].dtype
    train_data = examples(data, "train", dtype)
    total = training.total(train_data.count)
    shared = _Shared(
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays),
        jnp.stack([run_order(streams(s).order, total, train_data.count, training.batch_size) for s in seeds]),
        jnp.stack([streams(seed).algorithm for seed in seeds]),
        train_data,
        eqx.filter(group.algorithm, eqx.is_array),
    )
    program = _program(builts[0], group.algorithm, training, total)
    zero = _loss_of_zero(train_data, training.loss)
    runs = [(seeds.index(seed), 2.0**rate) for seed, rate in members(log2_rates, seeds)]
    rows: list[dict[str, Any]] = []
    for found, seconds in _chunks(program, shared, runs, _chunk_size(group.labels["width"], len(runs)), dtype):
        rows += [_row(one, zero, seconds) for one in found]
        on_runs(len(found))
    identities = [{"log2_rate": rate, "seed": seed} for seed, rate in members(log2_rates, seeds)]
    return [group.labels | identity | row for identity, row in zip(identities, rows, strict=True)]


class _Shared(NamedTuple):
    """What all runs of a group read: stacked over seeds, or common to all."""

    networks: Any
    orders: Array
    keys: Array
    data: Examples
    algorithm: Any


def _program(built: Built, algorithm: AbstractAlgorithm, training: Training, total: int) -> Callable[..., Any]:
    """The group's one compiled program: a chunk of runs, each named by its seed's index and its rate."""
    network_static = eqx.filter(built.network, eqx.is_array, inverse=True)
    algorithm_static = eqx.filter(algorithm, eqx.is_array, inverse=True)
    transform = optimizer(
        built, momentum=training.momentum, epsilon=training.epsilon, weight_decay=training.weight_decay
    )
    sample = jnp.asarray(sampled(total))

    def one(shared: _Shared, seed: Array, rate: Float[Array, ""]) -> dict[str, Array]:
        rule = eqx.combine(shared.algorithm, algorithm_static)
        network = eqx.combine(jax.tree.map(lambda leaf: leaf[seed], shared.networks), network_static)
        learner: Learner = rule.init(eqx.tree_at(lambda b: b.network, built, network), key=shared.keys[seed])
        step = make_step(rule, transform, training.loss, schedule(training.decay, total))
        state, metrics = scan_steps(
            step, start(learner, transform, rate), shared.data, shared.orders[seed], sample, shared.keys[seed]
        )
        final, _ = evaluate(state.learner.network, shared.data, training.loss)
        return metrics | {"final_loss": final}

    @jax.jit
    def chunk(shared: _Shared, seeds: Array, rates: Array) -> dict[str, Array]:
        if seeds.shape[0] == 1:
            return jax.tree.map(lambda leaf: leaf[None], one(shared, seeds[0], rates[0]))
        return jax.vmap(one, (None, 0, 0))(shared, seeds, rates)

    return chunk


def _chunk_size(width: int, runs: int) -> int:
    """How many runs one call trains: a function of the shape alone, so that results never depend on the machine."""
    return runs if width < VMAP_BELOW else 1


def _chunks(
    program: Callable[..., Any], shared: _Shared, runs: list[tuple[int, float]], size: int, dtype: Any
) -> Iterator[tuple[list[dict[str, np.ndarray]], float]]:
    """Results of chunk after chunk, in order; two at a time, as XLA keeps about one core busy on these shapes."""

    def call(first: int) -> tuple[list[dict[str, np.ndarray]], float]:
        part = runs[first : first + size]
        seeds = jnp.asarray([seed for seed, _ in part])
        rates = jnp.asarray([rate for _, rate in part], dtype)
        began = time.perf_counter()
        found = jax.device_get(program(shared, seeds, rates))
        seconds = (time.perf_counter() - began) / len(part)
        return [{name: values[i] for name, values in found.items()} for i in range(len(part))], seconds

    firsts = list(range(0, len(runs), size))
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
