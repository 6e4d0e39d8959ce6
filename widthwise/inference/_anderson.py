"""Anderson acceleration of error-space descent, with a memory of one.

    e_{k+1} = e_k + g_k − β (Δe + Δg),   g = −s Γ^-1 ∇_e F,   β = ⟨g_k, Δg⟩ / |Δg|²,   Δ from the last kept step

One vector of history, so an iteration costs hardly more than one of plain descent; each example has its own β.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..network import States
from ._base import Point, Problem
from ._checks import at_least_one, positive
from ._search import AbstractSearch, Tried, chosen, dot, preconditioned, steepest, times


class Last(NamedTuple):
    """Δe and Δ∇F of the last kept step (zero before the first), and the step s of the plain iteration."""

    move: States
    change: States
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

    def first(self, problem: Problem, point: Point, gradient: States) -> tuple[States, Float[Array, " batch"], Last]:
        """Steepest descent, and nothing remembered."""
        zero = jax.tree.map(jnp.zeros_like, gradient)
        direction, step = steepest(problem, point, gradient)
        return direction, step, Last(zero, zero, step)

    def then(self, problem: Problem, point: Point, gradient: States, tried: Tried, memory: Last) -> tuple[States, Last]:
        """The plain step, mixed with the last one."""
        last = Last(
            chosen(tried.kept, tried.move, memory.move), chosen(tried.kept, tried.change, memory.change), memory.step
        )
        plain = times(preconditioned(problem, gradient, -1.0), last.step)
        turn = times(preconditioned(problem, last.change, -1.0), last.step)
        length = dot(turn, turn)
        mixing = jnp.where(length > 0, dot(plain, turn) / jnp.where(length > 0, length, 1.0), 0.0)
        past = times(jax.tree.map(jnp.add, last.move, turn), mixing)
        return jax.tree.map(jnp.subtract, plain, past), last
