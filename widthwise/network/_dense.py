"""Builders of fully connected networks."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import PRNGKeyArray

from .._errors import InputError, expect, unknown
from ..parameterizations import Parameterization, Role
from ._build import NO_BIAS, STATES, Built, Layer, Made, Tensor, assembled, at_least, normals
from ._layer import ACTIVATIONS, MATMULS, Linear
from ._stage import Dense


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

    >>> import jax, jax.numpy as jnp
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

    >>> import jax, jax.numpy as jnp
    >>> from widthwise.parameterization import parameterization
    >>> built = residual_mlp(64, 32, 10, depth=128, table=parameterization("mupc"), key=jax.random.key(0))
    >>> [segment.depth for segment in built.network.segments]
    [1, 126, 1]

    Source: arXiv 2505.13124.
    """
    if state != "pre":
        raise InputError(
            f"state {state!r}: residual_mlp carries pre-activations",
            setting="state",
            value=state,
            remedy="use state 'pre', or mlp",
        )
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
    in_size, width = at_least("in_size", in_size, 1), at_least("width", width, 1)
    out_size, depth = at_least("out_size", out_size, 1), at_least("depth", depth, 2)
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    if matmul not in MATMULS:
        raise unknown("matmul", matmul, MATMULS)
    if state not in STATES:
        raise unknown("state", state, STATES)
    before, after = (activation, "linear") if state == "pre" else ("linear", activation)
    inner = (Role.BRANCH, Role.BRANCH_BIAS) if residual else (Role.HIDDEN, Role.HIDDEN_BIAS)

    def layer(roles: tuple[Role, Role], fans: tuple[int, int], count: int, std: float, **stage: Any) -> Layer:
        tensors = {"weight": Tensor(roles[0], fans, width, fans[::-1], std, normals)}
        if bias:
            tensors["bias"] = Tensor(roles[1], fans, width, fans[1:])
        return Layer(roles[0], lambda made: Dense(affine(made, matmul), **stage), fans, count, tensors)

    layers = [
        layer((Role.INPUT, Role.HIDDEN_BIAS), (in_size, width), 1, 1.0, after=after),
        layer(inner, (width, width), depth - 2, gain, before=before, after=after, residual=residual),
        layer((Role.OUTPUT, Role.OUTPUT_BIAS), (width, out_size), 1, gain, before=before),
    ]
    return assembled(layers, table, depth=depth, in_size=in_size, out_size=out_size, key=key, dtype=dtype)


def affine(made: Mapping[str, Made], matmul: str) -> Linear:
    """The affine map of a layer's arrays `weight` and, where it has one, `bias`."""
    weight, bias = made["weight"], made.get("bias", NO_BIAS)
    return Linear(weight.array, bias.array, weight.multiplier, bias.multiplier, matmul)
