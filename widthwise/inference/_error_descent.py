"""Error-space descent (ePC): gradient descent on e, one reverse and one forward sweep an iteration.

    e_l <- e_l − s γ_l^-1 ∇_{e_l} F,   ∇_{e_l} F = γ_l e_l − γ_L J_l^T output_error

The iteration matrix is I − s (I + γ_L Γ^-1 J^T J): it contracts wherever s < 2 / (1 + ‖C‖), at any depth.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._arguments import at_least_one, factor_or_none, or_zero, positive
from ..network import States
from ._base import AbstractRelaxation, Settled, refuse_decay, relative
from ._curvature import curvature_step
from ._error_vector import Vector, dot, minus, packed, preconditioned, times, unpacked
from ._problem import Point, Problem


class Turn(NamedTuple):
    """All that one update hands to the next: `gradient` and its `square`d length are those at `point`."""

    number: Int[Array, ""]
    point: Point
    gradient: Vector
    square: Float[Array, " batch"]
    step: Float[Array, " batch"]
    active: Bool[Array, " batch"]
    made: Int[Array, " batch"]


class ErrorDescent(AbstractRelaxation):
    """Gradient descent on the errors, with a step from the curvature that each example shows.

        s_b = 1 / (1 + γ_L κ_b),   γ_L κ_b = γ_L Σ_l γ_l^-1 |J_l^T δ|² / |δ|²,   δ = output error

    From the second iteration on the step may only shrink, to the Barzilai-Borwein step. An example that has
    reached the tolerance rests; the loop ends when all rest.

    **Arguments:** `iterations`: at most so many updates; `tolerance`: of the residual; `rate`: a fixed step s
    instead of the measured one (an array where it is swept); `look_ahead`: at the end the errors alone take one more
    step, whose gradient is known and which costs no sweep: the weights' update then comes nearly as near to
    equilibrium as after one iteration more. States, output error and `Settled` are those before it.

    **Raises:** `InputError` for iterations below 1 (below 0 with `look_ahead`) and a tolerance or rate that is not
    positive.

    >>> ErrorDescent(iterations=12).iterations
    12

    Source: arXiv 2505.20137 (ePC); docs/theory.md E (condition number), docs/inference.md (step).
    """

    iterations: int = eqx.field(static=True, default=12, converter=or_zero(at_least_one("iterations")))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))
    rate: Float[Array, ""] | None = eqx.field(default=None, converter=factor_or_none("activity rate"))
    look_ahead: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        # The step that looks ahead is an update too.
        if not self.look_ahead:
            at_least_one("iterations")(self.iterations)

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Descend from `start` until every example has settled or `iterations` updates are made."""
        if self.rate is None:
            # The measured step knows the output's curvature alone.
            refuse_decay(problem, "error descent without a rate of its own")
        gradient = packed(problem.gradient(start))
        initial = dot(gradient, gradient)
        threshold = initial * self.tolerance.astype(initial.dtype) ** 2
        number, made = jnp.zeros((), jnp.int32), jnp.zeros(initial.shape, jnp.int32)
        turn = Turn(number, start, gradient, initial, self._first_step(problem, start), initial > 0, made)
        if self.iterations > 0:
            # Traced by itself: a loop would copy the forward pass into its state, which takes as long as a sweep.
            turn = self._update(problem, start, threshold, turn)
        if self.iterations > 1:
            turn = jax.lax.while_loop(
                lambda turn: (turn.number < self.iterations) & jnp.any(turn.active),
                lambda turn: self._update(problem, start, threshold, turn),
                turn,
            )
        point = turn.point
        settled = self.judged(relative(turn.square, initial), turn.made, problem.energy(point))
        if self.look_ahead:
            point = point._replace(errors=_moved(problem, turn, turn.step)[0])
        return point, settled

    def _update(self, problem: Problem, start: Point, threshold: Array, turn: Turn) -> Turn:
        """One step of every example that has not settled."""
        errors, move = _moved(problem, turn, jnp.where(turn.active, turn.step, 0.0))
        point = problem.at(errors, start)
        gradient = packed(problem.gradient(point))
        square, step = dot(gradient, gradient), turn.step
        if self.rate is None:
            step = jnp.minimum(step, _barzilai_borwein(move, turn.gradient, minus(gradient, turn.gradient), step))
        active = turn.active & ~(square <= threshold)
        return Turn(turn.number + 1, point, gradient, square, step, active, turn.made + turn.active.astype(jnp.int32))

    def _first_step(self, problem: Problem, start: Point) -> Float[Array, " batch"]:
        """The measured step, or the fixed rate."""
        if self.rate is None:
            return curvature_step(problem, start)
        return jnp.full(problem.y.shape[:1], self.rate, problem.y.dtype)


def _moved(problem: Problem, turn: Turn, step: Float[Array, " batch"]) -> tuple[States, Vector]:
    """e − s Γ^-1 ∇_e F, and the move alone."""
    move = times(preconditioned(problem, turn.gradient, turn.point.errors), -step)
    return jax.tree.map(jnp.add, turn.point.errors, unpacked(move, turn.point.errors)), move


def _barzilai_borwein(
    move: Vector, gradient: Vector, change: Vector, step: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """⟨Δe, Γ Δe⟩ / ⟨Δe, Δ∇⟩, or the old step where the energy curves downwards; Γ Δe = −s ∇F."""
    along = dot(move, change)
    length = -step * dot(move, gradient)
    return jnp.where(along > 0, length / jnp.where(along > 0, along, 1.0), step)
