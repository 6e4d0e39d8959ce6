"""Activity descent: T parallel gradient steps on the activities themselves, the field's usual inference.

    h_l <- h_l − s ∂F/∂h_l,   ∂F/∂h_l = γ_l e_l − J_{l+1}^T γ_{l+1} e_{l+1}

Errors move one layer a step: step t touches the top t hidden layers (the active frontier), so T < L − l steps leave
layer l where the forward pass put it; and the condition number grows as about 8 L² (docs/theory.md D3, E). The residual
says so.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from .._arguments import at_least_one, factor, positive
from ..network import AbstractStage, State, States, above, below, each
from ._base import AbstractRelaxation, Settled
from ._problem import Point, Problem, scaled
from ._reached_layers import descend, reached


class ActivityDescent(AbstractRelaxation):
    """T steps of gradient descent on all activities at once.

    **Arguments:** `iterations`: T, always made; `rate`: step on each example's own energy (stable below 2 / λ_max
    of the activity Hessian, about 0.36 for residual muPC); `transform`: any optax transformation that acts per
    element and keeps zeros (`optax.trace(0.9)`, `optax.scale_by_adam()`), applied to the gradient before the step;
    `tolerance`: what `Settled` calls converged.

    **Raises:** `InputError` for iterations below 1 and a rate or tolerance that is not positive.

    >>> ActivityDescent(iterations=30, transform=optax.trace(0.9)).iterations
    30
    """

    iterations: int = eqx.field(static=True, default=20, converter=at_least_one("iterations"))
    rate: Float[Array, ""] = eqx.field(default=0.2, converter=factor("activity rate"))
    transform: optax.GradientTransformation | None = eqx.field(static=True, default=None)
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Make T steps from `start`, which is the forward pass."""
        decayed = problem.activity_decay is not None
        if self.transform is None and not problem.fixed_prediction and not decayed:
            states = descend(problem, start, self.rate.astype(problem.y.dtype), self.iterations)
        else:
            states = self._transformed(problem, start)
        point, start = problem.at_states_and_start(states, start)
        # An unreached layer's error is 0, where the difference h − f(h) would leave its rounding.
        if not decayed:
            point = point._replace(errors=reached(point.errors, self.iterations))
        count = jnp.full(problem.y.shape[0], self.iterations, jnp.int32)
        return point, self.settled(problem, start, point, count)

    def _transformed(self, problem: Problem, start: Point) -> States:
        """Every layer's gradient, then every layer's step: for a transformation, fixed predictions or decay."""
        transform = optax.identity() if self.transform is None else self.transform

        def step(turn: Array, carry: tuple[States, Any]) -> tuple[States, Any]:
            states, memory = carry
            gradient = activity_gradient(problem, states, start)
            # Decay moves every layer from the first step on.
            gradient = reached(gradient, turn + 1) if problem.activity_decay is None else gradient
            direction, memory = transform.update(gradient, memory)
            return jax.tree.map(lambda h, d: h - self.rate.astype(h.dtype) * d, states, direction), memory

        return jax.lax.fori_loop(0, self.iterations, step, (start.states, transform.init(start.states)))[0]


def activity_gradient(problem: Problem, states: States, start: Point) -> States:
    """∂F/∂h_l, with α h_l under activity decay, of every hidden layer at once: each W_l is read once.

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
        return pull(scaled(problem.precisions[-1], problem.output_error(prediction)))[0]

    feedback.append(each(readout, segments[-1], seen[-1]))
    # Feedback arrives at the layer that a stage reads: one layer below its own error.
    arriving = below(tuple(feedback))
    if problem.activity_decay is not None:
        arriving = jax.tree.map(lambda b, h: b - problem.activity_decay * h, arriving, states)
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
