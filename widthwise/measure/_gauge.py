"""A gauge move proved by training: the same network in two gauges, side by side, in float64.

    W = M^-a w is the same in both, so that f_t − f'_t = 0 at every step t, but for rounding

Source: arXiv 2404.19719; docs/theory.md A3.
"""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm
from ..network import Built
from ..parameterizations import Parameterization
from ..training import TrainState, init_learner, leaves_steps, make_step, optimizer, scan_steps, start, streams
from ._probe import probe

ROUNDING = 1e-12
# Networks that hardly move agree whatever the rates.
LEAST_CHANGE = 1e-2


@dataclasses.dataclass(frozen=True)
class GaugeProof:
    """Two gauges after the same training.

    **Arguments:** `differences`: the largest |f_t − f'_t| over the largest |f_t|, for t = 0, 1, …; `change`: how far
    training moved f, in the same unit.
    """

    differences: tuple[float, ...]
    change: float

    @property
    def passed(self) -> bool:
        """Whether training moved the output, and the two gauges never differed by more than rounding, 1e-12."""
        return self.change >= LEAST_CHANGE and all(value <= ROUNDING for value in self.differences)

    def __str__(self) -> str:
        steps = len(self.differences) - 1
        worst = max(self.differences, key=lambda value: math.inf if math.isnan(value) else value)
        line = (
            f"largest difference of outputs over {steps} steps {worst:.1e}; training changed them by {self.change:.1e}"
        )
        if not math.isfinite(self.change):
            return f"{line}\nFAILED: training diverged; give a lower --rate"
        if self.change < LEAST_CHANGE:
            return f"{line}\nFAILED: nothing was learned, so nothing is shown; give a higher --rate"
        return f"{line}\n{'passed: the two train alike' if self.passed else 'FAILED: these are two trainings'}"


def prove_gauge(
    build: Callable[[Parameterization, PRNGKeyArray], Built],
    algorithm: AbstractAlgorithm,
    one: Parameterization,
    other: Parameterization,
    *,
    rate: float,
    steps: int = 8,
    seed: int = 0,
    loss: Loss = mse,
    momentum: float = 0.0,
    epsilon: float = 1e-8,
) -> GaugeProof:
    """Train one network under two tables side by side, and compare their outputs at every step.

    **Arguments:** `build(table, key)`: the network, away from the tables' base size; `algorithm`; `one`, `other`:
    the tables; `rate`: base rate; `steps`: on a fixed probe of 8 examples; `seed`; `loss`, `momentum`; `epsilon`:
    Adam's.

    **Returns:** a `GaugeProof`; print it, or ask `.passed`.

    **Raises:** `InputError` without 64 bits, for steps below 1 or a rate that is not positive, and for networks of the
    base size, where every gauge is the same numbers.
    """
    if not jax.config.read("jax_enable_x64"):
        raise InputError(
            "jax_enable_x64 is False, and a proof needs float64",
            setting="jax_enable_x64",
            value=False,
            remedy="jax.config.update('jax_enable_x64', True) before anything is built",
        )
    if steps < 1:
        raise InputError(f"steps {steps}", setting="steps", value=steps, remedy="a proof needs at least one")
    if not 0 < rate < math.inf:
        raise InputError(f"rate is {rate}", setting="rate", value=rate, remedy="it must be positive and finite")
    leaves_steps(algorithm, steps)
    histories = [
        _outputs(build, algorithm, table, rate, steps, seed, loss, momentum, epsilon) for table in (one, other)
    ]
    size = jnp.max(jnp.abs(histories[0]), axis=(1, 2))
    differences = jnp.max(jnp.abs(histories[0] - histories[1]), axis=(1, 2)) / size
    change = jnp.max(jnp.abs(histories[0][-1] - histories[0][0])) / size[-1]
    return GaugeProof(tuple(map(float, differences)), float(change))


def _outputs(
    build: Callable[[Parameterization, PRNGKeyArray], Built],
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    rate: float,
    steps: int,
    seed: int,
    loss: Loss,
    momentum: float,
    epsilon: float,
) -> Float[Array, "times batch out"]:
    """The outputs on the probe before every step, and after the last."""
    keys = streams(seed)
    built = build(table, keys.init)
    size = built.sizes[0]
    if size.width == size.base_width:
        raise InputError(
            f"the network has the base width {size.width}, at which gauges are the same numbers",
            setting="width",
            value=size.width,
            remedy="prove it at another",
        )
    transform = optimizer(built, momentum=momentum, epsilon=epsilon)
    step = make_step(algorithm, transform, loss)
    batch = probe(built, keys.order, jnp.zeros(()).dtype)
    learner = init_learner(algorithm, built, key=keys.algorithm)
    state = start(learner, transform, jnp.asarray(rate, batch.x.dtype))

    @eqx.filter_jit
    def again(state: TrainState) -> TrainState:
        return scan_steps(step, state, batch, 1, None, keys.algorithm)[0]

    outputs = [state.learner.network(batch.x)]
    for _ in range(steps):
        state = again(state)
        outputs.append(state.learner.network(batch.x))
    return jnp.stack(outputs)
