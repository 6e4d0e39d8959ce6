"""Builders: the one place where a parameterization is asked how a layer scales."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._errors import InputError
from ..parameterizations import Parameterization, Role, Size
from ._chain import Network, Segment
from ._layer import Linear

STATES = ("pre", "post")


# Beyond this no weight matrix fits a machine, and index arithmetic overflows.
LARGEST = 2**24


@dataclasses.dataclass(frozen=True)
class LeafScaling:
    """What the training loop needs of one array: its role, and its row's factors at its size.

    **Arguments:** `role`; `rate`, `epsilon`, `decay`: factors on the base learning rate, on Adam's epsilon and
    on the weight decay.
    """

    role: Role
    rate: float
    epsilon: float
    decay: float


class Built(eqx.Module):
    """A network beside what scales it.

    **Arguments:** `network`; `scalings`: a pytree of the network's structure with a `LeafScaling` at every
    array; `table`: the parameterization it was built from; `sizes`: that of each segment's weights.
    """

    network: Network
    scalings: PyTree[LeafScaling]
    table: Parameterization = eqx.field(static=True)
    sizes: tuple[Size, ...] = eqx.field(static=True)


def normals(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
    """w ~ N(0, 1): what one draw of this shape holds, whose program takes XLA up to ten times as long to compile."""
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def _linear(
    table: Parameterization,
    roles: tuple[Role, Role],
    size: Size,
    count: int,
    gain: float,
    bias: bool,
    key: PRNGKeyArray,
    dtype: Any,
    matmul: str,
) -> Linear:
    """A stack of affine maps, its scaling asked of the table once."""
    weight, offset = (table.scalings[role] for role in roles)
    dtype = jnp.zeros(()).dtype if dtype is None else dtype
    drawn = normals(key, (count, size.fan_out, size.fan_in), dtype)
    biases = jnp.zeros((count, size.fan_out), dtype) if bias else None
    return Linear(
        weight=gain * weight.init.at(size) * drawn,
        bias=biases,
        multiplier=weight.multiplier.at(size),
        bias_multiplier=offset.multiplier.at(size),
        matmul=matmul,
    )


def _labels(segment: Segment, table: Parameterization, roles: tuple[Role, Role], size: Size) -> PyTree[LeafScaling]:
    """The segment with a LeafScaling in place of every array."""

    arrays: Any = eqx.filter(segment, eqx.is_array)
    arrays = eqx.tree_at(lambda s: s.stages.linear.weight, arrays, label(table, roles[0], size))
    if segment.stages.linear.bias is None:  # type: ignore[attr-defined]
        return arrays
    return eqx.tree_at(lambda s: s.stages.linear.bias, arrays, label(table, roles[1], size))


def label(table: Parameterization, role: Role, size: Size) -> LeafScaling:
    """What the training loop needs of an array of this role and size."""
    row = table.scalings[role]
    return LeafScaling(role, row.rate.at(size), row.epsilon.at(size), row.decay.at(size))


def at_least(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number, too small, or larger than any machine holds.

    **Raises:** `InputError`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
        raise InputError(f"{name} is {value!r}: it must be a whole number from {least} to {LARGEST}")
