"""Damped Gauss-Newton: the network linearized at the current point, its equilibrium found in the output space.

    (I + γ_L J Γ^-1 J^T) λ = γ_L (δ + J e),   d = Γ^-1 J^T λ − e,   δ = −∂loss/∂f

The system is out x out and never built: conjugate gradients need one reverse and one forward sweep a product, and at
most `out` products. For a linear network under the squared error one step is the equilibrium (docs/theory.md E).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._arguments import at_least_one, positive
from ..network import pullback
from ._base import refuse_decay
from ._error_vector import Vector, packed
from ._problem import Point, Problem, over_precisions, pushed, scaled
from ._safeguarded_search import AbstractSearch, Tried


class GaussNewton(AbstractSearch):
    """Gauss-Newton steps by conjugate gradients in the output space, damped until each example's energy falls.

    Under cross-entropy the loss's curvature is replaced by its bound I: steps are shorter, never longer.

    **Arguments:** `iterations`: at most so many steps, refused ones among them; `products`: with J Γ^-1 J^T in each
    step, each the cost of one iteration of plain descent; `tolerance`: of the residual.

    **Raises:** `InputError` for iterations or products below 1 and a tolerance that is not positive.

    >>> GaussNewton(iterations=6).products
    4

    Source: docs/theory.md B1, E.
    """

    iterations: int = eqx.field(static=True, default=8, converter=at_least_one("iterations"))
    products: int = eqx.field(static=True, default=4, converter=at_least_one("products"))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def first(self, problem: Problem, start: Point, gradient: Vector) -> tuple[Float[Array, " batch"], None]:
        """A whole step."""
        refuse_decay(problem, "Gauss-Newton in the output space")
        return jnp.ones(problem.y.shape[:1], problem.y.dtype), None

    def remembered(self, memory: None, tried: Tried) -> None:
        """Nothing."""

    def direction(
        self, problem: Problem, point: Point, gradient: Vector, memory: None, number: Int[Array, ""]
    ) -> Vector:
        """Γ^-1 J^T λ − e, λ by conjugate gradients whose iterates are kept in error space.

        The first turn of the loop makes the right-hand side from J e, so that one compiled pair of sweeps, J v and
        Γ^-1 J^T p, serves for all.
        """
        top = problem.precisions[-1]

        def turn(count: Array, carry: Any) -> Any:
            found, residual, p, v = carry
            image = pushed(problem, point, v)
            along = p + scaled(top, image)
            alpha = _ratio(residual, residual, p, along)
            left = jnp.where(count == 0, scaled(top, point.output_error + image), residual - alpha * along)
            p = left + _ratio(left, left, residual, residual) * p
            found = jax.tree.map(lambda f, v: f + jax.vmap(scaled, (None, 0))(alpha[:, 0], v), found, v)
            return found, left, p, over_precisions(problem, pullback(problem.network, point.states, p))

        zero = jnp.zeros_like(problem.y)
        start = (jax.tree.map(jnp.zeros_like, point.errors), zero, zero, point.errors)
        found = jax.lax.fori_loop(0, self.products + 1, turn, start)[0]
        return packed(jax.tree.map(jnp.subtract, found, point.errors))


def _ratio(a: Array, b: Array, c: Array, d: Array) -> Float[Array, "batch 1"]:
    """⟨a, b⟩ / ⟨c, d⟩ per example; 0 where the system is already solved."""
    below = jnp.sum(c * d, axis=-1, keepdims=True)
    return jnp.where(below > 0, jnp.sum(a * b, axis=-1, keepdims=True) / jnp.where(below > 0, below, 1.0), 0.0)
