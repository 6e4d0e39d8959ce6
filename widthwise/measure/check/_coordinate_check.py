"""The coordinate check: does every layer move as it should as the network grows wider, or deeper?

A few full-batch steps on a fixed probe; each quantity's RMS, divided by the seed's initial residual, against the size:
what SGD moves is proportional to the residual (biases, the same for all examples: to its mean over them), what an
update of degree q in the gradient moves to its q-th power. Adam's q is 0, and its movements stay undivided: the
residual, which falls with the width as f_0 does, would add a slope of its own. Expected slopes come from what training
should do, predicted ones from the exponents of the table under test; only the first decide.

| quantity | of | expected over width | over depth |
|---|---|---|---|
| movement | every hidden layer; over depth the first and the last | r − 1/2 | 0 |
| output | the prediction's change | 0 | 0 |
| error | e_l before training, of PC, TP and DTP | k − 1/2 − r (PC), 0 (TP, DTP) | - |
| feedback | feedback that learns | 0 | - |
| a role | its arrays alone, in the first step | r − 1/2; the readout's 0 | - |

A rate that is too small is hidden by the layers that still move, and biases move a wide network much less than its
weights do: each role's own line shows it.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..._errors import InputError
from ..._loss import Loss, mse
from ...algorithms import AbstractAlgorithm, Batch
from ...inference import curvature
from ...network import Built, Network, States, calibrated, forward, inputs
from ...parameterizations import Parameterization, Role
from ...training import chosen_update, leaves_steps, prepared
from .._feedback_movement import feedback_movement
from .._layer_response import in_gradient, own_movement, roles_of
from .._preconditions import check_algorithm, check_family, check_gradient
from .._probe import (
    LINEAR_MOVEMENT,
    Build,
    check_settings,
    each_seed,
    increasing,
    layer_rms,
    learner_of,
    networks_of,
    probe,
    rms,
    trained_and_first,
)
from ._expectations import main_lines, other_lines, predicted
from ._result import CoordinateCheck

# Just above the least movement that counts, so that no layer leaves the linear response further than it must.
AIMED_MOVEMENT = 0.015


def coordinate_check(
    build: Build,
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    widths: Sequence[int] = (128, 256, 512, 1024),
    depths: Sequence[int] | None = None,
    seeds: int = 16,
    steps: int = 4,
    rate: float | None = None,
    richness: Fraction | float | None = None,
    loss: Loss = mse,
    momentum: float = 0.0,
    epsilon: float = 1e-12,
    optimizer: Any = None,
    on_width: Callable[[int], None] = lambda width: None,
) -> CoordinateCheck:
    """Measure how every layer's movement scales with width, and judge it by the desiderata.

        RMS(z_l(t) − z_l(0)) / RMS(y − f_0) ~ M^(r − 1/2),   RMS(f_t − f_0) / RMS(y − f_0) ~ M^0     (Adam: undivided)

    **Arguments:** `build(width, key)`: the network family, built from `table`; `algorithm`; `widths`: increasing, past
    the finite-size range; `depths`: measure over depth instead, of residual networks `build(depth, key)` of one width,
    each of at least 3 layers; `seeds`: at least 2, paired over widths; `steps`: full-batch steps on a probe of 8
    examples, x ~ N(0, 1), y = tanh(2 T x); `rate`: base rate, or None to choose, at the smallest width, the least one
    that moves every layer enough to count; `richness`: r of the expected movement (default: the table's own, 1/2 for
    SP); `loss`, `momentum`; `epsilon`: Adam's, small as the probe's gradients; `optimizer`: the
    table's own, or a pair of it and a function (see `training.train`).

    **Returns:** a `CoordinateCheck`; print it, or ask `.passed`. A line passes where |slope − expected| <= max(0.05,
    2 se), se <= 0.03, and the layer, but for errors and biases, moves by at least 1 % at the smallest width; 0.1
    instead of 0.05 over depth and of feedback.

    **Raises:** `InputError` for widths that do not increase, fewer than two seeds, and networks built from another
    table; by the layer's name, for stages that do not grow with the width and an algorithm whose errors or gradients
    have other shapes than the network or are not finite; and for what the algorithm refuses of a batch.

    Source: arXiv 2404.19719 (desiderata); docs/theory.md A4, B2.
    """
    deep = depths is not None
    sizes = increasing(widths) if depths is None else _increasing_depths(depths)
    check_settings(seeds, steps, rate)
    leaves_steps(algorithm, steps)
    settings = (algorithm, loss, steps, momentum, epsilon, optimizer)
    smallest = networks_of(build, table, sizes[0], min(seeds, 4))
    if deep:
        check_algorithm(algorithm, smallest[0], loss)
    else:
        check_family(build, algorithm, loss, sizes)
    by_table = predicted(table, smallest[0], algorithm, deep)
    if rate is None:
        largest = float(max(by_table.values()))
        growth = (sizes[-1] / sizes[0]) ** (max(0.0, largest) if math.isfinite(largest) else 0.0)
        rate = _chosen_rate(smallest, growth, *settings)
    found = []
    for size in sizes:
        on_width(size)
        built, networks = networks_of(build, table, size, seeds)
        found.append(jax.device_get(_measure(built, networks, jnp.asarray([rate]), seeds, *settings)))
        if len(found) == 1 and not np.isfinite(found[0]["movement"]).all():
            # Of a rate that is too large, or of the algorithm itself: that one is told by its layer.
            check_gradient(algorithm, built, loss)
    if richness is None:
        richness = table.richness if table.richness is not None else Fraction(1, 2)
    lines = main_lines(sizes, found, by_table, float(richness), deep)
    if not deep:
        lines += other_lines(sizes, found, smallest[0], algorithm, table, float(richness))
    precision = None if algorithm.output_precision is None else float(algorithm.output_precision)
    norms = [float(np.median(one["curvature"])) for one in found if "curvature" in one]
    ends = (norms[0], norms[-1]) if norms else None
    residual = float(np.median(found[-1]["residual"])) if "residual" in found[-1] else None
    axis = "depth" if deep else "width"
    return CoordinateCheck(lines, tuple(sizes), seeds, steps, float(rate), precision, ends, residual, axis)


def _increasing_depths(depths: Sequence[int]) -> list[int]:
    """The depths, of networks with a first, a last hidden layer and a readout."""
    sizes = increasing(depths, "depths")
    if sizes[0] < 3:
        raise InputError(
            f"depths {sizes}",
            setting="depths",
            value=sizes,
            remedy="a first and a last hidden layer and a readout are 3 layers at least",
        )
    return sizes


def _measure(
    built: Built,
    networks: Any,
    rates: Float[Array, " rates"],
    seeds: int,
    algorithm: AbstractAlgorithm,
    loss: Loss,
    steps: int,
    momentum: float,
    epsilon: float,
    optimizer: Any,
) -> dict[str, Any]:
    """Movement of every layer, over the residual and over the layer itself, for all seeds and rates."""
    transform = chosen_update(built, optimizer, momentum=momentum, epsilon=epsilon)
    dtype, degree = jax.tree.leaves(networks)[0].dtype, float(built.table.rule.facts[0])

    def one(rule: AbstractAlgorithm, drawn: Network, key: PRNGKeyArray) -> dict[str, Any]:
        batch = probe(built, key, dtype)
        network = calibrated(drawn, batch.x)
        learner = learner_of(rule, built, network, key)
        before = forward(network, batch.x)
        found = {}
        if (problem := rule.problem(learner, batch, loss)) is not None:
            found["curvature"] = jnp.median(curvature(problem, problem.start()))
        if rule.measures_errors:
            inferred = rule.infer(prepared(rule, learner, batch, key=key), batch, loss, key=key)
            found["error"] = layer_rms(inferred.errors[:-1]) / _residual(before, batch)
            if "residual_median" in inferred.metrics:
                found["residual"] = inferred.metrics["residual_median"]
        seen = inputs(batch.x, before[:-1])
        unit = _residual(before, batch) ** degree

        def moved(rate: Array) -> dict[str, Any]:
            updated, once = trained_and_first(rule, transform, loss, learner, batch, key, rate=rate, steps=steps)
            after = forward(calibrated(updated.network, batch.x), batch.x)
            movement, relative = _movement(before, after, batch, unit)
            way = feedback_movement(learner, updated, before)
            moved = {"movement": movement, "relative": relative} | ({} if way is None else {"feedback": way})
            if _normalizes_by_the_batch(built):
                return moved
            # Later steps fit what examples share before all else: of biases the first alone tells the exponent.
            return moved | {"own": _own(built, network, once, seen, before, batch)}

        return found | jax.lax.map(moved, rates.astype(dtype))

    return each_seed(one, built, algorithm, networks, seeds)


def _movement(
    before: Any, after: Any, batch: Batch, unit: Float[Array, ""]
) -> tuple[Float[Array, " layers"], Float[Array, " layers"]]:
    """RMS of every layer's change, over a unit, and over the layer's own (the output: over the initial residual's)."""
    change = layer_rms(jax.tree.map(jnp.subtract, after, before))
    return change / unit, change / layer_rms(before).at[-1].set(_residual(before, batch))


def _residual(before: Any, batch: Batch) -> Float[Array, ""]:
    return rms(batch.y - before[-1][0])


def _shared(before: Any, batch: Batch) -> Float[Array, ""]:
    """What all examples miss alike, RMS of the mean residual: a bias, the same for all, follows that alone."""
    return rms(jnp.mean(batch.y - before[-1][0], axis=0))


def _normalizes_by_the_batch(built: Built) -> bool:
    """Whether one layer's update changes statistics in others, so that no role's movement is its own."""
    return any(segment.stages.has_statistics for segment in built.network.segments)


def _own(
    built: Built, network: Network, updated: Network, seen: Any, states: States, batch: Batch
) -> dict[Role, Float[Array, " layers"]]:
    """The first movement by each role's arrays alone, at the inputs of the first forward pass.

    Over the residual to the optimizer's degree in the gradient; of biases over what all examples miss alike.
    """
    rows: dict[Role, list[Array]] = {}
    last = len(network.segments) - 1
    for index, roles in enumerate(roles_of(built)):
        for role in roles:
            # What a gain in the readout should do depends on r; those below tell the same.
            if role.is_norm and index == last:
                continue
            missed = _shared(states, batch) if role.is_bias else _residual(states, batch)
            moved = own_movement(built, network, updated, seen, states, index, role)
            rows.setdefault(role, []).append(moved / in_gradient(missed, built, role))
    return {role: jnp.concatenate(values) for role, values in rows.items()}


def _chosen_rate(networks: tuple[Built, Any], growth: float, algorithm: AbstractAlgorithm, *settings: Any) -> float:
    """The least rate, on a grid of half octaves, at which every layer moves enough to count.

    Where that would move some layer by more than its own size, the largest rate that does not: the check then fails
    for want of movement, and says so. Where the table itself makes movement grow over the widths, by the factor
    `growth`, the largest width must still respond linearly, or its slopes would not show the table's exponents.
    """
    built, arrays = networks
    seeds = jax.tree.leaves(arrays)[0].shape[0]
    grid = 2.0 ** np.arange(-24.0, 24.5, 0.5)
    relative = np.asarray(_measure(built, arrays, jnp.asarray(grid), seeds, algorithm, *settings)["relative"])
    typical = np.median(relative, axis=0)
    largest = 1.0 if growth == 1 else LINEAR_MOVEMENT / growth
    bounded = np.isfinite(typical).all(axis=1) & (typical.max(axis=1) <= largest)
    # Beyond the first rate that is too large a diverged network may seem to stand still again.
    stable = np.logical_and.accumulate(bounded)
    if not stable.any():
        check_gradient(algorithm, built, settings[0])
        raise InputError(
            "the network moves by more than its own size at every rate",
            setting="rate",
            value=None,
            remedy="give one with --rate",
        )
    enough = stable & (typical.min(axis=1) >= AIMED_MOVEMENT)
    return float(grid[np.argmax(enough)] if enough.any() else grid[stable][-1])
