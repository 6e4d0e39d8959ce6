"""Gradient flow on the errors, by an adaptive solver that stops where the vector field, not the state, is small.

    de/dt = −Γ^-1 ∇_e F,   until |∇_e F| <= tolerance |∇_e F at the forward pass|

A reference for the other relaxations, slower than they are: step sizes follow accuracy along the path, of which only
the end is wanted. Every example has its own clock.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import at_least_one, positive
from ..network import States, square_norm
from ._base import AbstractRelaxation, Settled
from ._curvature import curvature_step
from ._problem import Point, Problem, over_precisions, scaled
from ._safeguarded_search import chosen_point

# Of an example: its accuracy, and the size of its errors.
Scale = tuple[Array, Array]

# The first step, in units of the hidden precisions' own time scale, which is 1.
FIRST_STEP = 0.5
# Of the pair.
ORDER = 3


class OdeFlow(AbstractRelaxation):
    """Adaptive integration of the gradient flow, by diffrax's Bogacki-Shampine 3(2) pair and its step size controller.

    **Arguments:** `iterations`: at most so many steps, refused ones among them; `tolerance`: of the residual, at which
    the flow stops.

    **Raises:** `InputError` for iterations below 1 and a tolerance that is not positive.

    >>> OdeFlow().iterations
    200

    Source: Kidger, On neural differential equations (2021), diffrax.
    """

    iterations: int = eqx.field(static=True, default=200, converter=at_least_one("iterations"))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Flow from `start`, each example for as long as it needs."""
        # Imported where it is used: half a second to load, for one relaxation of many.
        import diffrax

        def field(time: Any, errors: States, step: Array) -> States:
            down = over_precisions(problem, problem.gradient(problem.at(errors, start)))
            return jax.tree.map(lambda leaf: -jax.vmap(scaled, (None, 0))(step, leaf), down)

        def turn(carry: Any) -> Any:
            number, point, times, memory, active, made = carry
            # Time in units of each example's own step: one step from 0 to 1 serves the whole batch. The last stage is
            # not the next step's first, whose unit is another: hence a new start (made_jump) every time.
            step = jnp.where(active, times[1] - times[0], 0.0)
            errors, off, *_ = solver.step(flow, 0.0, 1.0, point.errors, step, begin, True)
            kept, times, memory = adapt(scale, times, point.errors, errors, off, memory)
            point = chosen_point(kept & active, problem.at(errors, start), point)
            made = made + active.astype(made.dtype)
            return number + 1, point, times, memory, active & (square_norm(problem.gradient(point)) > threshold), made

        gradient = square_norm(problem.gradient(start))
        threshold = gradient * self.tolerance.astype(gradient.dtype) ** 2
        # Its stages in a plain loop, which is the quickest to trace: nothing differentiates through them.
        solver, flow = diffrax.Bosh3(scan_kind="lax"), diffrax.ODETerm(field)
        begin = solver.init(flow, 0.0, 1.0, start.errors, gradient)
        # At the edge of stability an explicit solver wanders at its own accuracy, and the gradient shows it 1 + ‖C‖
        # times as large: that must lie below the tolerance. What one error meets of C is a lower bound of it.
        accuracy = 0.03 * self.tolerance.astype(gradient.dtype) * curvature_step(problem, start)
        first, adapt = _controlled(lambda scale: diffrax.PIDController(rtol=scale[0], atol=scale[0] * scale[1]))
        scale = (accuracy, _size(problem, start))
        times, memory = first(scale, start.errors)
        carry = (jnp.zeros((), jnp.int32), start, times, memory, gradient > 0, jnp.zeros(gradient.shape, jnp.int32))
        last = jax.lax.while_loop(lambda carry: (carry[0] < self.iterations) & jnp.any(carry[4]), turn, carry)
        return last[1], self.settled(problem, start, last[1], last[5])


def _controlled(controller: Callable[[Scale], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What a step size controller says of the first step and of every other, example by example.

    **Arguments:** `controller`: from an example's accuracy and the size of its errors.

    **Returns:** `first(scale, errors)`: the times between which the first step leads, and the controller's memory;
    `adapt(scale, times, old, new, off, memory)`: whether a step is kept, the next one's times, and its memory.
    """

    def first(scale: Scale, errors: States) -> Any:
        # A first step that is given needs no look at the field, nor its term.
        end, memory = controller(scale).init(None, 0.0, jnp.inf, errors, FIRST_STEP, None, None, ORDER)
        return (jnp.zeros_like(scale[1]), jnp.asarray(end, scale[1].dtype)), memory

    def adapt(scale: Scale, times: tuple[Array, Array], old: States, new: States, off: States, memory: Any) -> Any:
        kept, here, there, _, memory, _ = controller(scale).adapt_step_size(*times, old, new, None, off, ORDER, memory)
        return kept, (here, there), memory

    return jax.vmap(first, (0, 1)), jax.vmap(adapt, (0, 0, 1, 1, 1, 0))


def _size(problem: Problem, start: Point) -> Float[Array, " batch"]:
    """The root mean square of an error at the scale of the first gradient: what absolute accuracy is relative to."""
    gradient = problem.gradient(start)
    count = sum(leaf.size // leaf.shape[1] for leaf in jax.tree.leaves(gradient))
    return jnp.sqrt(jnp.maximum(square_norm(gradient) / count, jnp.finfo(problem.y.dtype).tiny))
