"""Slopes in log-log, with standard errors over seeds paired across sizes."""

import math
from typing import NamedTuple

import numpy as np


class Slope(NamedTuple):
    """A fitted exponent: the mean of the seeds' slopes, and its standard error."""

    value: float
    error: float


def log_slope(sizes: list[int], values: np.ndarray) -> Slope:
    """d log(values) / d log(size), fitted for each seed by least squares, then averaged.

        slope_s = Σ_i (x_i − x̄) log v_si / Σ_i (x_i − x̄)²,   x = log size

    Seeds are the same at every size, so what they share cancels in their own slopes.

    **Arguments:** `sizes`: at least two, different; `values`: (seeds, sizes), positive.

    **Returns:** mean and standard error over seeds; NaN where a value is not positive and finite.

    >>> log_slope([1, 2, 4], np.array([[1.0, 2.0, 4.0], [3.0, 6.0, 12.0]]))
    Slope(value=1.0, error=0.0)
    """
    if not (np.isfinite(values).all() and (values > 0).all()):
        return Slope(math.nan, math.nan)
    x = np.log(np.asarray(sizes, float))
    x = x - x.mean()
    slopes = np.log(values) @ x / (x @ x)
    error = slopes.std(ddof=1) / math.sqrt(len(slopes)) if len(slopes) > 1 else math.nan
    return Slope(round(float(slopes.mean()), 12), round(float(error), 12))
