"""Limited-memory BFGS in error space, every example with its own memory, step and safeguard.

    d = −B ∇_e F,   B from the last moves s = Δe and changes y = Δ∇F by the two-loop recursion

In error space the Hessian is Γ plus a matrix of rank out (docs/theory.md E), so a short memory learns nearly all of it.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._arguments import at_least_one, positive
from ..network import States
from ._curvature import curvature_step
from ._error_vector import Vector, dot, minus, plus, preconditioned, times
from ._problem import Point, Problem
from ._safeguarded_search import AbstractSearch, Tried


class Memory(NamedTuple):
    """The last moves s and gradient changes y, (memory, depth, batch, ...), and 1/⟨s, y⟩, 0 where there is none."""

    moves: Vector
    changes: Vector
    inverse: Float[Array, "memory batch"]


class QuasiNewton(AbstractSearch):
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

    def first(self, problem: Problem, start: Point, gradient: Vector) -> tuple[Float[Array, " batch"], Memory]:
        """The step that the curvature suggests for steepest descent, and nothing remembered."""
        empty = jax.tree.map(lambda leaf: jnp.zeros((self.memory, *leaf.shape), leaf.dtype), gradient)
        inverse = jnp.zeros((self.memory, problem.y.shape[0]), problem.y.dtype)
        return curvature_step(problem, start), Memory(empty, empty, inverse)

    def direction(
        self, problem: Problem, point: Point, gradient: Vector, memory: Memory, number: Int[Array, ""]
    ) -> Vector:
        """−B ∇F."""
        return _direction(problem, point.errors, memory, gradient, number - 1, self.memory)

    def remembered(self, memory: Memory, tried: Tried) -> Memory:
        """The memory with this turn's pair in the oldest slot, left empty where a step was refused or F curves down."""
        slot = tried.number % self.memory
        product = dot(tried.move, tried.change)
        good = tried.kept & (product > 0)
        inverse = jnp.where(good, 1 / jnp.where(good, product, 1.0), 0.0)

        def write(old: Array, new: Array) -> Array:
            return jax.lax.dynamic_update_index_in_dim(old, new, slot, 0)

        return Memory(
            jax.tree.map(write, memory.moves, tried.move),
            jax.tree.map(write, memory.changes, tried.change),
            write(memory.inverse, inverse),
        )


def _direction(problem: Problem, like: States, memory: Memory, gradient: Vector, count: Array, size: int) -> Vector:
    """−B ∇F by the two-loop recursion over the slots, the newest first; empty slots change nothing."""
    # In loops, not written out: a compiled pair of loop bodies instead of `memory` of them.
    newest_first = (count - jnp.arange(size, dtype=count.dtype)) % size

    def strip(direction: Vector, slot: Array) -> tuple[Vector, Array]:
        weight = memory.inverse[slot] * dot(_slot(memory.moves, slot), direction)
        return minus(direction, times(_slot(memory.changes, slot), weight)), weight

    def restore(direction: Vector, row: tuple[Array, Array]) -> tuple[Vector, None]:
        slot, weight = row
        back = memory.inverse[slot] * dot(_slot(memory.changes, slot), direction)
        return plus(direction, times(_slot(memory.moves, slot), weight - back)), None

    direction, weights = jax.lax.scan(strip, gradient, newest_first)
    newest = _slot(memory.changes, newest_first[0])
    length = memory.inverse[newest_first[0]] * dot(newest, preconditioned(problem, newest, like))
    scale = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1.0), 1.0)
    direction = preconditioned(problem, times(direction, scale), like)
    direction, _ = jax.lax.scan(restore, direction, (newest_first, weights), reverse=True)
    return tuple(-leaf for leaf in direction)


def _slot(stack: Vector, slot: Array) -> Vector:
    return tuple(leaf[slot] for leaf in stack)
