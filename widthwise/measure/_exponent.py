"""A measured exponent, the small fraction nearest to it, and how sure that is.

    σ² = se² + ((s_small − s_large) / 2)²

s_small, s_large: the slopes over all sizes but the largest, and but the smallest: what still bends with the size. Among
the multiples v of 1/d, all as likely beforehand, v has the probability exp(−(s − v)²/2σ²) over the sum of all.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ._slopes import Slope, log_slope

# A fraction less sure than this is not given.
CONFIDENT = 0.95
# Where seeds and sizes agree better than this, finite sizes still leave as much.
LEAST_ERROR = 0.02
# Farther off than finite sizes were ever seen to leave a right table, a fraction does not fit.
FARTHEST = 0.1
# With two sizes nothing says whether a slope has settled.
LEAST_SIZES = 3


class Exponent(NamedTuple):
    """One measured exponent.

    **Fields:** `role`; `letter`: as in a table, b of the init, c of the rate, g of epsilon, with `_depth` over depth;
    `measured`; `error`: σ; `value`: the fraction it rounds to, None where that is not sure; `confidence`: its
    probability.
    """

    role: str
    letter: str
    measured: float
    error: float
    value: Fraction | None
    confidence: float


def settled_slope(sizes: list[int], values: np.ndarray) -> Slope:
    """The slope and σ: its standard error over seeds, and how much it still bends with the size.

    **Arguments:** `sizes`; `values`: (seeds, sizes), positive.

    **Returns:** value and σ; σ is NaN where there are too few sizes, both where a value is not positive and finite.
    """
    slope = log_slope(sizes, values)
    if len(sizes) < LEAST_SIZES:
        return Slope(slope.value, math.nan)
    small, large = log_slope(sizes[:-1], values[:, :-1]), log_slope(sizes[1:], values[:, 1:])
    bend = (small.value - large.value) / 2
    return Slope(slope.value, math.sqrt(slope.error**2 + bend**2 + LEAST_ERROR**2))


def rounded(measured: float, error: float, denominator: int) -> tuple[Fraction, float]:
    """The multiple of 1/denominator nearest to a measurement, and its probability.

    >>> rounded(0.52, 0.03, 4)[0]
    Fraction(1, 2)
    >>> round(rounded(0.375, 0.1, 4)[1], 2)
    0.49

    **Returns:** the fraction, and its probability: 0 where σ is not known, or where even the nearest is farther than
    2 σ and than finite sizes leave.
    """
    nearest = round(measured * denominator)
    value = Fraction(nearest, denominator)
    off = abs(measured - float(value))
    if not math.isfinite(error) or off > max(FARTHEST, 2 * error):
        return value, 0.0
    around = np.arange(nearest - 8, nearest + 9) / denominator
    weights = np.exp(-((measured - around) ** 2 - off**2) / (2 * error**2))
    return value, float(1 / weights.sum())
