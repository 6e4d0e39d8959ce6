"""Matrix products in full float32, whoever calls them.

Accelerators would otherwise round float32 factors to TF32's 10 bits, 1e-3, which drowns the residual of inference.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FULL = jax.lax.Precision.HIGHEST

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")


def product(left: Float[Array, "..."], right: Float[Array, "..."], kind: Any = None) -> Float[Array, "..."]:
    """A B, and its derivatives, without rounding the factors.

    **Arguments:** `left`, `right`: A, B, as in `jnp.matmul`; `kind`: in what the sums are kept, the factors' own
    unless given.

    >>> product(jnp.ones((1, 3)), jnp.ones((3, 1))).tolist()
    [[3.0]]
    """
    return jnp.matmul(left, right, precision=FULL, preferred_element_type=kind)


def in_full(function: Callable[Arguments, Found]) -> Callable[Arguments, Found]:
    """The same function, with every product inside it in full: for formulas that read better with A @ B."""

    @functools.wraps(function)
    def computed(*arguments: Arguments.args, **settings: Arguments.kwargs) -> Found:
        with jax.default_matmul_precision("float32"):
            return function(*arguments, **settings)

    return computed
