"""Whole numbers and rates as users have them: Python's, numpy's, or JAX's of no axis; anything else is an error."""

import math
import operator
from typing import Any, NamedTuple

from ._errors import InputError

# What a counter of 32 bits holds.
MOST = 2**31 - 1


def whole_number(name: str, value: Any, least: int = 1, most: int = MOST, remedy: str = "") -> int:
    """A whole number as Python's int.

    **Arguments:** `name`: of the setting; `value`: an int, or numpy's or JAX's of no axis; `least`, `most`; `remedy`:
    what to give instead, where the bounds alone do not say it.

    **Raises:** `InputError` for floats, truth values, text, and numbers out of range.

    >>> import numpy as np
    >>> whole_number("width", np.int64(3))
    3
    """
    wanted = remedy or (
        f"it must be a whole number of at least {least}"
        if most == MOST
        else f"it must be a whole number from {least} to {most}"
    )
    try:
        # numpy's truth values have an index in some versions.
        found = None if "bool" in type(value).__name__ else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise InputError(f"{name} is {value!r}", setting=name, value=value, remedy=wanted)
    if found > most:
        remedy = "it must be below 2^31" if most == MOST else wanted
        raise InputError(f"{name} is {found}", setting=name, value=value, remedy=remedy)
    return found


class Range(NamedTuple):
    """What a number may be: from `least`, which is itself allowed or not, to below `most`."""

    least: float
    allowed: bool
    most: float
    remedy: str


# Of numbers that training multiplies with.
RANGES = {
    "rate": Range(0, False, math.inf, "it must be positive and finite"),
    "gamma_0": Range(0, False, math.inf, "it must be positive and finite"),
    "momentum": Range(0, True, 1, "it must be at least 0 and below 1"),
    "epsilon": Range(0, False, math.inf, "it must be positive and finite"),
    "weight_decay": Range(0, True, math.inf, "it must be finite and at least 0"),
    "clip": Range(0, False, math.inf, "it must be positive and finite, or None for none"),
}


def real_number(name: str, value: Any, dtype: Any = None) -> float:
    """A number of `RANGES` as Python's float.

    **Arguments:** `name`: of `RANGES`; `value`: a real number, numpy's or JAX's of no axis too; `dtype`: of the arrays
    that it multiplies, in which it must not be 0, infinite or 1 where it is not.

    **Raises:** `InputError` for what is no number, out of range, or rounded away.

    >>> import numpy as np
    >>> real_number("momentum", np.float32(0.5), np.float32)
    0.5
    """
    least, allowed, most, remedy = RANGES[name]
    try:
        found = None if isinstance(value, str | bytes) or "bool" in type(value).__name__ else float(value)
    except (TypeError, ValueError):
        found = None
    if found is None or not (least <= found < most) or (found == least and not allowed):
        raise InputError(f"{name} is {value!r}", setting=name, value=value, remedy=remedy)
    if dtype is not None and found:
        _check_kept(name, found, most, dtype)
    return found


def _check_kept(name: str, found: float, most: float, dtype: Any) -> None:
    """Refuse a number that a type of array rounds to 0, to infinity, or to its bound."""
    import jax.numpy as jnp

    kind = jnp.finfo(dtype)
    least = float(kind.tiny)
    # Below the least normal number processors round to 0.
    if found < least:
        raise InputError(
            f"{name} is {found:g}, which is 0 in {kind.dtype}",
            setting=name,
            value=found,
            remedy=f"give at least {least:.2g}, or use a wider dtype",
        )
    if found > float(kind.max) or float(jnp.asarray(found, dtype)) >= most:
        raise InputError(
            f"{name} is {found!r}, which is {most if math.isfinite(most) else math.inf:g} in {kind.dtype}",
            setting=name,
            value=found,
            remedy="give less, or use a wider dtype",
        )
