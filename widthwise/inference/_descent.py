"""Activity descent: T parallel gradient steps on the activities themselves, the field's usual inference.

    h_l <- h_l − s ∂F/∂h_l,   ∂F/∂h_l = γ_l e_l − J_{l+1}^T γ_{l+1} e_{l+1}

Errors move one layer a step: after T < L − l steps from the forward pass layer l has not heard of the target, and
the condition number grows as about 8 L² (docs/theory.md D3, E). Its residual says so.
"""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ..network import AbstractStage, State, States, above, each
from ._base import AbstractRelaxation, Point, Problem, Settled, scaled
from ._checks import at_least_one, positive


class ActivityDescent(AbstractRelaxation):
    """T steps of gradient descent on all activities at once.

    **Arguments:** `iterations`: T, always made; `rate`: step on each example's own energy (stable below 2 / λ_max
    of the activity Hessian, about 0.36 for residual muPC); `transform`: any optax transformation that acts per
    element (`optax.trace(0.9)`, `optax.scale_by_adam()`), applied to the gradient before the step; `tolerance`:
    what `Settled` calls converged.

    **Raises:** `InputError` for iterations below 1 and a rate or tolerance that is not positive.

    >>> ActivityDescent(iterations=30, transform=optax.trace(0.9)).iterations
    30
    """

    iterations: int = eqx.field(static=True, default=20, converter=at_least_one("iterations"))
    rate: Float[Array, ""] = eqx.field(default=0.2, converter=positive("rate"))
    transform: optax.GradientTransformation = eqx.field(static=True, default=optax.identity())
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Make T steps from `start`."""

        def step(_: Any, carry: tuple[States, Any]) -> tuple[States, Any]:
            states, memory = carry
            direction, memory = self.transform.update(activity_gradient(problem, states, start), memory)
            return jax.tree.map(lambda h, d: h - self.rate.astype(h.dtype) * d, states, direction), memory

        states, _ = jax.lax.fori_loop(0, self.iterations, step, (start.states, self.transform.init(start.states)))
        point = problem.at_states(states, start)
        count = jnp.full(problem.y.shape[0], self.iterations, jnp.int32)
        return point, self.settled(problem, start, point, count)


def activity_gradient(problem: Problem, states: States, start: Point) -> States:
    """∂F/∂h_l of every hidden layer at once: each W_l serves its prediction and its feedback.

    **Arguments:** `problem`; `states`: h_l; `start`: the forward pass, at which predictions and Jacobians stay
    where they are fixed.
    """
    segments = problem.network.segments
    seen = above(start.states if problem.fixed_prediction else states)
    errors = [jax.tree.map(jnp.subtract, states[0], start.states[0])]
    feedback = []
    for segment, x, state, precision in zip(
        segments[1:-1], seen[:-1], states[1:], problem.precisions[1:-1], strict=True
    ):
        error, back = each(_hidden_layer, segment, x, state, _rows(precision, segment.depth))
        errors.append(error)
        feedback.append(back)

    def readout(stage: AbstractStage, x: State) -> State:
        prediction, pull = jax.vjp(stage, x)
        output_error = -jax.grad(lambda f: jnp.sum(problem.loss(f, problem.y)))(prediction)
        return pull(scaled(problem.precisions[-1], output_error))[0]

    feedback.append(each(readout, segments[-1], seen[-1]))
    # Feedback arrives at the layer that a stage reads: one layer below its own error.
    arriving = _shifted_down(feedback)
    return tuple(
        jax.tree.map(lambda e, b, p=precision: p * e - b, error, back)
        for precision, error, back in zip(problem.precisions[:-1], errors, arriving, strict=True)
    )


def _hidden_layer(stage: AbstractStage, x: State, state: State, precision: Array) -> tuple[State, State]:
    """One layer's error and the feedback that it sends down."""
    prediction, pull = jax.vjp(stage, x)
    error = jax.tree.map(jnp.subtract, state, prediction)
    return error, pull(jax.tree.map(lambda e: precision.astype(e.dtype) * e, error))[0]


def _rows(precision: Array, depth: int) -> Array:
    return jnp.broadcast_to(precision, (depth,))


def _append_to_all_but_first(own: Array, high: Array) -> Array:
    return jnp.concatenate([own[1:], high])


def _shifted_down(feedback: list[Any]) -> list[Any]:
    """From what each segment above the first sends to what each hidden segment receives."""
    received = [jax.tree.map(lambda leaf: leaf[:1], feedback[0])]
    for own, next_above in itertools.pairwise(feedback):
        last = jax.tree.map(lambda leaf: leaf[:1], next_above)
        # As in `above`: a stage alone in its segment may change the state's shape.
        alone = jax.tree.leaves(own)[0].shape[0] == 1
        received.append(last if alone else jax.tree.map(_append_to_all_but_first, own, last))
    return received
