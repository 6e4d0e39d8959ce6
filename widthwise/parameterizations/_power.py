"""Exact powers of a layer's size: the only arithmetic that a parameterization needs."""

import dataclasses
import re
from fractions import Fraction

from .._errors import InputError

Rational = Fraction | int | str | float
# No power law of this field comes near; a size to such a power is no float.
LARGEST = 20
# `Fraction("1e200000000")` computes all its digits first, for longer than anyone waits.
LONGEST = 40
HUGE = re.compile(r"[eE][-+]?[\d_]{3}")


def fraction(value: Rational) -> Fraction:
    """An exact fraction from `-1/2`, `-0.5`, an int, a float or a Fraction.

    **Raises:** `InputError` where the value is no such number, or its text is longer than an exponent's ever is.

    >>> fraction("-1/2"), fraction(0.1)
    (Fraction(-1, 2), Fraction(1, 10))
    """
    # A float means the decimal that is printed, not its binary neighbour.
    value = str(value) if isinstance(value, float) else value
    if isinstance(value, str) and (len(value) > LONGEST or HUGE.search(value)):
        shown = value if len(value) <= LONGEST else value[:LONGEST] + "..."
        raise InputError(
            f"{shown!r} is no exponent",
            setting="exponent",
            value=value,
            remedy=f"expected at most {LONGEST} characters and a power of ten of at most two digits; write it "
            "like -1/2 or -0.5",
        )
    try:
        exact = Fraction(value)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        raise InputError(
            f"exponent {value!r} is not a fraction",
            setting="exponent",
            value=value,
            remedy="write it like -1/2 or -0.5",
        ) from None
    if abs(exact) > LARGEST:
        raise InputError(
            f"{value!r} is no exponent",
            setting="exponent",
            value=value,
            remedy=f"expected a fraction between -{LARGEST} and {LARGEST}",
        )
    return exact


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of one layer and of the base at which all parameterizations coincide.

    **Arguments:** `fan_in`, `fan_out`: of this layer (of a convolution: channels); `width` N: of the network, or where
    its layers differ the layer's own: its fan-in where that grows, else its fan-out; `depth` L: weight layers of the
    network; `base_width` N_0 and `base_depth` L_0; `prefactor` γ_0 of the richness, no size but counted with them.
    """

    fan_in: int
    fan_out: int
    width: int
    depth: int
    base_width: int = 64
    base_depth: int = 8
    prefactor: float = 1.0


@dataclasses.dataclass(frozen=True)
class Power:
    """A product of exact powers of a layer's size.

        fan_in^p  fan_out^q  (N / N_0)^w  (L / L_0)^d  L_0^e  γ_0^s

    **Arguments:** `fan_in`, `fan_out`: exponents p, q of the absolute fans; `width`, `depth`: exponents
    w, d relative to the base; `base_depth`: exponent e, which makes a power of depth absolute where d = e;
    `prefactor`: exponent s of the richness's prefactor.

    >>> half = Fraction(1, 2)
    >>> (Power(fan_in=-half) * Power(width=-half)).at(Size(fan_in=256, fan_out=10, width=256, depth=3))
    0.03125
    """

    fan_in: Fraction = Fraction(0)
    fan_out: Fraction = Fraction(0)
    width: Fraction = Fraction(0)
    depth: Fraction = Fraction(0)
    base_depth: Fraction = Fraction(0)
    prefactor: Fraction = Fraction(0)

    def __mul__(self, other: "Power") -> "Power":
        return Power(*(x + y for x, y in zip(self.exponents, other.exponents, strict=True)))

    def __truediv__(self, other: "Power") -> "Power":
        return self * other**-1

    def __pow__(self, exponent: Rational) -> "Power":
        return Power(*(x * fraction(exponent) for x in self.exponents))

    @property
    def exponents(self) -> tuple[Fraction, ...]:
        """The exponents in the order of the fields."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def at(self, size: Size) -> float:
        """The value at a layer's size, as a float."""
        bases = (
            size.fan_in,
            size.fan_out,
            size.width / size.base_width,
            size.depth / size.base_depth,
            size.base_depth,
            size.prefactor,
        )
        value = 1.0
        for base, exponent in zip(bases, self.exponents, strict=True):
            value *= float(base) ** float(exponent)
        return value


ONE = Power()


def width_power(exponent: Rational, depth_exponent: Rational = 0) -> Power:
    """(N / N_0)^exponent (L / L_0)^depth_exponent."""
    return Power(width=fraction(exponent), depth=fraction(depth_exponent))
