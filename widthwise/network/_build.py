"""Builders: the one place where a parameterization is asked how a layer scales."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._errors import InputError, expect, unknown
from ..parameterization import Parameterization, Role, Size
from ._chain import Network, Segment
from ._layer import ACTIVATIONS, MATMULS, Linear
from ._stage import Dense

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


def mlp(
    in_size: int,
    width: int,
    out_size: int,
    *,
    depth: int,
    activation: str = "tanh",
    table: Parameterization,
    key: PRNGKeyArray,
    bias: bool = False,
    state: str = "pre",
    gain: float = 1.0,
    dtype: Any = None,
    matmul: str = "float32",
) -> Built:
    """A fully connected chain of `depth` weight layers.

        h_1 = W_1 x,   h_l = W_l φ(h_{l-1}),   f = W_L φ(h_{L-1})          state = "pre"
        z_l = φ(W_l z_{l-1}),   f = W_L z_{L-1}                            state = "post"

    **Arguments:** `in_size`, `width` N, `out_size`; `depth`: L, at least 2; `activation`: `"linear"`, `"tanh"`,
    `"relu"`, `"gelu"` or `"silu"`; `table`: how it scales; `key`; `bias`: zero-initialized biases; `state`:
    whether states are pre- or post-activations; `gain`: factor on the std of every weight that sees activations
    (1 for all activations; sqrt(2) keeps relu's variance); `dtype`: of the parameters (default: JAX's float);
    `matmul`: `"float32"`, or `"bfloat16"` for products of rounded factors (see `Linear`).

    **Returns:** a `Built` network. For one key every parameterization draws the same standard normals.

    **Raises:** `InputError` for sizes below 1, a depth below 2 and unknown names.

    >>> from widthwise.parameterization import parameterization
    >>> built = mlp(64, 128, 10, depth=3, table=parameterization("mup"), key=jax.random.key(0))
    >>> built.network(jnp.zeros((5, 64))).shape
    (5, 10)
    """
    return _chain(
        in_size, width, out_size, depth, activation, table, key, bias, state, gain, dtype, matmul, residual=False
    )


def residual_mlp(
    in_size: int,
    width: int,
    out_size: int,
    *,
    depth: int,
    activation: str = "tanh",
    table: Parameterization,
    key: PRNGKeyArray,
    bias: bool = False,
    state: str = "pre",
    gain: float = 1.0,
    dtype: Any = None,
    matmul: str = "float32",
) -> Built:
    """A fully connected chain whose hidden layers are residual blocks.

        h_1 = W_1 x,   h_l = h_{l-1} + W_l φ(h_{l-1}),   f = W_L φ(h_{L-1}),   l = 2 … L − 1

    **Arguments, returns, raises:** as `mlp`; `depth` L counts weight layers, of which L − 2 are residual. States
    are pre-activations: a skip around the activation has no other.

    >>> from widthwise.parameterization import parameterization
    >>> built = residual_mlp(64, 32, 10, depth=128, table=parameterization("mupc"), key=jax.random.key(0))
    >>> [segment.depth for segment in built.network.segments]
    [1, 126, 1]

    Source: arXiv 2505.13124.
    """
    if state != "pre":
        raise InputError(f"state {state!r}: residual_mlp carries pre-activations; use state 'pre', or mlp")
    return _chain(
        in_size, width, out_size, depth, activation, table, key, bias, state, gain, dtype, matmul, residual=True
    )


def _chain(
    in_size: int,
    width: int,
    out_size: int,
    depth: int,
    activation: str,
    table: Parameterization,
    key: PRNGKeyArray,
    bias: bool,
    state: str,
    gain: float,
    dtype: Any,
    matmul: str,
    *,
    residual: bool,
) -> Built:
    """Input stage, hidden stages as one segment, readout."""
    expect(Parameterization, 'ww.parameterization("mup")', table=table)
    for name, value in (("in_size", in_size), ("width", width), ("out_size", out_size)):
        at_least(name, value, 1)
    at_least("depth", depth, 2)
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    if matmul not in MATMULS:
        raise unknown("matmul", matmul, MATMULS)
    if state not in STATES:
        raise unknown("state", state, STATES)
    before, after = (activation, "linear") if state == "pre" else ("linear", activation)
    keys = jax.random.split(key, 3)
    sizes = [(in_size, width, 1), (width, width, depth - 2), (width, out_size, 1)]
    roles = [
        (Role.INPUT, Role.HIDDEN_BIAS),
        (Role.BRANCH, Role.BRANCH_BIAS) if residual else (Role.HIDDEN, Role.HIDDEN_BIAS),
        (Role.OUTPUT, Role.OUTPUT_BIAS),
    ]
    stages: list[Callable[[Linear], Dense]] = [
        lambda linear: Dense(linear, after=after),
        lambda linear: Dense(linear, before=before, after=after, residual=residual),
        lambda linear: Dense(linear, before=before),
    ]
    segments, labels, used = [], [], []
    for (fan_in, fan_out, count), role, stage, draw in zip(sizes, roles, stages, keys, strict=True):
        if count:
            size = table.size(fan_in=fan_in, fan_out=fan_out, width=width, depth=depth)
            std = 1.0 if role[0] is Role.INPUT else gain
            linear = _linear(table, role, size, count, std, bias, draw, dtype, matmul)
            precision = table.scalings[role[0]].precision.at(size)
            segments.append(Segment(stage(linear), count, precision))
            labels.append(_labels(segments[-1], table, role, size))
            used.append(size)
    network = Network(tuple(segments), in_size, out_size)
    arrays = eqx.filter(network, eqx.is_array)
    return Built(network, eqx.tree_at(lambda n: n.segments, arrays, tuple(labels)), table, tuple(used))


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
