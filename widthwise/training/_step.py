"""One training step: infer, take the local gradients, move the weights; and many of them in one scan."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._errors import InputError
from .._loss import Loss
from .._product import in_full
from ..algorithms import AbstractAlgorithm, Batch, Learner, Metrics
from ..network import calibrated
from ._examples import Examples
from ._sharding import Split

# The stream of what learns beside the network: apart from the algorithm's own.
PREPARING = 1


class TrainState(eqx.Module):
    """All that a step changes, and the base rate.

    **Arguments:** `learner`; `memory`: the optimizer's; `step`: steps made; `rate`: base rate η.
    """

    learner: Learner
    memory: Any
    step: Int[Array, ""]
    rate: Float[Array, ""]


@runtime_checkable
class Step(Protocol):
    """One training step; `make_step` says more."""

    def __call__(
        self, state: TrainState, batch: Batch, key: PRNGKeyArray, sample: Bool[Array, ""] | None = None
    ) -> tuple[TrainState, Metrics]:
        """The state after a step, and what happened."""


def make_step(
    algorithm: AbstractAlgorithm,
    optimizer: optax.GradientTransformationExtraArgs,
    loss: Loss,
    schedule: optax.Schedule = lambda step: 1.0,
) -> Step:
    """A function that makes one training step.

        θ <- θ + optimizer(gradient of the local energies at the algorithm's inputs and targets)

    **Arguments:** `algorithm`; `optimizer`: from `training.optimizer`; `loss`; `schedule`: factor on the base rate
    at each step. `training.start` gives the first state, `training.examples` batches; docs/inference.md shows a loop.

    **Returns:** `step(state, batch, key, sample=None) -> (state, metrics)`. With `sample`, a boolean array, the
    algorithm's own diagnostics (cosine to backprop, curvature) are measured where it is true, NaN where not.
    """

    # A rule or a module of one's own must not round its factors either.
    @in_full
    def step(
        state: TrainState, batch: Batch, key: PRNGKeyArray, sample: Bool[Array, ""] | None = None
    ) -> tuple[TrainState, Metrics]:
        network = calibrated(state.learner.network, batch.x)
        learner = eqx.tree_at(lambda held: held.network, state.learner, network)
        learner = algorithm.prepare(learner, batch, key=jax.random.fold_in(key, PREPARING))
        gradients, metrics = algorithm.grads(learner, batch, loss, key=key)
        if sample is not None:
            metrics = metrics | _at_samples(
                sample, lambda: algorithm.diagnose(learner, batch, loss, gradients, key=key)
            )
        parameters = eqx.filter(learner.network, eqx.is_inexact_array)
        # Optax's schedules mix floats with the integer count, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            rate = (state.rate * schedule(state.step)).astype(state.rate.dtype)
        updates, memory = optimizer.update(gradients, state.memory, parameters, rate=rate)
        if algorithm.pretraining:
            # The step count alone decides, so that a resumed run knows where it is.
            learns = state.step >= algorithm.pretraining
            updates = jax.tree.map(lambda u: jnp.where(learns, u, 0), updates)
            memory = jax.tree.map(lambda new, old: jnp.where(learns, new, old), memory, state.memory)
        network = eqx.apply_updates(learner.network, updates)
        learner = eqx.tree_at(lambda held: held.network, learner, network)
        return TrainState(learner, memory, state.step + 1, state.rate), metrics

    return step


def _at_samples(sample: Bool[Array, ""], measure: Callable[[], Metrics]) -> Metrics:
    """What `measure` finds where `sample` is true, NaN of the same shapes elsewhere."""
    shapes = jax.eval_shape(measure)

    def skipped() -> Metrics:
        return jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes)

    return jax.lax.cond(sample, measure, skipped)


def start(learner: Learner, optimizer: optax.GradientTransformationExtraArgs, rate: Float[Array, ""]) -> TrainState:
    """The state before the first step."""
    memory = optimizer.init(eqx.filter(learner.network, eqx.is_inexact_array))
    return TrainState(learner, memory, jnp.zeros((), jnp.int32), rate)


def leaves_steps(algorithm: AbstractAlgorithm, steps: int) -> None:
    """Check that some steps are left for the network itself.

    **Raises:** `InputError` where the algorithm's own first steps take them all.
    """
    if algorithm.pretraining >= steps:
        raise InputError(
            f"the feedback learns alone for the first {algorithm.pretraining} steps, of {steps} in all: the network "
            f"would not learn; take more steps, or less pretraining"
        )


def scan_steps(
    step: Step,
    state: TrainState,
    data: Examples,
    order: Int[Array, "steps batch"],
    sample: Bool[Array, " steps"] | None,
    key: PRNGKeyArray,
    split: Split | None = None,
) -> tuple[TrainState, dict[str, Float[Array, " steps"]]]:
    """Many steps in one compiled loop.

    **Arguments:** `order`: the examples of each step; `sample`: at which steps to measure the diagnostics, None
    for nowhere; `key`: the algorithm's stream, folded with the step count; `split`: each batch over several devices.

    **Returns:** the last state, and metrics with a leading axis of steps.
    """
    arrays, static = eqx.partition(state, eqx.is_array)

    def body(arrays: Any, row: tuple[Array, Array | None]) -> tuple[Any, Metrics]:
        state = eqx.combine(arrays, static)
        batch = data.batch(row[0])
        batch = batch if split is None else split.examples(batch)
        state, metrics = step(state, batch, jax.random.fold_in(key, state.step), row[1])
        return eqx.filter(state, eqx.is_array), metrics

    arrays, metrics = jax.lax.scan(body, arrays, (order, sample))
    return eqx.combine(arrays, static), metrics


def sampled(steps: int, count: int = 8) -> list[bool]:
    """Which of some steps to diagnose: about `count`, evenly, the first among them."""
    every = max(1, steps // count)
    return [index % every == 0 for index in range(steps)]
