"""Safeguarded search in error space: a direction for every example, a step that its own energy accepts.

    e <- e + α d,   kept where F(e + α d) <= F(e) + 10^-4 α ⟨∇F, d⟩ (Armijo), else α <- α/2

Each example accepts or refuses its own step: its energy never rises beyond rounding, wherever its direction came from.
"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..network import square_norm
from ._base import AbstractRelaxation, Settled
from ._error_vector import Vector, chosen, dot, minus, packed, preconditioned, times, unpacked
from ._problem import Point, Problem

# Armijo's fraction of the decrease that the slope predicts.
DECREASE = 1e-4


class Turn(NamedTuple):
    """All that one turn of the search hands to the next; `memory` is the method's own."""

    number: Int[Array, ""]
    point: Point
    gradient: Vector
    energy: Float[Array, " batch"]
    step: Float[Array, " batch"]
    memory: Any
    active: Bool[Array, " batch"]
    made: Int[Array, " batch"]


class Tried(NamedTuple):
    """One turn's outcome: where it was `kept`, the `move` tried and the `change` of the gradient along it."""

    number: Int[Array, ""]
    kept: Bool[Array, " batch"]
    move: Vector
    change: Vector


class AbstractSearch(AbstractRelaxation):
    """A relaxation that searches: methods differ in where their directions come from."""

    iterations: eqx.AbstractVar[int]

    @abc.abstractmethod
    def first(self, problem: Problem, start: Point, gradient: Vector) -> tuple[Float[Array, " batch"], Any]:
        """The step to try first, and the method's memory before it."""

    @abc.abstractmethod
    def direction(
        self, problem: Problem, point: Point, gradient: Vector, memory: Any, number: Int[Array, ""]
    ) -> Vector:
        """Where to go from a point, in turn `number`."""

    @abc.abstractmethod
    def remembered(self, memory: Any, tried: Tried) -> Any:
        """The memory after a turn."""

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Search from `start` until every example has settled or `iterations` turns are made."""
        point, made = self.search(problem, start, start)
        return point, self.settled(problem, start, point, made)

    def search(self, problem: Problem, start: Point, point: Point) -> tuple[Point, Int[Array, " batch"]]:
        """Search from any point; residuals stay relative to the forward pass `start`.

        **Returns:** the last point, and how many turns each example took part in, refused steps among them.
        """
        threshold = square_norm(problem.gradient(start)) * self.tolerance.astype(problem.y.dtype) ** 2
        gradient = packed(problem.gradient(point))
        step, memory = self.first(problem, point, gradient)
        active = dot(gradient, gradient) > threshold
        made = jnp.zeros(threshold.shape, jnp.int32)
        number, energy = jnp.zeros((), jnp.int32), problem.descended(point)
        turn = Turn(number, point, gradient, energy, step, memory, active, made)
        last = jax.lax.while_loop(
            lambda turn: (turn.number < self.iterations) & jnp.any(turn.active),
            lambda turn: self._turn(problem, start, threshold, turn),
            turn,
        )
        return last.point, last.made

    def _turn(self, problem: Problem, start: Point, threshold: Array, turn: Turn) -> Turn:
        """Try one step; keep it where the energy fell enough, halve it where not."""
        direction = self.direction(problem, turn.point, turn.gradient, turn.memory, turn.number)
        # Rounding can spoil a direction; the steepest always points downhill.
        downhill = dot(turn.gradient, direction) < 0
        steepest = tuple(-g for g in preconditioned(problem, turn.gradient, turn.point.errors))
        move = times(chosen(downhill, direction, steepest), jnp.where(turn.active, turn.step, 0.0))
        errors = jax.tree.map(jnp.add, turn.point.errors, unpacked(move, turn.point.errors))
        there = problem.at(errors, start)
        gradient, energy = packed(problem.gradient(there)), problem.descended(there)
        allowed = turn.energy + DECREASE * dot(turn.gradient, move) + problem.rounding(turn.point, turn.energy)
        kept = turn.active & (energy <= allowed)
        change = minus(gradient, turn.gradient)
        gradient = chosen(kept, gradient, turn.gradient)
        return Turn(
            turn.number + 1,
            chosen_point(kept, there, turn.point),
            gradient,
            jnp.where(kept, energy, turn.energy),
            jnp.where(kept, 1.0, 0.5 * turn.step),
            self.remembered(turn.memory, Tried(turn.number, kept, move, change)),
            turn.active & ~(dot(gradient, gradient) <= threshold),
            turn.made + turn.active.astype(jnp.int32),
        )


def chosen_point(mask: Bool[Array, " batch"], new: Point, old: Point) -> Point:
    """Per example the new or the old point."""
    column = mask[:, None]
    return Point(
        chosen(mask, new.errors, old.errors),
        chosen(mask, new.states, old.states),
        jnp.where(column, new.prediction, old.prediction),
        jnp.where(column, new.output_error, old.output_error),
        chosen(mask, new.pulled, old.pulled),
    )
