"""Anderson acceleration of error-space descent, with a memory of one.

    e_{k+1} = e_k + g_k − β (Δe + Δg),   g = −s Γ^-1 ∇_e F,   β = ⟨g_k, Δg⟩ / |Δg|²,   Δ from the last kept step

One vector of history, so an iteration costs hardly more than one of plain descent; each example has its own β.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._arguments import at_least_one, positive
from ._curvature import curvature_step
from ._error_vector import Vector, chosen, dot, minus, plus, preconditioned, times
from ._problem import Point, Problem
from ._safeguarded_search import AbstractSearch, Tried


class Last(NamedTuple):
    """Δe and Δ∇F of the last kept step (zero before the first), and the step s of the plain iteration."""

    move: Vector
    change: Vector
    step: Float[Array, " batch"]


class Anderson(AbstractSearch):
    """Anderson(1) on the errors, safeguarded for every example.

    **Arguments:** `iterations`: at most so many, refused steps among them; `tolerance`: of the residual.

    **Raises:** `InputError` for iterations below 1 and a tolerance that is not positive.

    >>> Anderson(iterations=8).iterations
    8

    Source: Walker and Ni, Anderson acceleration for fixed-point iterations (2011), with m = 1.
    """

    iterations: int = eqx.field(static=True, default=24, converter=at_least_one("iterations"))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def first(self, problem: Problem, start: Point, gradient: Vector) -> tuple[Float[Array, " batch"], Last]:
        """A whole plain step, and nothing remembered."""
        zero = jax.tree.map(jnp.zeros_like, gradient)
        step = curvature_step(problem, start)
        return jnp.ones_like(step), Last(zero, zero, step)

    def direction(
        self, problem: Problem, point: Point, gradient: Vector, memory: Last, number: Int[Array, ""]
    ) -> Vector:
        """The plain step, mixed with the last one."""
        plain = times(preconditioned(problem, gradient, point.errors), -memory.step)
        turn = times(preconditioned(problem, memory.change, point.errors), -memory.step)
        length = dot(turn, turn)
        mixing = jnp.where(length > 0, dot(plain, turn) / jnp.where(length > 0, length, 1.0), 0.0)
        return minus(plain, times(plus(memory.move, turn), mixing))

    def remembered(self, memory: Last, tried: Tried) -> Last:
        """The last kept step."""
        move, change = chosen(tried.kept, (tried.move, tried.change), (memory.move, memory.change))
        return Last(move, change, memory.step)
