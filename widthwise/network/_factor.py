"""Numbers of the table inside a network: arrays that gradients and optimizers do not see."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._errors import InputError


class Factor(eqx.Module):
    """A number that a table gives a layer, stored by its bits.

    A compiled program takes it as an argument, so that all tables of one shape share one program; and no filter for
    floating-point arrays finds it, so that it has no gradient, no place in an optimizer's memory, and no decay.

    **Raises:** `InputError`, when it is read, where something else has changed its type.

    **Arguments:** `value`: the number; `shape`: () or, inside a segment, its leading axis of depth; `dtype`: the float
    type.

    >>> factor = Factor(0.5, dtype=jnp.float32)
    >>> float(factor.value), jax.tree.leaves(eqx.filter(factor, eqx.is_inexact_array))
    (0.5, [])
    """

    bits: Int[Array, "*depth"]
    dtype: Any = eqx.field(static=True)

    def __init__(self, value: float, shape: tuple[int, ...] = (), dtype: Any = None) -> None:
        self.dtype = jnp.dtype(jnp.zeros(()).dtype if dtype is None else dtype)
        held = np.full(shape, value, self.dtype)
        self.bits = jnp.asarray(held.view(f"int{8 * self.dtype.itemsize}"))

    @property
    def value(self) -> Float[Array, "*depth"]:
        """The number as an array of its float type."""
        if not jnp.issubdtype(self.bits.dtype, jnp.integer):
            raise InputError(
                f"a table's factor in the network has become {self.bits.dtype}",
                setting="network",
                value=str(self.bits.dtype),
                remedy="change floating-point arrays alone (eqx.is_inexact_array), or build the network with dtype=",
            )
        return jax.lax.bitcast_convert_type(self.bits, self.dtype)

    # NumPy would otherwise take the product apart, element by element.
    __array_ufunc__ = None

    def __mul__(self, array: Any) -> Array:
        """The number times an array, in the array's type; the numbers of a segment along the axis of depth.

        **Raises:** `InputError` for several layers' numbers and an array without that axis.
        """
        array = jnp.asarray(array, None if hasattr(array, "dtype") else self.dtype)
        value = self.value.astype(array.dtype)
        if value.size == 1:
            return value.reshape(()) * array
        if array.shape[:1] != value.shape:
            raise InputError(
                f"array of shape {array.shape} times the numbers of {value.size} layers",
                setting="array",
                value=array.shape,
                remedy="give the segment's array with its axis of depth, or take `.value[l]` of one layer",
            )
        return value.reshape(-1, *(1,) * (array.ndim - 1)) * array

    __rmul__ = __mul__


def is_factor(node: Any) -> bool:
    """Whether a node of a network is a table's number: for filters, as `is_leaf`."""
    return isinstance(node, Factor)


def as_factor(value: float | Factor, shape: tuple[int, ...], dtype: Any) -> Factor:
    """A number as a factor; a factor as it is."""
    return value if isinstance(value, Factor) else Factor(value, shape, dtype)


def without_factors(tree: Any) -> Any:
    """A network, or what holds one, without the table's numbers: what a checkpoint stores."""
    return jax.tree.map(lambda node: None if is_factor(node) else node, tree, is_leaf=is_factor)


def with_factors(tree: Any, like: Any) -> Any:
    """The inverse of `without_factors`, the numbers taken from `like`."""
    return eqx.combine(tree, like)


def cast(tree: Any, dtype: Any) -> Any:
    """A network, or what holds one, with its arrays in another float type; the table's numbers follow at each product.

    **Arguments:** `tree`; `dtype`: the float type.
    """
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree)
