"""What a relaxation's settings may be; traced values pass, as a sweep varies them."""

import math
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._errors import InputError
from ._numbers import whole_number

# Of numbers whose squares float32 holds.
LEAST, LARGEST = (float(end) ** 0.5 for end in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
NUMBERS = numbers.Real | np.ndarray | jax.Array


def at_least_one(name: str, why: str = "without inference the hidden layers would not learn") -> Callable[[Any], int]:
    """A converter for whole numbers of at least 1, which a counter holds; `why` 0 is none."""

    def convert(value: Any) -> int:
        return whole_number(name, value, remedy=f"it must be a whole number of at least 1; {why}" if value == 0 else "")

    return convert


def or_zero(convert: Callable[[Any], int]) -> Callable[[Any], int]:
    """As `convert`, but 0 passes: another setting decides whether it may."""

    def converted(value: Any) -> int:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return 0 if whole and value == 0 else convert(value)

    return converted


def factor(name: str) -> Callable[[Any], Array]:
    """As `positive`, for what multiplies a gradient, whose norm is a sum of squares: its square must not be 0."""
    return positive(name, LEAST)


def positive(name: str, least: float = 0.0) -> Callable[[Any], Array]:
    """A converter for positive numbers of at least `least` to arrays, so that their values never recompile."""

    def convert(value: Any) -> Array:
        if isinstance(value, jax.core.Tracer):
            return value
        if isinstance(value, str):
            raise InputError(f"{name} is {value!r}", setting=name, value=value, remedy="it must be a positive number")
        if isinstance(value, NUMBERS):
            held = np.asarray(value, float)
            if not (held > 0).all():
                raise InputError(f"{name} is {value!r}", setting=name, value=value, remedy="it must be positive")
            if not ((held >= least) & (held <= LARGEST)).all():
                raise InputError(
                    f"{name} is {value!r}",
                    setting=name,
                    value=value,
                    remedy=f"it must be from {least:.2g} to {LARGEST:.2g}",
                )
        return as_array(value)

    return convert


def not_negative(name: str) -> Callable[[Any], Array]:
    """A converter for numbers of at least 0 to arrays."""

    def convert(value: Any) -> Array:
        if isinstance(value, numbers.Real) and not 0 <= float(value) < math.inf:
            raise InputError(
                f"{name} is {value!r}", setting=name, value=value, remedy="it must be finite and at least 0"
            )
        return value if isinstance(value, jax.core.Tracer) else as_array(value)

    return convert


def factor_or_none(name: str) -> Callable[[Any], Array | None]:
    """As `factor`, and None stays None."""
    convert = factor(name)
    return lambda value: None if value is None else convert(value)


def as_array(value: Any) -> Array:
    """An array of JAX's float, of one type whatever it came from; placeholders of tree transformations pass."""
    return jnp.asarray(value, float) if isinstance(value, NUMBERS) else value
