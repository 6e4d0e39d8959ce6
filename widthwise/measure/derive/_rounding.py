"""A measured exponent, the small fraction nearest to it, and how sure that is.

    σ² = se² + max(0, d² − se_d²) + 0.02²,   d = (s_small − s_large) / 2

s_small, s_large: the slopes over all sizes but the largest, and but the smallest; d, with a standard error of its own,
is what still bends with the size, and 0.02 what finite sizes leave where nothing bends. Among the multiples v of a
fraction 1/n, all as likely beforehand, v has the probability exp(−(s − v)²/2σ²) over the sum of all.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .._slopes import Slope, log_slope

# A fraction less sure than this is not given.
CONFIDENT = 0.95
# What finite sizes leave where seeds and sizes agree better than that.
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
    if len(sizes) < LEAST_SIZES or not math.isfinite(slope.value):
        return Slope(slope.value, math.nan)
    logs, x = np.log(values), np.log(np.asarray(sizes, float))
    ends = [np.polyfit(x[part], logs[:, part].T, 1)[0] for part in (slice(None, -1), slice(1, None))]
    bends = (ends[0] - ends[1]) / 2
    bend = max(0.0, bends.mean() ** 2 - bends.var(ddof=1) / len(bends))
    return Slope(slope.value, math.sqrt(slope.error**2 + bend + LEAST_ERROR**2))


def rounded(measured: float, error: float, denominator: int) -> tuple[Fraction, float]:
    """The multiple of 1/denominator nearest to a measurement, and its probability.

    >>> rounded(0.52, 0.03, 4)[0]
    Fraction(1, 2)
    >>> round(rounded(0.375, 0.1, 4)[1], 2)
    0.5

    **Returns:** the fraction, and its probability: 0 where nothing finite was measured, σ is not known, or even the
    nearest is farther than 2 σ and than finite sizes leave.
    """
    if not math.isfinite(measured):
        return Fraction(0), 0.0
    nearest = round(measured * denominator)
    value = Fraction(nearest, denominator)
    off = abs(measured - float(value))
    if not math.isfinite(error) or off > max(FARTHEST, 2 * error):
        return value, 0.0
    around = np.arange(nearest - 8, nearest + 9) / denominator
    weights = np.exp(-((measured - around) ** 2 - off**2) / (2 * error**2))
    return value, float(1 / weights.sum())
