"""Signal-flow desiderata: what a network's first update must do at every width, measured without a rate.

Along the direction θ̇ of an algorithm's first update, every layer's representation h_l changes as ḣ_l, by forward
differentiation. With f = h_L, J_l = ∂f/∂h_l, and f_l(h_{l-1}; θ_l) a layer:

    start       h_l of order one; the prediction f_0 of order one at most
    movement    ḣ_l of order one at most, relative to the misfit y − f_0
    output      ḟ of order one, relative to the misfit
    passed on   J_l ḣ_l is a part of ḟ that does not vanish: every representation's update contributes to the output's
    own         ∂f_l/∂θ_l θ̇_l is a part of ḣ_l that does not vanish: each layer's update moves what comes next

Of all powers of width, layer by layer, these leave one degree of freedom: the richness r in [0, 1/2], which the slope
of the movement, r − 1/2, tells. Linear response needs no rate and has no finite step: it sees neither what several
steps add up to nor whether training is stable at some rate; the coordinate check does. The statistics of batch
normalization are those of the forward pass, and held.

Source: arXiv 2404.19719; docs/theory.md A1, A2.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm, Batch, Learner
from ..network import Network, States, calibrated, each, forward, inputs, pullback
from ..parameterizations import Parameterization
from ..training import first_gradients, init_learner, optimizer, streams
from ._preconditions import check_family, check_gradient
from ._probe import Build, builts_of, increasing, layer_rms, probe, rms
from ._slopes import log_slope

TOLERANCE = 0.1
# Quantities that may shrink with width, but not grow: their line passes below the tolerance.
AT_MOST = ("start, output", "movement")
ORDER = ("start", "start, output", "movement", "own", "passed on", "output")


@dataclasses.dataclass(frozen=True)
class Desideratum:
    """One line: how a part of the signal flow scales with width.

    **Arguments:** `quantity`: `"start"`, `"start, output"`, `"movement"`, `"output"`, `"passed on"` or `"own"`;
    `layer`: from 1; `slope`, `se`: of log RMS against log M, its standard error over seeds; `passed`.
    """

    quantity: str
    layer: int
    slope: float
    se: float
    passed: bool


@dataclasses.dataclass(frozen=True)
class Desiderata:
    """The desiderata of one network family.

    **Arguments:** `lines`; `widths`; `seeds`.
    """

    lines: tuple[Desideratum, ...]
    widths: tuple[int, ...]
    seeds: int

    @property
    def passed(self) -> bool:
        """Whether every line passed."""
        return all(line.passed for line in self.lines)

    @property
    def richness(self) -> float:
        """Measured r: the slope of the last representation's movement, plus 1/2."""
        return [line.slope for line in self.lines if line.quantity == "movement"][-1] + 0.5

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return dataclasses.asdict(self) | {"passed": self.passed, "richness": self.richness}

    def __str__(self) -> str:
        rows = [f"{'quantity':14s} layer   slope     se  expected  verdict"]
        for line in self.lines:
            expected = "<= 0" if line.quantity in AT_MOST else "0"
            rows.append(
                f"{line.quantity:14s} {line.layer:5d} {line.slope:7.3f} {line.se:6.3f}  {expected:>8s}  "
                f"{'passed' if line.passed else 'FAILED'}"
            )
        rows.append(f"widths {self.widths[0]} to {self.widths[-1]}, {self.seeds} seeds, first update")
        failed = ", ".join(f"{line.quantity} {line.layer}" for line in self.lines if not line.passed)
        rows.append(f"FAILED: {failed}" if failed else f"passed: a stable table, richness {self.richness:.2f}")
        return "\n".join(rows)


def desiderata(
    build: Build,
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    widths: Sequence[int] = (128, 256, 512, 1024),
    seeds: int = 8,
    loss: Loss = mse,
    epsilon: float = 1e-12,
    tolerance: float = TOLERANCE,
    on_width: Callable[[int], None] = lambda width: None,
) -> Desiderata:
    """Measure the signal flow of the first update over widths, and judge each part of it.

    **Arguments:** `build`, `algorithm`, `table`, `widths`, `seeds`, `loss`, `epsilon`: as in `coordinate_check`, whose
    probe this uses; `tolerance`: of the slopes. The table's base should lie well below the widths: near it all
    exponents look alike.

    **Returns:** a `Desiderata`; print it, or ask `.passed`. A line passes where |slope| (or the slope, where a quantity
    may shrink) is at most the tolerance, and its standard error too.

    **Raises:** `InputError` for widths that do not increase, fewer than two seeds, an algorithm whose first updates
    leave the network as it is, networks built from another table, and families and algorithms that are not sound (as
    in `coordinate_check`).
    """
    widths = increasing(widths)
    if seeds < 2:
        raise InputError(f"seeds {seeds}", setting="seeds", value=seeds, remedy="a slope's error needs two")
    if algorithm.pretraining:
        raise InputError(
            f"pretraining is {algorithm.pretraining}, so that the first update is the feedback's alone",
            setting="pretraining",
            value=algorithm.pretraining,
            remedy="give the algorithm no pretraining",
        )
    check_family(build, algorithm, loss, widths)
    found: dict[str, list[np.ndarray]] = {}
    for width in widths:
        on_width(width)
        for name, values in _of_width(build, algorithm, table, width, seeds, loss, epsilon).items():
            found.setdefault(name, []).append(np.asarray(values, float))
        if width == widths[0] and not np.isfinite(found["movement"][0]).all():
            check_gradient(algorithm, build(width, streams(0).init), loss)
    stacked = {name: np.stack(rows) for name, rows in found.items()}
    return Desiderata(_lines(widths, stacked, tolerance), tuple(widths), seeds)


def _lines(widths: list[int], found: dict[str, np.ndarray], tolerance: float) -> tuple[Desideratum, ...]:
    """The verdicts; values are (widths, seeds, layers)."""
    depth = found["start"].shape[2] + 1
    first = {"start, output": depth, "output": depth, "own": 2}
    lines = []
    for name in ORDER:
        values = found[name]
        for index in range(values.shape[2]):
            slope, error = log_slope(widths, values[:, :, index].T)
            # A comparison with NaN is false: what overflows fails.
            small = slope <= tolerance if name in AT_MOST else abs(slope) <= tolerance
            passed = bool(small and error <= tolerance)
            lines.append(Desideratum(name, first.get(name, 1) + index, slope, error, passed))
    return tuple(lines)


def _of_width(
    build: Build,
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    width: int,
    seeds: int,
    loss: Loss,
    epsilon: float,
) -> dict[str, Float[Array, "seeds layers"]]:
    """All quantities of one width."""
    builts = builts_of(build, table, width, seeds)
    keys = [streams(seed).order for seed in range(seeds)]
    batches = [probe(built, key, builts[0].network.dtype) for built, key in zip(builts, keys, strict=True)]
    # As a training step begins: no update comes before the statistics of its batch.
    builts = [
        eqx.tree_at(lambda b: b.network, built, calibrated(built.network, batch.x))
        for built, batch in zip(builts, batches, strict=True)
    ]
    learners = [init_learner(algorithm, built, key=key) for built, key in zip(builts, keys, strict=True)]
    learner, batch = (_stacked(rows) for rows in (learners, batches))
    gradients = _gradients(algorithm, learner, batch, jnp.stack(keys), loss)
    # Elementwise, so all seeds at once; and apart, so that tables which differ in exponents share compiled programs.
    transform = optimizer(builts[0], epsilon=epsilon)
    weights = eqx.filter(learner.network, eqx.is_inexact_array)
    updates, _ = transform.update(gradients, transform.init(weights), weights, rate=jnp.ones((), batch.x.dtype))
    return _flow(learner.network, updates, batch)


def _stacked(rows: Sequence[Any]) -> Any:
    arrays = [eqx.filter(row, eqx.is_array) for row in rows]
    static = eqx.filter(rows[0], eqx.is_array, inverse=True)
    return eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), static)


@eqx.filter_jit
def _gradients(algorithm: AbstractAlgorithm, learner: Learner, batch: Batch, keys: Array, loss: Loss) -> Network:
    """The first update's gradient, a seed after the other."""
    arrays, static = eqx.partition(learner, eqx.is_array)

    def one(row: tuple[Any, Batch, PRNGKeyArray]) -> Network:
        held, batch, key = eqx.combine(row[0], static), row[1], row[2]
        gradients = first_gradients(algorithm, held, batch, loss, key=key)
        return eqx.filter(gradients, eqx.is_inexact_array)

    return jax.lax.map(one, (arrays, batch, keys))


@eqx.filter_jit
def _flow(network: Network, updates: Network, batch: Batch) -> dict[str, Float[Array, "seeds layers"]]:
    """What an update does to every representation, a seed after the other."""
    arrays, fixed = eqx.partition(network, eqx.is_array)

    def one(row: tuple[Any, Any, Batch]) -> dict[str, Array]:
        held, update, (x, y) = row
        weights, static = eqx.partition(eqx.combine(held, fixed), eqx.is_inexact_array)
        states, moved = jax.jvp(lambda w: forward(eqx.combine(w, static), x), (weights,), (update,))
        seen = inputs(x, states[:-1])

        def at_once(w: Any) -> States:
            layers = zip(eqx.combine(w, static).segments, seen, strict=True)
            return tuple(each(lambda stage, below: stage(below), segment, below) for segment, below in layers)

        own = layer_rms(jax.jvp(at_once, (weights,), (update,))[1])
        misfit, sizes, changes = rms(y - states[-1][0]), layer_rms(states), layer_rms(moved)
        return {
            "start": sizes[:-1],
            "start, output": sizes[-1:],
            "movement": changes[:-1] / misfit,
            "output": changes[-1:] / misfit,
            "passed on": _passed_on(eqx.combine(weights, static), states[:-1], moved[:-1]) / changes[-1],
            # The first layer's input does not move: its own part is all.
            "own": (own / changes)[1:],
        }

    return jax.lax.map(one, (arrays, updates, batch))


def _passed_on(network: Network, hidden: States, moved: States) -> Float[Array, " hidden"]:
    """RMS of J_l ḣ_l, over examples and outputs, for every hidden layer."""
    batch = jax.tree.leaves(hidden)[0].shape[1]

    def along(unit: Array) -> Array:
        rows = pullback(network, hidden, jnp.broadcast_to(unit, (batch, unit.size)))
        parts = [
            sum(
                jnp.sum(r * m, axis=tuple(range(2, r.ndim)))
                for r, m in zip(jax.tree.leaves(row), jax.tree.leaves(move), strict=True)
            )
            for row, move in zip(rows, moved, strict=True)
        ]
        return jnp.concatenate(parts)

    found = jax.vmap(along)(jnp.eye(network.out_size, dtype=jax.tree.leaves(hidden)[0].dtype))
    return jnp.sqrt(jnp.mean(found**2, axis=(0, 2)))
