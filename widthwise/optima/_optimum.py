"""The best point of a grid of rates: where it lies, how sharp it is, and where stability ends.

A grid has one axis, the weight rate, or two, the activity rate beside it. Losses are (seeds, *grid), infinite where a
run diverged or is missing; a point diverged where any seed did. On two axes the best point is the one of least mean
loss, and every measure along an axis is taken on the line through it.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 200
# Losses within this factor of the best one's tell how much a comparison with it scatters.
NEAR = 1.5

Axes = Sequence[np.ndarray]


class Best(NamedTuple):
    """The best rate along one axis, and how much is known of it.

    **Fields:** `log2`: NaN where all diverged; `cliff`: a neighbour diverged; `edge`: at an end of the grid; `stable`:
    the largest stable rate, None where the smallest diverged; `stable_open`: it is an end of the grid, or unknown, so
    that where stability ends lies beyond the rates that were run; `bend`: of log loss there, by octave², None where a
    neighbour is missing.
    """

    log2: float
    cliff: bool
    edge: bool
    stable: float | None
    stable_open: bool
    bend: float | None


def best_rates(axes: Axes, losses: np.ndarray) -> list[Best]:
    """The best rate along every axis, on the lines through the best point."""
    found = []
    for index, rates in enumerate(axes):
        line = _through_best(losses, index)
        valley = optimum(rates, line.mean(axis=0))
        stable = largest_stable(rates, line)
        found.append(
            Best(valley.log2, valley.cliff, valley.edge, stable, stable in (None, rates[0], rates[-1]), valley.bend)
        )
    return found


def best_point(losses: np.ndarray) -> tuple[int, ...]:
    """The index of the least mean loss."""
    mean = losses.mean(axis=0)
    return tuple(int(index) for index in np.unravel_index(np.argmin(mean), mean.shape))


def _through_best(losses: np.ndarray, index: int) -> np.ndarray:
    """The losses (seeds, rates) along one axis, the other rate being the best."""
    through: list[Any] = [slice(None), *best_point(losses)]
    through[1 + index] = slice(None)
    return losses[tuple(through)]


class Valley(NamedTuple):
    """The bottom of a curve of losses: `log2` rate (NaN where all diverged), whether a neighbour diverged (`cliff`: the
    grid point is then the answer), whether it lies at an end of the grid (`edge`), and the second derivative of log
    loss there (`bend`, None where a neighbour is missing)."""

    log2: float
    cliff: bool
    edge: bool
    bend: float | None


def optimum(rates: np.ndarray, losses: np.ndarray) -> Valley:
    """The rate of least loss, by a parabola in log loss through the best point and its two neighbours.

    Losses that are not all positive, as a log-likelihood's, have their parabola in the loss itself, and no bend.

    **Arguments:** `rates`: evenly spaced log2 rates; `losses`: mean over seeds, infinite where any seed diverged.

    >>> x = np.array([-1.0, 0.0, 1.0])
    >>> optimum(x, np.exp((x - 0.25) ** 2))
    Valley(log2=0.25, cliff=False, edge=False, bend=2.0)
    """
    if not np.isfinite(losses).any():
        return Valley(math.nan, False, True, None)
    best = int(np.argmin(losses))
    if best in (0, len(rates) - 1):
        inner = 1 if best == 0 else best - 1
        return Valley(float(rates[best]), len(rates) > 1 and not math.isfinite(losses[inner]), True, None)
    around = losses[best - 1 : best + 2]
    if not np.isfinite(around).all():
        return Valley(float(rates[best]), True, False, None)
    positive = min(around) > 0
    low, middle, high = np.log(around) if positive else around
    bend, step = low - 2 * middle + high, rates[best + 1] - rates[best]
    shift = 0.5 * (low - high) / bend * step if bend > 0 else 0.0
    return Valley(float(rates[best] + shift), False, False, float(bend / step**2) if positive else None)


def largest_stable(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The largest grid rate up to which no seed diverged; None where the smallest already did.

    >>> largest_stable(np.array([-1.0, 0.0, 1.0]), np.array([[0.5, math.inf, 0.5]]))
    -1.0
    """
    stable = np.logical_and.accumulate(np.isfinite(losses).all(axis=0))
    return float(rates[np.flatnonzero(stable)[-1]]) if stable[0] else None


def resampled(axes: Axes, losses: Sequence[np.ndarray]) -> np.ndarray:
    """Best rates (resamples, sizes, axes) with seeds drawn with replacement, the same seeds at every size."""
    seeds = losses[0].shape[0]
    if seeds**seeds <= RESAMPLES:
        draws = list(itertools.product(range(seeds), repeat=seeds))
    else:
        draws = list(map(tuple, np.random.default_rng(0).integers(0, seeds, (RESAMPLES, seeds)).tolist()))

    # Means and divergence know no order: four seeds have 35 different draws, not 200.
    @functools.cache
    def best(draw: tuple[int, ...]) -> list[list[float]]:
        return [[b.log2 for b in best_rates(axes, loss[list(draw)])] for loss in losses]

    return np.array([best(tuple(sorted(draw))) for draw in draws])


def as_good(axes: Axes, losses: Sequence[np.ndarray]) -> np.ndarray:
    """From which rate to which one is as good as the best, as far as the seeds tell: (sizes, axes, 2), log2.

        mean over seeds of d <= 2 σ / √seeds,   d = log loss(rate) − log loss(best)

    σ² is the variance of d over seeds, pooled over the near-best rates of all sizes: at one rate two or three seeds
    agree by chance, and resampling them sees no scatter (a chaotic run's loss is another after one rounding).

    **Arguments:** `axes`; `losses`: of every size.

    **Returns:** NaN with one seed, where all diverged, and where a loss is not positive.
    """
    seeds = losses[0].shape[0]
    found = np.full((len(losses), len(axes), 2), math.nan)
    for index in range(len(axes)) if seeds > 1 else ():
        compared = [_against_best(loss, index) for loss in losses]
        # The best one against itself is 0, and says nothing.
        near = [d[:, (d.mean(axis=0) < math.log(NEAR)) & d.any(axis=0)] for d in compared]
        scatter = [d.var(axis=0, ddof=1) for d in near if d.size]
        limit = 2 * math.sqrt(np.concatenate(scatter).mean() / seeds) if scatter else 0.0
        for size, d in enumerate(compared):
            good = axes[index][d.mean(axis=0) <= limit]
            if good.size:
                found[size, index] = good[0], good[-1]
    return found


def _against_best(losses: np.ndarray, index: int) -> np.ndarray:
    """log loss over the best one's, (seeds, rates), on the line along an axis; infinite where it diverged or is 0."""
    best, line = best_point(losses)[index], _through_best(losses, index)
    known = np.isfinite(line).all(axis=0) & (line > 0).all(axis=0)
    logs = np.where(known, np.log(np.where(known, line, 1.0)), math.inf)
    return logs - logs[:, best, None] if known[best] else np.full(line.shape, math.inf)
