"""How rich training is, measured: do features move, does the kernel, and does the linearized model predict the outcome?

    movement    RMS(z_{L-1}(t) − z_{L-1}(0)) / RMS(z_{L-1}(0)) ~ M^(r − 1/2)
    kernel      |K_t − K_0| / |K_0|, K the empirical NTK on the training examples
    distance    RMS(f_t(x') − f̂_t(x')) / RMS(y − f_0), f̂ the kernel's prediction after as many steps, x' fresh inputs

At r = 0 (lazy) all three vanish with width: the network becomes its linearization; at r = 1/2 (rich) none does.

Sources: arXiv 2404.19719, 1806.07572; docs/theory.md A1, B2a.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._errors import InputError
from .._loss import mse
from ..algorithms import AbstractAlgorithm
from ..network import Built, forward
from ..parameterization import Parameterization
from ..theory import kernel_flow, neural_tangent_kernel
from ..training import leaves_steps, make_step, optimizer, start, streams
from ._probe import Build, increasing, networks_of, probe, rms
from ._slopes import log_slope

QUANTITIES = ("movement", "kernel", "distance")
# The stream of fresh inputs, apart from the probe's own.
FRESH = 1


@dataclasses.dataclass(frozen=True)
class Richness:
    """How much training moves, over widths.

    **Arguments:** `widths`; `values`: for each of `"movement"`, `"kernel"` and `"distance"` an array (widths, seeds);
    `learned`: (widths, seeds), how much of the initial misfit RMS(y − f_0) training removed, 1 for all.
    """

    widths: tuple[int, ...]
    values: dict[str, np.ndarray]
    learned: np.ndarray

    def slope(self, quantity: str) -> tuple[float, float]:
        """d log quantity / d log M over the widths, and its standard error over seeds."""
        return log_slope(list(self.widths), self.values[quantity].T)

    @property
    def richness(self) -> tuple[float, float]:
        """Measured r: the slope of the features' movement, plus 1/2; and its standard error."""
        slope, error = self.slope("movement")
        return slope + 0.5, error

    def __str__(self) -> str:
        lines = [f"{'width':>6s} {'movement':>9s} {'kernel':>9s} {'distance':>9s} {'learned':>8s}"]
        medians = {name: np.median(rows, axis=1) for name, rows in self.values.items()}
        for index, width in enumerate(self.widths):
            row = " ".join(f"{medians[name][index]:9.4f}" for name in QUANTITIES)
            lines.append(f"{width:6d} {row} {np.median(self.learned[index]):8.1%}")
        slopes = (f"{name} {slope:.3f} ± {error:.3f}" for name in QUANTITIES for slope, error in [self.slope(name)])
        return "\n".join([*lines, f"slopes of {', '.join(slopes)}; measured richness {self.richness[0]:.3f}"])


def richness(
    build: Build,
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    rate: float,
    widths: Sequence[int] = (64, 128, 256, 512),
    seeds: int = 8,
    steps: int = 20,
    to_convergence: bool = False,
    on_width: Callable[[int], None] = lambda width: None,
) -> Richness:
    """Measure how far features, kernel and predictions leave the kernel regime as the network grows wider.

    **Arguments:** `build`, `algorithm`, `table`, `rate`, `widths`, `seeds`, `steps`: as in `coordinate_check`, whose
    probe this uses, under the squared error; `to_convergence`: compare with the end of the kernel's training instead of
    with equal time, for algorithms that only share it.

    **Returns:** a `Richness`; print it, or ask `.slope("distance")`.

    **Raises:** `InputError` for Adam and batch normalization, which no kernel describes, widths that do not increase
    and networks of another table.
    """
    widths = increasing(widths)
    leaves_steps(algorithm, steps)
    if table.optimizer != "sgd":
        raise InputError(f"the table is for {table.optimizer}: the kernel regime is one of SGD; use optimizer 'sgd'")
    keys = jnp.stack([streams(seed).order for seed in range(seeds)])
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*QUANTITIES, "learned")}
    for width in widths:
        on_width(width)
        built, networks = networks_of(build, table, width, seeds)
        if any(segment.stages.has_statistics for segment in built.network.segments):
            raise InputError(
                "batch normalization: its statistics change as weights do, beside what the kernel describes; "
                "build the network with norm 'layer' or 'none'"
            )
        measured = _measured(built, algorithm, networks, keys, rate, steps, to_convergence)
        for name, rows in found.items():
            rows.append(np.asarray(measured[name], float))
    whole = {name: np.stack(rows) for name, rows in found.items()}
    learned = whole.pop("learned")
    return Richness(tuple(widths), whole, learned)


def _measured(
    built: Built,
    algorithm: AbstractAlgorithm,
    networks: Any,
    keys: Array,
    rate: float,
    steps: int,
    to_convergence: bool,
) -> dict[str, Array]:
    """All quantities of one width, a seed after the other."""
    transform = optimizer(built)
    static = eqx.filter(built.network, eqx.is_array, inverse=True)
    rule_arrays, rule_static = eqx.partition(algorithm, eqx.is_array)

    def one(rule_arrays: Any, arrays: Any, key: PRNGKeyArray) -> dict[str, Array]:
        rule = eqx.combine(rule_arrays, rule_static)
        before = eqx.tree_at(lambda b: b.network, built, eqx.combine(arrays, static))
        dtype = jax.tree.leaves(arrays)[0].dtype
        batch, fresh = probe(built, key, dtype), probe(built, jax.random.fold_in(key, FRESH), dtype).x
        step = make_step(rule, transform, mse)
        held, frozen = eqx.partition(
            start(rule.init(before, key=key), transform, jnp.asarray(rate, dtype)), eqx.is_array
        )

        def again(_: Any, arrays: Any) -> Any:
            return eqx.filter(step(eqx.combine(arrays, frozen), batch, key)[0], eqx.is_array)

        state = eqx.combine(jax.lax.fori_loop(0, steps, again, held), frozen)
        after = eqx.tree_at(lambda b: b.network, before, state.learner.network)
        misfit = batch.y - before.network(batch.x)
        kernel, cross = (neural_tangent_kernel(before, batch.x, to) for to in (batch.x, fresh))
        # The loss is a mean over the batch, the kernel's flow one of the sum.
        time, count = (math.inf, None) if to_convergence else (rate * steps / batch.x.shape[0], steps)
        predicted = kernel_flow(kernel, misfit.reshape(-1), time, cross, steps=count).reshape(misfit.shape)
        first, last = (forward(b.network, batch.x)[-2][-1] for b in (before, after))
        return {
            "movement": rms(last - first) / rms(first),
            "kernel": rms(neural_tangent_kernel(after, batch.x) - kernel) / rms(kernel),
            "distance": rms(after.network(fresh) - before.network(fresh) - predicted) / rms(misfit),
            "learned": 1 - rms(batch.y - after.network(batch.x)) / rms(misfit),
        }

    rows = jax.jit(lambda rule, rows: jax.lax.map(lambda row: one(rule, *row), rows))
    return rows(rule_arrays, (networks, keys))
