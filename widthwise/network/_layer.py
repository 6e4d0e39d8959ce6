"""Layers with a multiplier: the only place where a parameterization's forward scaling acts."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import unknown
from .._product import FULL, product
from ._factor import Factor, as_factor

MATMULS = ("float32", "bfloat16")
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda z: z,
    "tanh": jax.numpy.tanh,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}


def activation(name: str) -> Callable[[Array], Array]:
    """The elementwise function of a name.

    **Raises:** `InputError` for an unknown name.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


class Linear(eqx.Module):
    """An affine map with explicit multipliers; the bias sits outside the weight's multiplier.

        multiplier · W x + bias_multiplier · b

    **Arguments:** `weight`: (out, in); `bias`: (out,) or None; `multiplier`, `bias_multiplier`: numbers of the
    parameterization (`Factor`); `matmul`: `"float32"` multiplies as the arrays are, `"bfloat16"` rounds both factors to
    bfloat16, here and in the derivatives, and adds in the arrays' own precision: faster on accelerators, and a
    residual below 1e-2 is then hardly reached. Inside a segment the arrays carry a leading axis of depth.
    """

    weight: Float[Array, "*depth out in"]
    bias: Float[Array, "*depth out"] | None
    multiplier: Factor
    bias_multiplier: Factor
    matmul: str = eqx.field(static=True)

    def __init__(
        self,
        weight: Float[Array, "*depth out in"],
        bias: Float[Array, "*depth out"] | None,
        multiplier: float | Factor = 1.0,
        bias_multiplier: float | Factor = 1.0,
        matmul: str = "float32",
    ) -> None:
        self.weight, self.bias, self.matmul = weight, bias, matmul
        depth = weight.shape[:-2]
        self.multiplier = as_factor(multiplier, depth, weight.dtype)
        self.bias_multiplier = as_factor(bias_multiplier, depth, weight.dtype)

    def __call__(self, x: Float[Array, "batch in"]) -> Float[Array, "batch out"]:
        out = self._product(x, self.weight.T)
        return out if self.bias is None else out + self.bias_multiplier * self.bias

    def transposed(self, z: Float[Array, "batch out"]) -> Float[Array, "batch in"]:
        """multiplier · W^T z."""
        return self._product(z, self.weight)

    def _product(self, left: Array, right: Array) -> Array:
        dtype = left.dtype
        left, right = rounded(self.matmul, left, right)
        return self.multiplier * product(left, right, dtype)


class Convolution(eqx.Module):
    """A convolution with explicit multipliers, on images (batch, height, width, channels), edges padded with zeros.

        multiplier · W ⋆ x + bias_multiplier · b

    **Arguments:** `weight`: (k, k, in, out); `bias`: (out,) or None; `multiplier`, `bias_multiplier`, `matmul`: as in
    `Linear`; `stride`: pixels from one output to the next. Inside a segment the arrays carry a leading axis of depth.
    """

    weight: Float[Array, "*depth rows columns in out"]
    bias: Float[Array, "*depth out"] | None
    multiplier: Factor
    bias_multiplier: Factor
    matmul: str = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __init__(
        self,
        weight: Float[Array, "*depth rows columns in out"],
        bias: Float[Array, "*depth out"] | None,
        multiplier: float | Factor = 1.0,
        bias_multiplier: float | Factor = 1.0,
        matmul: str = "float32",
        stride: int = 1,
    ) -> None:
        self.weight, self.bias, self.matmul, self.stride = weight, bias, matmul, stride
        depth = weight.shape[:-4]
        self.multiplier = as_factor(multiplier, depth, weight.dtype)
        self.bias_multiplier = as_factor(bias_multiplier, depth, weight.dtype)

    def __call__(self, x: Float[Array, "batch height width in"]) -> Float[Array, "batch h w out"]:
        left, right = rounded(self.matmul, x, self.weight)
        # In a loop on a CPU XLA's convolution takes 5 to 24 times as long as patches (benchmarks/convolutions.py).
        convolve = _by_patches if jax.default_backend() == "cpu" else _directly
        out = self.multiplier * convolve(left, right, stride=self.stride, kind=x.dtype)
        return out if self.bias is None else out + self.bias_multiplier * self.bias


def _directly(x: Array, weight: Array, *, stride: int, kind: Any) -> Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, weight, (stride, stride), "SAME", dimension_numbers=numbers, precision=FULL, preferred_element_type=kind
    )


def _by_patches(x: Array, weight: Array, *, stride: int, kind: Any) -> Array:
    """The same as one product: every output's k² neighbours side by side, times all taps."""
    taps = weight.shape[:2]
    reach = [(-(-size // stride) - 1) * stride for size in x.shape[1:3]]
    lacks = [max(last + own - size, 0) for last, own, size in zip(reach, taps, x.shape[1:3], strict=True)]
    # As "SAME" pads: where the sum is odd, one more at the end.
    padded = jnp.pad(x, ((0, 0), *((lack // 2, lack - lack // 2) for lack in lacks), (0, 0)))
    shifted = [
        padded[:, i : i + reach[0] + 1 : stride, j : j + reach[1] + 1 : stride]
        for i in range(taps[0])
        for j in range(taps[1])
    ]
    patches = jnp.concatenate(shifted, axis=-1)
    return product(patches, weight.reshape(-1, weight.shape[-1]), kind)


def rounded(matmul: str, left: Array, right: Array) -> tuple[Array, Array]:
    """Both factors of a product, in bfloat16 where `matmul` asks for it."""
    if matmul == "bfloat16":
        return left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
    return left, right
