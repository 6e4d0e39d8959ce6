"""Error-space descent (ePC): gradient descent on e, one reverse and one forward sweep an iteration.

    e_l <- e_l − s γ_l^-1 ∇_{e_l} F,   ∇_{e_l} F = γ_l e_l − γ_L J_l^T output_error

The iteration matrix is I − s (I + γ_L Γ^-1 J^T J): it contracts wherever s < 2 / (1 + ‖C‖), at any depth.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ._base import AbstractRelaxation, Point, Problem, Settled, curvature_step, refuse_decay
from ._checks import array_or_none, at_least_one, positive
from ._vector import Vector, dot, minus, packed, preconditioned, times, unpacked


class ErrorDescent(AbstractRelaxation):
    """Gradient descent on the errors, with a step from the curvature that each example shows.

        s_b = 1 / (1 + γ_L κ_b),   γ_L κ_b = γ_L Σ_l γ_l^-1 |J_l^T δ|² / |δ|²,   δ = output error

    From the second iteration on the step may only shrink, to the Barzilai-Borwein step. An example that has
    reached the tolerance rests; the loop ends when all rest.

    **Arguments:** `iterations`: at most so many updates; `tolerance`: of the residual; `rate`: a fixed step s
    instead of the measured one (an array where it is swept).

    **Raises:** `InputError` for iterations below 1 and a tolerance or rate that is not positive.

    >>> ErrorDescent(iterations=12).iterations
    12

    Source: arXiv 2505.20137 (ePC); docs/theory.md E (condition number), docs/inference.md (step).
    """

    iterations: int = eqx.field(static=True, default=12, converter=at_least_one("iterations"))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))
    rate: Float[Array, ""] | None = eqx.field(default=None, converter=array_or_none("rate"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Descend from `start` until every example has settled or `iterations` updates are made."""
        if self.rate is None:
            # The measured step knows the output's curvature alone.
            refuse_decay(problem, "error descent without a rate of its own")
        gradient = packed(problem.gradient(start))
        initial = dot(gradient, gradient)
        threshold = initial * self.tolerance.astype(initial.dtype) ** 2
        step = self._first_step(problem, start)
        count = jnp.zeros(initial.shape, jnp.int32)

        def unsettled(carry: tuple[Any, ...]) -> Bool[Array, ""]:
            turn, _, _, _, active, _ = carry
            return (turn < self.iterations) & jnp.any(active)

        def update(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            turn, point, gradient, step, active, count = carry
            move = times(preconditioned(problem, gradient, point.errors), jnp.where(active, -step, 0.0))
            errors = jax.tree.map(jnp.add, point.errors, unpacked(move, point.errors))
            moved = problem.at(errors, start)
            new = packed(problem.gradient(moved))
            if self.rate is None:
                step = jnp.minimum(step, _barzilai_borwein(move, gradient, minus(new, gradient), step))
            count = count + active.astype(jnp.int32)
            return turn + 1, moved, new, step, active & ~(dot(new, new) <= threshold), count

        state = (jnp.zeros((), jnp.int32), start, gradient, step, initial > 0, count)
        _, point, _, _, _, count = jax.lax.while_loop(unsettled, update, state)
        return point, self.settled(problem, start, point, count)

    def _first_step(self, problem: Problem, start: Point) -> Float[Array, " batch"]:
        """The measured step, or the fixed rate."""
        if self.rate is None:
            return curvature_step(problem, start)
        return jnp.full(problem.y.shape[:1], self.rate, problem.y.dtype)


def _barzilai_borwein(
    move: Vector, gradient: Vector, change: Vector, step: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """⟨Δe, Γ Δe⟩ / ⟨Δe, Δ∇⟩, or the old step where the energy curves downwards; Γ Δe = −s ∇F."""
    along = dot(move, change)
    length = -step * dot(move, gradient)
    return jnp.where(along > 0, length / jnp.where(along > 0, along, 1.0), step)
