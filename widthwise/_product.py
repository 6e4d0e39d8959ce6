"""Matrix products in full float32, whoever calls them.

Accelerators would otherwise round float32 factors to TF32's 10 bits, 1e-3, which drowns the residual of inference.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FULL = jax.lax.Precision.HIGHEST


def product(left: Float[Array, "..."], right: Float[Array, "..."], kind: Any = None) -> Float[Array, "..."]:
    """A B, and its derivatives, without rounding the factors.

    **Arguments:** `left`, `right`: A, B, as in `jnp.matmul`; `kind`: in what the sums are kept, the factors' own
    unless given.

    >>> product(jnp.ones((1, 3)), jnp.ones((3, 1))).tolist()
    [[3.0]]
    """
    return jnp.matmul(left, right, precision=FULL, preferred_element_type=kind)
