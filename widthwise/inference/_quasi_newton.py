"""Limited-memory BFGS in error space, every example with its own memory, step and safeguard.

    e <- e + α d,   d = −B ∇_e F,   α halved until F falls enough (Armijo)

In error space the Hessian is Γ plus a matrix of rank out (docs/theory.md E), so a short memory learns nearly all of it.
Each example accepts or refuses its own step: its energy never rises beyond rounding.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..network import States, square_norm
from ._base import AbstractRelaxation, Point, Problem, Settled, curvature_step, scaled
from ._checks import at_least_one, positive

# Armijo's fraction of the decrease that the slope predicts; rounding units that an energy may rise by.
DECREASE = 1e-4
ROUNDING = 16.0


class Memory(NamedTuple):
    """The last moves s and gradient changes y, (memory, depth, batch, ...), and 1/⟨s, y⟩, 0 where there is none."""

    moves: States
    changes: States
    inverse: Float[Array, "memory batch"]


class Turn(NamedTuple):
    """All that one turn of the search hands to the next."""

    number: Int[Array, ""]
    point: Point
    gradient: States
    energy: Float[Array, " batch"]
    direction: States
    step: Float[Array, " batch"]
    memory: Memory
    active: Bool[Array, " batch"]
    made: Int[Array, " batch"]


class QuasiNewton(AbstractRelaxation):
    """L-BFGS on the errors, safeguarded for every example.

    **Arguments:** `iterations`: at most so many evaluations of energy and gradient, refused steps among them; `memory`:
    moves kept; `tolerance`: of the residual.

    **Raises:** `InputError` for iterations or a memory below 1 and a tolerance that is not positive.

    >>> QuasiNewton(iterations=24).memory
    4

    Source: Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4; docs/theory.md E.
    """

    iterations: int = eqx.field(static=True, default=24, converter=at_least_one("iterations"))
    memory: int = eqx.field(static=True, default=4, converter=at_least_one("memory"))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Descend from `start` until every example has settled or `iterations` are made."""
        point, made = self.descend(problem, start, start)
        return point, self.settled(problem, start, point, made)

    def descend(self, problem: Problem, start: Point, point: Point) -> tuple[Point, Int[Array, " batch"]]:
        """Descend from any point; residuals stay relative to the forward pass `start`."""
        threshold = square_norm(problem.gradient(start)) * self.tolerance.astype(problem.y.dtype) ** 2
        gradient = problem.gradient(point)
        empty = jax.tree.map(lambda leaf: jnp.zeros((self.memory, *leaf.shape), leaf.dtype), gradient)
        first = Turn(
            jnp.zeros((), jnp.int32),
            point,
            gradient,
            problem.energy(point),
            _preconditioned(problem, gradient, -1.0),
            curvature_step(problem, point),
            Memory(empty, empty, jnp.zeros((self.memory, threshold.shape[0]), threshold.dtype)),
            square_norm(gradient) > threshold,
            jnp.zeros(threshold.shape, jnp.int32),
        )
        last = jax.lax.while_loop(
            lambda turn: (turn.number < self.iterations) & jnp.any(turn.active),
            lambda turn: self._turn(problem, start, threshold, turn),
            first,
        )
        return last.point, last.made

    def _turn(self, problem: Problem, start: Point, threshold: Array, turn: Turn) -> Turn:
        """Try one step; keep it where the energy fell enough, halve it where not."""
        move = _times(turn.direction, jnp.where(turn.active, turn.step, 0.0))
        tried = problem.at(jax.tree.map(jnp.add, turn.point.errors, move), start)
        gradient, energy = problem.gradient(tried), problem.energy(tried)
        slack = ROUNDING * jnp.finfo(energy.dtype).eps * jnp.abs(turn.energy)
        enough = turn.energy + DECREASE * _dot(turn.gradient, move) + slack
        kept = turn.active & (energy <= enough)
        change = jax.tree.map(jnp.subtract, gradient, turn.gradient)
        memory = _remembered(turn, kept, move, change, self.memory)
        gradient = _chosen(kept, gradient, turn.gradient)
        direction = _direction(problem, memory, gradient, turn.number, self.memory)
        # Rounding can spoil a direction; the steepest always points downhill.
        downhill = _dot(gradient, direction) < 0
        direction = _chosen(downhill, direction, _preconditioned(problem, gradient, -1.0))
        return Turn(
            turn.number + 1,
            _chosen_point(kept, tried, turn.point),
            gradient,
            jnp.where(kept, energy, turn.energy),
            _chosen(kept, direction, turn.direction),
            jnp.where(kept, 1.0, 0.5 * turn.step),
            memory,
            turn.active & ~(square_norm(gradient) <= threshold),
            turn.made + turn.active.astype(jnp.int32),
        )


def _remembered(turn: Turn, kept: Bool[Array, " batch"], move: States, change: States, size: int) -> Memory:
    """The memory with this turn's pair in the oldest slot, left empty where a step was refused or F curves down."""
    slot = turn.number % size
    product = _dot(move, change)
    good = kept & (product > 0)
    inverse = jnp.where(good, 1 / jnp.where(good, product, 1.0), 0.0)

    def write(old: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(old, new, slot, 0)

    return Memory(
        jax.tree.map(write, turn.memory.moves, move),
        jax.tree.map(write, turn.memory.changes, change),
        write(turn.memory.inverse, inverse),
    )


def _direction(problem: Problem, memory: Memory, gradient: States, count: Array, size: int) -> States:
    """−B ∇F by the two-loop recursion over the slots, the newest first; empty slots change nothing."""
    slots = [(count - age) % size for age in range(size)]
    direction, weights = gradient, []
    for slot in slots:
        weight = memory.inverse[slot] * _dot(_slot(memory.moves, slot), direction)
        weights.append(weight)
        direction = jax.tree.map(jnp.subtract, direction, _times(_slot(memory.changes, slot), weight))
    newest = _slot(memory.changes, slots[0])
    length = memory.inverse[slots[0]] * _dot(newest, _preconditioned(problem, newest, 1.0))
    scale = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1.0), 1.0)
    direction = _preconditioned(problem, _times(direction, scale), 1.0)
    for slot, weight in zip(reversed(slots), reversed(weights), strict=True):
        back = memory.inverse[slot] * _dot(_slot(memory.changes, slot), direction)
        direction = jax.tree.map(jnp.add, direction, _times(_slot(memory.moves, slot), weight - back))
    return jax.tree.map(jnp.negative, direction)


def _slot(stack: States, slot: Array) -> States:
    return jax.tree.map(lambda leaf: leaf[slot], stack)


def _preconditioned(problem: Problem, gradient: States, sign: float) -> States:
    """sign Γ^-1 ∇F."""
    return tuple(
        jax.tree.map(lambda g, p=precision: sign * g / p, state)
        for precision, state in zip(problem.precisions[:-1], gradient, strict=True)
    )


def _dot(a: States, b: States) -> Float[Array, " batch"]:
    products = jax.tree.leaves(jax.tree.map(jnp.multiply, a, b))
    return jnp.sum(jnp.stack([jnp.sum(leaf, axis=(0, *range(2, leaf.ndim))) for leaf in products]), axis=0)


def _times(states: States, weight: Float[Array, " batch"]) -> States:
    return jax.tree.map(lambda leaf: jax.vmap(scaled, (None, 0))(weight, leaf), states)


def _chosen(mask: Bool[Array, " batch"], new: Any, old: Any) -> Any:
    """Per example, leaves (depth, batch, ...)."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape((1, -1) + (1,) * (a.ndim - 2)), a, b), new, old)


def _chosen_point(mask: Bool[Array, " batch"], new: Point, old: Point) -> Point:
    column = mask[:, None]
    return Point(
        _chosen(mask, new.errors, old.errors),
        _chosen(mask, new.states, old.states),
        jnp.where(column, new.prediction, old.prediction),
        jnp.where(column, new.output_error, old.output_error),
        _chosen(mask, new.pulled, old.pulled),
    )
