"""What a rate costs at a size, against the best of all rates that were run there: measured, with its error.

    cost = max over rates r of  exp(mean over seeds of d_r) − 1        d_r = log loss(rate) − log loss(r), seed by seed

The rate that gives the maximum is the best of the others. The error is that of d over seeds, σ / √seeds, its variance
pooled over the rates that do nearly as well: of two or three seeds at one rate some agree by chance. Where a loss is
not positive, as a log-likelihood may be, d is the difference as a share of the fall from the first loss.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# Of the best loss a tuned rate may cost so much: it transfers.
LARGEST_COST = 0.05
# Losses within this factor of the best one's tell how much a comparison with it scatters: rates nearer to divergence
# scatter far more.
NEAR = 1.1
MOST_SEEDS = 1000

Point = tuple[float, ...]


class Cost(NamedTuple):
    """What a rate costs at one size.

    **Fields:** `value`: infinite where a seed diverged at it, NaN where it is not known: not run with every seed, or no
    loss is positive and none fell; `error`: standard error, None
    for one seed; `diverged`: in how many seeds it did; `best`: the other rate it is compared with, None where none is;
    `share_of_fall`: the cost is a share of the fall of the loss, for losses that are not positive.
    """

    value: float
    error: float | None
    diverged: int = 0
    best: Point | None = None
    share_of_fall: bool = False

    @property
    def measured(self) -> bool:
        """Whether the cost is known."""
        return not math.isnan(self.value)

    @property
    def holds(self) -> bool | None:
        """Whether it is at most 5 %: cost + 2 se <= 5 %; False where cost − 2 se > 5 %; None where neither is known.

        >>> [Cost(0.01, 0.01).holds, Cost(0.1, 0.01).holds, Cost(0.05, 0.01).holds, Cost(0.01, None).holds]
        [True, False, None, None]
        """
        if math.isnan(self.value) or self.error is None:
            return None
        if self.value + 2 * self.error <= LARGEST_COST:
            return True
        return False if self.value - 2 * self.error > LARGEST_COST else None

    def seeds_to_decide(self, seeds: int) -> int | None:
        """How many seeds would decide, if cost and scatter stayed: 2 σ / √n <= |5 % − cost|; None: more than 1000.

        >>> Cost(0.03, 0.02).seeds_to_decide(2)
        8
        """
        if self.error is None:
            return 2
        distance = abs(LARGEST_COST - self.value)
        wanted = math.inf if distance == 0 else (2 * self.error / distance) ** 2 * seeds
        return max(seeds, math.ceil(wanted - 1e-9)) if wanted <= MOST_SEEDS else None


def cost_of(rate: Point, losses: Mapping[Point, np.ndarray], first: np.ndarray | None = None) -> Cost:
    """What a rate costs at one size.

    **Arguments:** `rate`: one log2 rate, or that of the activities beside it; `losses`: by rate, (seeds,),
    infinite where one diverged, NaN where it is missing; `first`: the losses before training, for losses that are not
    positive.

    >>> two = {(-1.0,): np.array([1.0, 2.0]), (0.0,): np.array([1.1, 2.2])}
    >>> found = cost_of((0.0,), two)
    >>> round(found.value, 9), round(found.error, 9), found.best
    (0.1, 0.0, (-1.0,))
    """
    own = losses.get(rate)
    if own is None or np.isnan(own).any():
        return Cost(math.nan, None)
    lost = int(np.isinf(own).sum())
    others = {point: row for point, row in losses.items() if point != rate and np.isfinite(row).all()}
    if lost:
        return Cost(math.inf, 0.0 if len(own) > 1 else None, lost)
    if not others:
        return Cost(0.0, 0.0 if len(own) > 1 else None)
    rows = np.stack(list(others.values()))
    fall = not (rows > 0).all() or not (own > 0).all()
    differences = _shares(own, rows, first) if fall else np.log(own) - np.log(rows)
    if not np.isfinite(differences).all():
        return Cost(math.nan, None, share_of_fall=True)
    means = differences.mean(axis=1)
    best = int(np.argmax(means))
    value = float(means[best]) if fall else math.expm1(float(means[best]))
    return Cost(value, _error(differences, value, fall), 0, list(others)[best], fall)


def _shares(own: np.ndarray, rows: np.ndarray, first: np.ndarray | None) -> np.ndarray:
    """Differences of losses as shares of the largest fall; NaN where nothing fell, or where it is not known."""
    fall = math.nan if first is None else float(np.mean(first) - min(own.mean(), rows.mean(axis=1).min()))
    return (own - rows) / (fall if fall > 0 else math.nan)


def _error(differences: np.ndarray, value: float, fall: bool) -> float | None:
    """The standard error of the cost: pooled over the rates that do nearly as well as the best."""
    seeds = differences.shape[1]
    if seeds < 2:
        return None
    means = differences.mean(axis=1)
    near = differences[means.max() - means < math.log(NEAR)]
    return float(math.sqrt(near.var(axis=1, ddof=1).mean() / seeds) * (1.0 if fall else 1 + value))


def beyond(
    sizes: list[int], times: int, optimum: float, drift: float, rate: float, bend: float | None
) -> dict[str, Any]:
    """The cost at a larger size that was not run: the largest size's valley, moved as the optimum drifted.

        log2 optimum(k N) = optimum(N) + drift log2 k        cost = exp(bend/2 (rate − log2 optimum)²) − 1

    **Arguments:** `sizes`; `times`: k; `optimum`: at the largest size N; `drift`: octaves per doubling; `rate`: the
    tuned one; `bend`: the second derivative of log loss there, None where it is not known.
    """
    away = rate - (optimum + drift * math.log2(times))
    known = bend is not None and math.isfinite(away)
    cost = math.expm1(min(bend / 2 * away**2, 700.0)) if known and bend is not None else None
    return {"size": sizes[-1] * times, "octaves": away if math.isfinite(away) else None, "cost": cost}
