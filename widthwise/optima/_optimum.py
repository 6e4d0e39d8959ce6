"""The best point of a grid of rates: where it lies, where stability ends, what another size's best would cost.

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

    **Fields:** `log2`: NaN where all diverged; `cliff`: a neighbour diverged; `edge`: at an end of the grid, or where
    stability ends lies beyond it; `stable`: the largest stable rate, None where the smallest diverged.
    """

    log2: float
    cliff: bool
    edge: bool
    stable: float | None


def best_rates(axes: Axes, losses: np.ndarray) -> list[Best]:
    """The best rate along every axis, on the lines through the best point."""
    found = []
    for index, rates in enumerate(axes):
        line = _through_best(losses, index)
        log2, cliff, edge = optimum(rates, line.mean(axis=0))
        stable = largest_stable(rates, line)
        found.append(Best(log2, cliff, edge or stable in (None, rates[0], rates[-1]), stable))
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


def optimum(rates: np.ndarray, losses: np.ndarray) -> tuple[float, bool, bool]:
    """The rate of least loss, by a parabola in log loss through the best point and its two neighbours.

    **Arguments:** `rates`: evenly spaced log2 rates; `losses`: mean over seeds, infinite where any seed diverged.

    **Returns:** log2 rate (NaN where all diverged), whether a neighbour diverged (the grid point is then the answer),
    whether the best point lies at an end of the grid.

    >>> x = np.array([-1.0, 0.0, 1.0])
    >>> optimum(x, np.exp((x - 0.25) ** 2))
    (0.25, False, False)
    """
    if not np.isfinite(losses).any():
        return math.nan, False, True
    best = int(np.argmin(losses))
    if best in (0, len(rates) - 1):
        inner = 1 if best == 0 else best - 1
        return float(rates[best]), len(rates) > 1 and not math.isfinite(losses[inner]), True
    low, middle, high = losses[best - 1 : best + 2]
    if not (math.isfinite(low) and math.isfinite(high)):
        return float(rates[best]), True, False
    if min(low, middle, high) <= 0:
        return float(rates[best]), False, False
    low, middle, high = np.log([low, middle, high])
    bend = low - 2 * middle + high
    step = rates[best + 1] - rates[best]
    shift = 0.5 * (low - high) / bend * step if bend > 0 else 0.0
    return float(rates[best] + shift), False, False


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

    **Arguments:** `axes`; `losses`: of every size. **Returns:** NaN with one seed, and where all diverged.
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


def regret(axes: Axes, losses: np.ndarray, rates: np.ndarray) -> float:
    """Relative excess loss at rates between grid points, log loss interpolated; infinite where one diverged.

    **Arguments:** `axes`; `losses`: of the grid, means over seeds; `rates`: log2, one an axis.
    """
    if not (np.isfinite(losses).any() and np.isfinite(rates).all()):
        return math.inf
    corners = list(itertools.product(*map(_neighbours, axes, rates)))
    ends = np.array([losses[tuple(index for index, _ in corner)] for corner in corners])
    if not np.isfinite(ends).all():
        return math.inf
    weights = np.array([math.prod(weight for _, weight in corner) for corner in corners])
    best = float(np.min(losses))
    if best <= 0:
        return 0.0 if min(ends) <= 0 else math.inf
    return max(0.0, math.exp(float(np.dot(weights, np.log(ends)))) / best - 1)


def _neighbours(rates: np.ndarray, rate: float) -> list[tuple[int, float]]:
    """The grid points beside a rate, each with its weight; those without weight left out."""
    if len(rates) == 1:
        return [(0, 1.0)]
    above = int(np.clip(np.searchsorted(rates, rate), 1, len(rates) - 1))
    weight = (rate - rates[above - 1]) / (rates[above] - rates[above - 1])
    return [(index, share) for index, share in ((above - 1, 1 - weight), (above, weight)) if share > 0]
