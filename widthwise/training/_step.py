"""One training step, in which alone weights move: the network's and its feedback's; and many of them in one scan."""

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
from ..algorithms import AbstractAlgorithm, AbstractFeedback, Batch, Learner, Metrics, Update
from ..network import Built, Feedback, Network, calibrated
from ._examples import Examples
from ._optimizer import feedback_optimizer
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

    Batch statistics, then what learns beside the network (`prepare`), then the rule's own `step`, which moves weights
    through the `update` that it is given here.

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
        learner = prepared(algorithm, learner, batch, key=jax.random.fold_in(key, PREPARING))
        # Optax's schedules mix floats with the integer count, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            rate = (state.rate * schedule(state.step)).astype(state.rate.dtype)

        def update(gradients: Network, memory: Any, network: Network) -> tuple[Network, Any]:
            parameters = eqx.filter(network, eqx.is_inexact_array)
            updates, moved = optimizer.update(gradients, memory, parameters, rate=rate)
            if algorithm.pretraining:
                # The step count alone decides, so that a resumed run knows where it is.
                learns = state.step >= algorithm.pretraining
                updates = jax.tree.map(lambda u: jnp.where(learns, u, 0), updates)
                moved = jax.tree.map(lambda new, old: jnp.where(learns, new, old), moved, memory)
            return eqx.apply_updates(network, updates), moved

        stepped = algorithm.step(learner, state.memory, batch, loss, update, key=key)
        metrics, gradients = stepped.metrics, stepped.gradients
        if sample is not None and gradients is not None:
            metrics = metrics | _at_samples(
                sample, lambda: algorithm.diagnose(learner, batch, loss, gradients, key=key)
            )
        return TrainState(stepped.learner, stepped.memory, state.step + 1, state.rate), metrics

    return step


def _at_samples(sample: Bool[Array, ""], measure: Callable[[], Metrics]) -> Metrics:
    """What `measure` finds where `sample` is true, NaN of the same shapes elsewhere."""
    shapes = jax.eval_shape(measure)

    def skipped() -> Metrics:
        return jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes)

    return jax.lax.cond(sample, measure, skipped)


def feedback_update(way: AbstractFeedback | None, held: Feedback | None) -> Update:
    """One step of the optimizer of a feedback's weights: what `prepare` is given.

        Q <- Q + feedback_optimizer(gradients)

    **Arguments:** `way`: the algorithm's feedback; `held`: the learner's.

    **Returns:** `update(gradients, memory, weights) -> (weights, memory)`, which raises an `InputError` where there are
    no weights that learn, and where their memory was never laid out.
    """

    def update(gradients: Any, memory: Any, weights: Any) -> tuple[Any, Any]:
        if way is None or held is None or way.optimizer is None:
            raise InputError(
                "there are no feedback weights to update",
                setting="feedback",
                value=None,
                remedy="give the algorithm a `feedback` that names its `optimizer`",
            )
        if memory is None:
            raise InputError(
                "the memory of the feedback's optimizer is missing",
                setting="memory",
                value=None,
                remedy="make the learner with training.init_learner(algorithm, built, key=key)",
            )
        updates, memory = feedback_optimizer(way, held).update(gradients, memory, weights)
        return eqx.apply_updates(weights, updates), memory

    return update


def init_learner(algorithm: AbstractAlgorithm, built: Built, *, key: PRNGKeyArray) -> Learner:
    """The learner of a built network before its first step, the memory of its feedback's optimizer laid out.

    **Arguments:** `algorithm`; `built`; `key`: of feedback weights.
    """
    learner, way = algorithm.init(built, key=key), algorithm.feedback
    held = learner.feedback
    if way is None or way.optimizer is None or held is None:
        return learner
    memory = feedback_optimizer(way, held).init(eqx.filter(held.segments, eqx.is_inexact_array))
    return Learner(learner.network, held, memory)


def prepared(algorithm: AbstractAlgorithm, learner: Learner, batch: Batch, *, key: PRNGKeyArray) -> Learner:
    """The learner after what it learns on a batch beside the network, as every training step begins."""
    return algorithm.prepare(learner, batch, feedback_update(algorithm.feedback, learner.feedback), key=key)


def first_gradients(
    algorithm: AbstractAlgorithm, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray
) -> Network:
    """The direction in which a first step would move the weights, none of which move.

    **Arguments:** `learner`: from `init_learner`; the others as of `make_step`'s step.

    **Raises:** `InputError` for an algorithm whose step names none.
    """
    learner = prepared(algorithm, learner, batch, key=key)

    def still(gradients: Network, memory: Any, network: Network) -> tuple[Network, Any]:
        return network, memory

    gradients = algorithm.step(learner, None, batch, loss, still, key=key).gradients
    if gradients is None:
        raise InputError(
            f"the step of {algorithm.name!r} names no gradients, and they are measured here",
            setting="gradients",
            value=None,
            remedy="return the direction that its weights follow as `Stepped.gradients`",
        )
    return gradients


def start(learner: Learner, optimizer: optax.GradientTransformationExtraArgs, rate: Float[Array, ""]) -> TrainState:
    """The state before the first step.

    **Arguments:** `learner`: from `init_learner`; `optimizer`; `rate`: base rate η.
    """
    memory = optimizer.init(eqx.filter(learner.network, eqx.is_inexact_array))
    return TrainState(learner, memory, jnp.zeros((), jnp.int32), rate)


def leaves_steps(algorithm: AbstractAlgorithm, steps: int) -> None:
    """Check that some steps are left for the network itself.

    **Raises:** `InputError` where the algorithm's own first steps take them all.
    """
    if algorithm.pretraining >= steps:
        raise InputError(
            f"the feedback learns alone for the first {algorithm.pretraining} steps, of {steps} in all, and the "
            f"network would not learn",
            setting="steps",
            value=steps,
            remedy="take more steps, or less pretraining",
        )


def scan_steps(
    step: Callable[..., tuple[Any, Metrics]],
    state: Any,
    data: Examples | Batch,
    order: Int[Array, "steps batch"] | int,
    sample: Bool[Array, " steps"] | None,
    key: PRNGKeyArray,
    split: Split | None = None,
) -> tuple[Any, dict[str, Float[Array, " steps"]]]:
    """Many steps in one compiled loop.

    **Arguments:** `step`, `state`: from `make_step` and `start`; `data`, `order`: examples and which of them each step
    takes, or one batch and how many steps all take it; `sample`: at which steps to measure the diagnostics, None for
    nowhere; `key`: the algorithm's stream, folded with the step count, but of one batch the same at every step: only
    the weights then change; `split`: each batch over several devices.

    **Returns:** the last state, and metrics with a leading axis of steps.
    """
    arrays, static = eqx.partition(state, eqx.is_array)

    def body(arrays: Any, row: tuple[Any, Array | None]) -> tuple[Any, Metrics]:
        state, own = eqx.combine(arrays, static), key
        if isinstance(data, Batch):
            batch = data
        else:
            batch, own = data.batch(row[0]), jax.random.fold_in(key, state.step)
        batch = batch if split is None else split.examples(batch)
        state, metrics = step(state, batch, own, row[1])
        return eqx.filter(state, eqx.is_array), metrics

    rows, length = ((None, sample), order) if isinstance(order, int) else ((order, sample), None)
    arrays, metrics = jax.lax.scan(body, arrays, rows, length=length)
    return eqx.combine(arrays, static), metrics


def sampled(steps: int, count: int = 8) -> list[bool]:
    """Which of some steps to diagnose: about `count`, evenly, the first among them."""
    every = max(1, steps // count)
    return [index % every == 0 for index in range(steps)]
