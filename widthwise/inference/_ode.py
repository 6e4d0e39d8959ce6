"""Gradient flow on the errors, by an adaptive solver that stops where the vector field, not the state, is small.

    de/dt = −Γ^-1 ∇_e F,   until |∇_e F| <= tolerance |∇_e F at the forward pass|

A reference for the other relaxations, slower than they are: step sizes follow accuracy along the path, of which only
the end is wanted. Every example has its own clock.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..network import States, square_norm
from ._base import AbstractRelaxation, Point, Problem, Settled, over_precisions
from ._checks import at_least_one, positive


class OdeFlow(AbstractRelaxation):
    """Adaptive integration of the gradient flow, by diffrax's Bogacki-Shampine 3(2) pair.

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
        *hidden, top = problem.precisions
        precisions = (*hidden, jnp.broadcast_to(top, problem.y.shape[:1]))
        axes = (*(None for _ in hidden), 0)
        alone = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0)[:, :, None], start.errors)
        errors, count = jax.vmap(self._flow, (None, axes, 0, 0, 0))(problem, precisions, problem.x, problem.y, alone)
        point = problem.at(jax.tree.map(lambda leaf: jnp.moveaxis(leaf[:, :, 0], 0, 1), errors), start)
        return point, self.settled(problem, start, point, count)

    def _flow(self, problem: Problem, precisions: Any, x: Array, y: Array, errors: States) -> tuple[States, Array]:
        """One example's settled errors, and the steps it took."""
        # Imported where it is used: a second to load, for one relaxation of many.
        import diffrax

        alone = eqx.tree_at(lambda p: (p.precisions, p.x, p.y), problem, (precisions, x[None], y[None]))
        start = alone.start()
        threshold = square_norm(alone.gradient(start)) * self.tolerance.astype(y.dtype) ** 2

        def field(time: Any, errors: States, args: Any) -> States:
            gradient = alone.gradient(alone.at(errors, start))
            return jax.tree.map(jnp.negative, over_precisions(alone, gradient))

        def steady(time: Any, errors: States, args: Any, **_: Any) -> Bool[Array, ""]:
            return jnp.all(square_norm(alone.gradient(alone.at(errors, start))) <= threshold)

        # At the edge of stability an explicit solver wanders at its own accuracy: that must lie below the tolerance.
        accuracy = 0.1 * self.tolerance.astype(y.dtype)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field), diffrax.Bosh3(), 0.0, jnp.inf, 0.5, errors,
            stepsize_controller=diffrax.PIDController(rtol=accuracy, atol=accuracy * _size(alone, start)),
            event=diffrax.Event(steady), max_steps=self.iterations, throw=False,
        )  # fmt: skip
        return jax.tree.map(lambda leaf: leaf[-1], solution.ys), solution.stats["num_steps"].astype(jnp.int32)


def _size(problem: Problem, start: Point) -> Float[Array, ""]:
    """The root mean square of an error at the scale of the first gradient: what absolute accuracy is relative to."""
    gradient = problem.gradient(start)
    count = sum(leaf.size for leaf in jax.tree.leaves(gradient))
    return jnp.sqrt(jnp.maximum(square_norm(gradient)[0] / count, jnp.finfo(problem.y.dtype).tiny))
