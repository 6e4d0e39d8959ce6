"""Error space as one vector: the hidden layers' states in as few arrays as their shapes allow, for searches in it.

Layers of equal width lie in one array, so that every vector operation is one compiled loop instead of one a segment.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..network import States
from ._problem import Problem, scaled

# Arrays (depth, batch, ...), together all hidden layers.
Vector = tuple[Array, ...]


def packed(states: States) -> Vector:
    """States as a vector."""
    leaves = jax.tree.leaves(states)
    return (jnp.concatenate(leaves),) if _alike(leaves) else tuple(leaves)


def unpacked(vector: Vector, like: States) -> States:
    """A vector as states of the structure of `like`."""
    leaves, structure = jax.tree.flatten(like)
    if _alike(leaves):
        cuts = list(itertools.accumulate(leaf.shape[0] for leaf in leaves[:-1]))
        vector = tuple(jnp.split(vector[0], cuts))
    return jax.tree.unflatten(structure, vector)


def preconditioned(problem: Problem, gradient: Vector, like: States) -> Vector:
    """Γ^-1 ∇F."""
    leaves = jax.tree.leaves(like)
    rows = [
        jnp.broadcast_to(precision, (leaf.shape[0], *(1,) * (leaf.ndim - 1)))
        for precision, state in zip(problem.precisions[:-1], like, strict=True)
        for leaf in jax.tree.leaves(state)
    ]
    rows = [jnp.concatenate(rows)] if _alike(leaves) else rows
    return tuple(g / precision for g, precision in zip(gradient, rows, strict=True))


def dot(a: Vector, b: Vector) -> Float[Array, " batch"]:
    """⟨a, b⟩ over layers and units, per example."""
    sums = [jnp.sum(x * y, axis=(0, *range(2, x.ndim))) for x, y in zip(a, b, strict=True)]
    return functools.reduce(jnp.add, sums)


def times(vector: Vector, weight: Float[Array, " batch"]) -> Vector:
    """Every example's vector times its weight."""
    return tuple(jax.vmap(scaled, (None, 0))(weight, leaf) for leaf in vector)


def plus(a: Vector, b: Vector) -> Vector:
    """a + b."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def minus(a: Vector, b: Vector) -> Vector:
    """a − b."""
    return tuple(x - y for x, y in zip(a, b, strict=True))


def chosen(mask: Bool[Array, " batch"], new: States, old: States) -> States:
    """Per example the new or the old; for vectors and states."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape((1, -1) + (1,) * (a.ndim - 2)), a, b), new, old)


def _alike(leaves: list[Array]) -> bool:
    return len({(leaf.shape[1:], leaf.dtype) for leaf in leaves}) == 1
