"""What a relaxation's settings may be; traced values pass, as a sweep varies them."""

import math
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError


def at_least_one(name: str, why: str = "without inference the hidden layers would not learn") -> Callable[[Any], int]:
    """A converter for whole numbers of at least 1; `why` 0 is none."""

    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            remedy = f"; {why}" if value == 0 else ""
            raise InputError(f"{name} is {value!r}: it must be a whole number of at least 1{remedy}")
        return value

    return convert


def or_zero(convert: Callable[[Any], int]) -> Callable[[Any], int]:
    """As `convert`, but 0 passes: another setting decides whether it may."""
    return lambda value: value if type(value) is int and value == 0 else convert(value)


def positive(name: str) -> Callable[[Any], Array]:
    """A converter for positive numbers to arrays, so that their values never recompile."""

    def convert(value: Any) -> Array:
        if isinstance(value, numbers.Real) and not float(value) > 0:
            raise InputError(f"{name} is {value!r}: it must be positive")
        return value if isinstance(value, jax.core.Tracer) else as_array(value)

    return convert


def not_negative(name: str) -> Callable[[Any], Array]:
    """A converter for numbers of at least 0 to arrays."""

    def convert(value: Any) -> Array:
        if isinstance(value, numbers.Real) and not 0 <= float(value) < math.inf:
            raise InputError(f"{name} is {value!r}: it must be finite and at least 0")
        return value if isinstance(value, jax.core.Tracer) else as_array(value)

    return convert


def array_or_none(name: str) -> Callable[[Any], Array | None]:
    """As `positive`, and None stays None."""
    convert = positive(name)
    return lambda value: None if value is None else convert(value)


def as_array(value: Any) -> Array:
    """An array of JAX's float, of one type whatever it came from; placeholders of tree transformations pass."""
    return jnp.asarray(value, float) if isinstance(value, numbers.Real | np.ndarray | jax.Array) else value
