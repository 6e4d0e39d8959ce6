"""The coordinate check: does every layer move as it should as the network grows wider?

A few full-batch steps on a fixed probe; the RMS of each layer's movement, and of the output's change, divided by the
seed's initial residual, against width. Expected slopes come from what training should do (the desiderata: movement
r − 1/2, output 0), predicted ones from the exponents of the table under test; only the first decide.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm, Batch, PredictiveCoding, TargetPropagation, TiedFeedback
from ..inference import curvature
from ..network import Built, calibrated, forward
from ..parameterization import OWN, Parameterization, Role
from ..theory import predicted_slopes
from ..training import leaves_steps, make_step, optimizer, start, streams
from ._feedback import feedback_movement, predicted_feedback_slopes
from ._probe import Build, increasing, networks_of, probe
from ._slopes import log_slope

TOLERANCE = 0.05
LARGEST_ERROR = 0.03
# Of feedback, whose reconstruction changes as it learns.
FEEDBACK_TOLERANCE = 0.1
LEAST_MOVEMENT = 0.01
# Just above the least movement that counts, so that no layer leaves the linear response further than it must.
AIMED_MOVEMENT = 0.015
# Up to about this much of its own size a layer responds linearly to the rate.
LINEAR_MOVEMENT = 0.3
# Below this, predictive coding's update differs from its wide limit by less than the tolerance on slopes.
SMALL_CURVATURE = 0.05


@dataclasses.dataclass(frozen=True)
class Line:
    """One quantity's verdict.

    **Arguments:** `quantity`: `"movement"`, `"output"` or, where feedback learns, `"feedback"`; `layer`: from 1;
    `slope`, `se`: measured; `expected`: by the desiderata; `predicted`: by the exponents under test; `movement_min`: at
    the smallest width, relative to the features (for the output: to the initial residual); `passed`.
    """

    quantity: str
    layer: int
    slope: float
    se: float
    expected: float
    predicted: float
    movement_min: float
    passed: bool


@dataclasses.dataclass(frozen=True)
class CoordinateCheck:
    """A coordinate check: its lines, and under which settings they were measured.

    **Arguments:** `lines`; `widths`, `seeds`, `steps`; `rate`: base rate; `output_precision`: γ', None for BP;
    `curvature`: ‖C‖ at the smallest and the largest width, None for BP.
    """

    lines: tuple[Line, ...]
    widths: tuple[int, ...]
    seeds: int
    steps: int
    rate: float
    output_precision: float | None
    curvature: tuple[float, float] | None

    @property
    def passed(self) -> bool:
        """Whether every line passed."""
        return all(line.passed for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return dataclasses.asdict(self) | {"passed": self.passed}

    def __str__(self) -> str:
        rows = [f"{'quantity':10s} layer   slope     se  expected  predicted  moves  verdict"]
        for line in self.lines:
            rows.append(
                f"{line.quantity:10s} {line.layer:5d} {line.slope:7.3f} {line.se:6.3f} {line.expected:9.3f} "
                f"{line.predicted:10.3f} {line.movement_min:6.1%}  {'passed' if line.passed else 'FAILED'}"
            )
        spread = f"widths {self.widths[0]} to {self.widths[-1]}, {self.seeds} seeds, {self.steps} steps"
        settings = f"{spread}, base rate {self.rate:.4g}"
        if self.curvature is not None:
            settings += (
                f", output precision {self.output_precision:.4g}, "
                f"‖C‖ {self.curvature[0]:.3g} to {self.curvature[1]:.3g}"
            )
        verdict = "passed" if self.passed else "FAILED: rates will not transfer over width"
        return "\n".join([*rows, settings, verdict, *self._hint()])

    def _hint(self) -> list[str]:
        """Why a right table may fail here: the curvature has not yet reached its limit at the smallest width."""
        if self.passed or self.curvature is None or self.curvature[0] <= SMALL_CURVATURE:
            return []
        first, last = self.curvature
        if abs(first - last) < 0.5 * first:
            return []
        return [
            f"‖C‖ falls from {first:.2g} to {last:.2g} over these widths, a transient that every slope carries: "
            f"use an output precision of {SMALL_CURVATURE / first * (self.output_precision or 1):.1g} "
            f"(base rates grow by its inverse), or larger widths, to see the table's own slopes"
        ]


def coordinate_check(
    build: Build,
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    widths: Sequence[int] = (128, 256, 512, 1024),
    seeds: int = 16,
    steps: int = 4,
    rate: float | None = None,
    richness: Fraction | float | None = None,
    loss: Loss = mse,
    momentum: float = 0.0,
    epsilon: float = 1e-12,
    on_width: Callable[[int], None] = lambda width: None,
) -> CoordinateCheck:
    """Measure how every layer's movement scales with width, and judge it by the desiderata.

        RMS(z_l(t) − z_l(0)) / RMS(y − f_0) ~ M^(r − 1/2),   RMS(f_t − f_0) / RMS(y − f_0) ~ M^0

    **Arguments:** `build(width, key)`: the network family, built from `table`; `algorithm`; `widths`: increasing, past
    the finite-size range; `seeds`: at least 2, paired over widths; `steps`: full-batch steps on a probe of 8 examples,
    x ~ N(0, 1), y = tanh(2 T x); `rate`: base rate, or None to choose, at the smallest width, the least one that
    moves every layer enough to count; `richness`: r of the expected movement (default: the table's own, 1/2 for
    SP); `loss`, `momentum`; `epsilon`: Adam's, small as the probe's gradients.

    **Returns:** a `CoordinateCheck`; print it, or ask `.passed`. A line passes where |slope − expected| <= max(0.05,
    2 se), se <= 0.03, and the layer moves by at least 1 % at the smallest width.

    **Raises:** `InputError` for widths that do not increase, fewer than two seeds, and networks built from another
    table.

    Source: arXiv 2404.19719 (desiderata); docs/theory.md A4, B2.
    """
    widths = increasing(widths)
    if seeds < 2 or steps < 1:
        raise InputError(f"seeds {seeds}, steps {steps}: a slope's error needs two seeds, a movement one step")
    leaves_steps(algorithm, steps)
    if rate is not None and not 0 < rate < math.inf:
        raise InputError(f"rate is {rate}: it must be positive and finite, or None to be chosen")
    settings = (algorithm, loss, steps, momentum, epsilon)
    smallest = networks_of(build, table, widths[0], min(seeds, 4))
    predicted = _predicted(table, smallest[0], algorithm)
    if rate is None:
        largest = float(max(predicted.values()))
        growth = (widths[-1] / widths[0]) ** (max(0.0, largest) if math.isfinite(largest) else 0.0)
        rate = _chosen_rate(smallest, growth, *settings)
    movements, relative, ways = [], [], []
    norms: list[float] = []
    for width in widths:
        on_width(width)
        built, networks = networks_of(build, table, width, seeds)
        moved = _measure(built, networks, jnp.asarray([rate]), seeds, *settings)
        movements.append(np.asarray(moved["movement"])[:, 0])
        relative.append(np.asarray(moved["relative"])[:, 0])
        ways.append([np.asarray(held)[:, 0] for held in moved["feedback"]] if "feedback" in moved else [])
        norms += [float(np.median(moved["curvature"]))] if "curvature" in moved else []
    if richness is None:
        richness = table.richness if table.richness is not None else Fraction(1, 2)
    lines = _lines(widths, np.stack(movements), relative[0], predicted, float(richness))
    if ways[0]:
        lines += _feedback_lines(widths, np.stack([held[0] for held in ways]), ways[0][1], table, algorithm)
    precision = float(algorithm.output_precision) if isinstance(algorithm, PredictiveCoding) else None
    ends = (norms[0], norms[-1]) if norms else None
    return CoordinateCheck(lines, tuple(widths), seeds, steps, float(rate), precision, ends)


def _predicted(table: Parameterization, built: Built, algorithm: AbstractAlgorithm) -> dict[str, Any]:
    """The slopes that the table's exponents imply for this network; NaN for an algorithm that nothing is known of."""
    if table.algorithm == OWN:
        return dict.fromkeys(("first", "hidden", "output"), math.nan)
    roles = {leaf.role for leaf in jax.tree.leaves(built.scalings)}
    return predicted_slopes(
        table,
        depth=built.network.depth,
        bias=any(role.is_bias for role in roles),
        residual=Role.BRANCH in roles,
        fixed_prediction=isinstance(algorithm, PredictiveCoding) and algorithm.fixed_prediction,
        feedback=_feedback(algorithm),
    )


def _feedback(algorithm: AbstractAlgorithm) -> str | None:
    """How targets come down, as the exponents count it; None where none do."""
    if not isinstance(algorithm, TargetPropagation):
        return None
    return "tied" if isinstance(algorithm.feedback, TiedFeedback) else "batch"


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
) -> dict[str, Any]:
    """Movement of every layer, over the residual and over the layer itself, for all seeds and rates.

    Seeds and rates are visited one after the other: wide networks need the memory.
    """
    transform = optimizer(built, momentum=momentum, epsilon=epsilon)
    static = eqx.filter(built.network, eqx.is_array, inverse=True)
    rule_arrays, rule_static = eqx.partition(algorithm, eqx.is_array)
    dtype = jax.tree.leaves(networks)[0].dtype

    def one(rule_arrays: Any, row: tuple[Any, PRNGKeyArray]) -> dict[str, Any]:
        arrays, key = row
        rule = eqx.combine(rule_arrays, rule_static)
        step = make_step(rule, transform, loss)
        network = eqx.combine(arrays, static)
        learner = rule.init(eqx.tree_at(lambda b: b.network, built, network), key=key)
        batch = probe(built, key, dtype)
        before = forward(calibrated(network, batch.x), batch.x)
        found = {}
        if isinstance(rule, PredictiveCoding):
            problem = rule.problem(learner, batch, loss)
            found["curvature"] = jnp.median(curvature(problem, problem.start()))

        def moved(rate: Array) -> dict[str, Any]:
            arrays, static = eqx.partition(start(learner, transform, rate), eqx.is_array)

            def again(_: Any, arrays: Any) -> Any:
                return eqx.filter(step(eqx.combine(arrays, static), batch, key)[0], eqx.is_array)

            state = eqx.combine(jax.lax.fori_loop(0, steps, again, arrays), static)
            after = forward(calibrated(state.learner.network, batch.x), batch.x)
            movement, relative = _movement(before, after, batch)
            way = feedback_movement(learner, state.learner, before)
            return {"movement": movement, "relative": relative} | ({} if way is None else {"feedback": way})

        return found | jax.lax.map(moved, rates.astype(dtype))

    keys = jnp.stack([streams(seed).order for seed in range(seeds)])
    return jax.jit(lambda rule, rows: jax.lax.map(lambda row: one(rule, row), rows))(rule_arrays, (networks, keys))


def _movement(before: Any, after: Any, batch: Batch) -> tuple[Float[Array, " layers"], Float[Array, " layers"]]:
    """RMS of every layer's change, over the initial residual's RMS, and over the layer's own (the output: residual)."""

    def rms(states: Any) -> Array:
        return jnp.concatenate([jnp.sqrt(jnp.mean(s**2, axis=tuple(range(1, s.ndim)))) for s in states])

    change = rms(jax.tree.map(jnp.subtract, after, before))
    residual = jnp.sqrt(jnp.mean((batch.y - before[-1][0]) ** 2))
    own = rms(before).at[-1].set(residual)
    return change / residual, change / own


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
        raise InputError("the network moves by more than its own size at every rate: give one with --rate")
    enough = stable & (typical.min(axis=1) >= AIMED_MOVEMENT)
    return float(grid[np.argmax(enough)] if enough.any() else grid[stable][-1])


def _feedback_lines(
    widths: list[int], movements: np.ndarray, relative: np.ndarray, table: Parameterization, algorithm: Any
) -> tuple[Line, ...]:
    """The verdict of every layer's feedback: it should move by as much at every width."""
    predicted = predicted_feedback_slopes(table, algorithm.feedback.optimizer)
    lines = []
    layers = movements.shape[-1]
    for index in range(layers):
        slope, error = log_slope(widths, movements[:, :, index].T)
        moved = float(np.median(relative[:, index]))
        passed = bool(abs(slope) <= max(FEEDBACK_TOLERANCE, 2 * error) and moved >= LEAST_MOVEMENT)
        part = "output" if index == layers - 1 else "hidden"
        lines.append(Line("feedback", index + 2, slope, error, 0.0, float(predicted[part]), moved, passed))
    return tuple(lines)


def _lines(
    widths: list[int],
    movements: np.ndarray,
    relative: np.ndarray,
    predicted: dict[str, Any],
    richness: float,
) -> tuple[Line, ...]:
    """The verdict of every layer, the output last."""
    layers = movements.shape[-1]
    lines = []
    for index in range(layers):
        output = index == layers - 1
        slope, error = log_slope(widths, movements[:, :, index].T)
        expected = 0.0 if output else richness - 0.5
        moved = float(np.median(relative[:, index]))
        within = abs(slope - expected) <= max(TOLERANCE, 2 * error)
        passed = bool(within and error <= LARGEST_ERROR and moved >= LEAST_MOVEMENT)
        part = "output" if output else "first" if index == 0 else "hidden"
        quantity = "output" if output else "movement"
        lines.append(Line(quantity, index + 1, slope, error, expected, float(predicted[part]), moved, passed))
    return tuple(lines)
