"""How well the readout is aligned with what moved below it: whether a kernel regime can exist.

    A = RMS(W_L Δz_{L-1}) / (RMS(W_L) RMS(Δz_{L-1})) ~ M^α,   W_L and z_{L-1} of the first step's network

α = 1 where W_L Δz adds up coherently over the fan-in, as in backprop, whose Δz lies along W_L's own rows; α = 1/2 where
it adds up as random numbers would, as in target propagation, whose Δz lies in the span of the batch's own states. With
α = 1/2 the readout must be of order M^-1/2 for hidden layers to move the output, and they then move themselves: no rate
and no richness makes the features stand still while the output learns from them.

Sources: arXiv 2411.02001 (alignment of targets); 2404.19719 (kernel regime); docs/theory.md C1, C2.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm
from ..network import Built, Dense, Network, States, forward, stage_at
from ..parameterizations import Parameterization
from ..training import leaves_steps, optimizer
from ._preconditions import check_family
from ._probe import Build, each_seed, increasing, learner_of, over_widths, probe, rms, trained
from ._slopes import log_slope

QUANTITIES = ("alignment", "movement", "passed_on")


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How alignment, movement and the hidden layers' part in the output grow with the width.

    **Arguments:** `widths`; `values`: for each of `"alignment"` A, `"movement"` RMS(Δz_{L-1}) / RMS(z_{L-1}) and
    `"passed_on"` RMS(W_L Δz_{L-1}) / RMS(y − f_0), an array (widths, seeds).
    """

    widths: tuple[int, ...]
    values: dict[str, np.ndarray]

    def slope(self, quantity: str) -> tuple[float, float]:
        """d log quantity / d log M over the widths, and its standard error over seeds."""
        return log_slope(list(self.widths), self.values[quantity].T)

    def __str__(self) -> str:
        slopes = (f"{name} {slope:.3f} ± {error:.3f}" for name in QUANTITIES for slope, error in [self.slope(name)])
        return f"widths {self.widths[0]} to {self.widths[-1]}: slopes of " + ", ".join(slopes)


def alignment(
    build: Build,
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    rate: float,
    widths: Sequence[int] = (128, 256, 512, 1024),
    seeds: int = 16,
    steps: int = 4,
    loss: Loss = mse,
    epsilon: float = 1e-12,
    on_width: Callable[[int], None] = lambda width: None,
) -> Alignment:
    """Measure how the readout's alignment with its input's movement grows with the width.

    **Arguments:** as in `coordinate_check`, whose probe this uses; `rate`: base rate.

    **Returns:** an `Alignment`; print it, or ask `.slope("alignment")`.

    **Raises:** `InputError` for widths that do not increase, networks built from another table, and
    families and algorithms that are not sound (as in `coordinate_check`).
    """
    widths = increasing(widths)
    leaves_steps(algorithm, steps)
    check_family(build, algorithm, loss, widths)
    values = over_widths(
        build, table, widths, seeds,
        lambda built, networks: _measured(built, algorithm, networks, seeds, rate, steps, loss, epsilon), on_width,
    )  # fmt: skip
    return Alignment(tuple(widths), values)


def _measured(
    built: Built,
    algorithm: AbstractAlgorithm,
    networks: Any,
    seeds: int,
    rate: float,
    steps: int,
    loss: Loss,
    epsilon: float,
) -> dict[str, Any]:
    """All quantities of one width."""
    transform = optimizer(built, epsilon=epsilon)

    def one(rule: AbstractAlgorithm, network: Network, key: PRNGKeyArray) -> dict[str, Array]:
        batch = probe(built, key, jax.tree.leaves(networks)[0].dtype)
        learner = learner_of(rule, built, network, key)
        rate_array = jnp.asarray(rate, batch.x.dtype)
        updated = trained(rule, transform, loss, learner, batch, key, rate=rate_array, steps=steps).network
        states = forward(network, batch.x)
        before, after = (_below_readout(held) for held in (states, forward(updated, batch.x)))
        readout = _readout(network)
        passed_on = rms(readout(after) - readout(before))
        weight = readout.linear.multiplier.value * rms(readout.linear.weight)
        return {
            "alignment": passed_on / (weight * rms(after - before)),
            "movement": rms(after - before) / rms(before),
            "passed_on": passed_on / rms(batch.y - states[-1][0]),
        }

    return each_seed(one, built, algorithm, networks, seeds)


def _readout(network: Network) -> Dense:
    stage = stage_at(network.segments[-1], 0)
    if not isinstance(stage, Dense):
        raise InputError(
            f"the readout is a {type(stage).__name__}",
            setting="readout",
            value=type(stage).__name__,
            remedy="alignment needs one of `mlp` or `residual_mlp`",
        )
    return stage


def _below_readout(states: States) -> Array:
    """z_{L-1}."""
    return states[-2][-1]
