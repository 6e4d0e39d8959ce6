"""Layers with a multiplier: the only place where a parameterization's forward scaling acts."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import unknown

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

    **Arguments:** `weight`: (out, in); `bias`: (out,) or None; `multiplier`, `bias_multiplier`: floats from
    the parameterization; `matmul`: `"float32"` multiplies as the arrays are, `"bfloat16"` rounds both factors to
    bfloat16, here and in the derivatives, and adds in the arrays' own precision: faster on accelerators, and a
    residual below 1e-2 is then hardly reached. Inside a segment the arrays carry a leading axis of depth.
    """

    weight: Float[Array, "*depth out in"]
    bias: Float[Array, "*depth out"] | None
    multiplier: float = eqx.field(static=True, default=1.0)
    bias_multiplier: float = eqx.field(static=True, default=1.0)
    matmul: str = eqx.field(static=True, default="float32")

    def __call__(self, x: Float[Array, "batch in"]) -> Float[Array, "batch out"]:
        out = self._product(x, self.weight.T)
        return out if self.bias is None else out + self.bias_multiplier * self.bias

    def transposed(self, z: Float[Array, "batch out"]) -> Float[Array, "batch in"]:
        """multiplier · W^T z."""
        return self._product(z, self.weight)

    def _product(self, left: Array, right: Array) -> Array:
        dtype = left.dtype
        if self.matmul == "bfloat16":
            left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
        return self.multiplier * jnp.matmul(left, right, preferred_element_type=dtype)
