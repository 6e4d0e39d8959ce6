"""What an optimizer reads of a table: labels of arrays, and one number for each; clipping measured by them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from ..network import Built, Factors, LeafScaling

# Settings that `optax.inject_hyperparams` makes arrays.
Number = float | Float[Array, ""]


class Scaled(NamedTuple):
    """The scalings of some arrays as an optimizer needs them: static labels, and numbers that may be traced."""

    labels: PyTree[LeafScaling]
    factors: Factors

    @classmethod
    def of(cls, built: Built) -> "Scaled":
        """Those of a network's arrays, the labels without the table's numbers: equal for all tables of one shape."""
        labels = jax.tree.map(lambda one: LeafScaling(one.role, 1.0, 1.0, 1.0, 1.0, one.fan_out_axis), built.scalings)
        return cls(labels, built.factors)

    def column(self, values: Array) -> PyTree[Array]:
        """One number at each array's place."""
        return jax.tree.unflatten(jax.tree.structure(self.labels), list(values))


def mapped(fn: Callable[[Any, Any], Any], first: PyTree, updates: PyTree) -> PyTree:
    """`fn` at every array; what `optax.masked` or `optax.partition` took out stays out."""
    return jax.tree.map(lambda a, u: u if isinstance(u, optax.MaskedNode) else fn(a, u), first, updates)


def clip_by_scaled_norm(scaled: Scaled, largest: Number) -> Callable[[PyTree], PyTree]:
    """Shrink gradients whose norm is too large, the same at every size.

        g <- g min(1, c / ‖g‖),   ‖g‖² = Σ_l |g_l / n_l|²

    with n_l how the table makes the norm of each array's gradient grow beside the base size, where this is optax's
    `clip_by_global_norm`: a norm of plain gradients would clip networks of other widths at other rates.
    """

    def clipped(gradients: PyTree) -> PyTree:
        grown = scaled.column(scaled.factors.norm)
        norms = mapped(lambda n, g: jnp.sum((g / n.astype(g.dtype)) ** 2), grown, gradients)
        norm = jnp.sqrt(sum(jax.tree.leaves(norms)))
        factor = jnp.minimum(1.0, largest / jnp.where(norm == 0, 1.0, norm))
        return jax.tree.map(lambda g: factor.astype(g.dtype) * g, gradients)

    return clipped
