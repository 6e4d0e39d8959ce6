"""One rule's runs over one axis: its grid of rates at every size, and the runs at tuned rates beside it."""

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import numpy as np

from ._cost import Point
from ._metric import Metric
from ._optimum import Best, as_good, best_point, best_rates

RULE = ("algorithm", "parameterization", "optimizer")
OTHER = {"width": "depth", "depth": "width"}
RATES = ("log2_rate", "log2_activity_rate")
# Decimals of a tuned log2 rate: what is printed is what is run.
DECIMALS = 2

Curves = Sequence[dict[str, Any]]


def lines(curves: Curves) -> list[tuple[Curves, str]]:
    """The lines of a grid of sizes: the runs at each fixed other size, along every axis that has several sizes."""
    axes = [axis for axis in OTHER if len({row[axis] for row in curves}) > 1] or ["width"]
    found = [(axis, at) for axis in axes for at in sorted({row[OTHER[axis]] for row in curves})]
    return [([row for row in curves if row[OTHER[axis]] == at], axis) for axis, at in found]


@final
@dataclasses.dataclass(frozen=True)
class Sizes:
    """One rule's runs over one axis.

    **Fields:** `axis`; `sizes`, `seeds`: sorted; `axes`: the grid of log2 rates, and that of activity rates where they
    were swept; `grids`: at every size, losses (seeds, *grid), infinite where a run diverged or is missing; `runs`: at
    every size, the losses (seeds,) of every rate that was run, tuned ones too, NaN where a seed is missing; `first`:
    (seeds,), before training.
    """

    axis: str
    sizes: list[int]
    seeds: list[int]
    axes: list[np.ndarray]
    grids: list[np.ndarray]
    runs: list[dict[Point, np.ndarray]]
    first: list[np.ndarray]

    @classmethod
    def of(cls, rows: Curves, axis: str, metric: Metric) -> "Sizes":
        """The runs of one rule, of which those with `tuned` set are beside the grid."""
        grid = [row for row in rows if not row.get("tuned")] or list(rows)
        swept = [[row[name] for row in grid if row.get(name) is not None] for name in RATES]
        axes = [np.array(sorted(set(values))) for values in swept if values]
        sizes, seeds = (sorted({row[name] for row in rows}) for name in (axis, "seed"))
        runs: list[dict[Point, np.ndarray]] = []
        first = []
        for size in sizes:
            own = [row for row in rows if row[axis] == size]
            runs.append(_by_rate(own, seeds, len(axes), metric))
            known = {row["seed"]: metric.first(row) for row in own}
            first.append(np.array([known.get(seed, math.nan) for seed in seeds]))
        grids = [_on_grid(losses, axes, len(seeds)) for losses in runs]
        return cls(axis, sizes, seeds, axes, grids, runs, first)

    def point_of(self, row: dict[str, Any]) -> Point:
        """The rates of a run."""
        return _point(row, len(self.axes))

    @cached_property
    def best(self) -> list[list[Best]]:
        """The best rates at every size, one an axis of the grid."""
        return [best_rates(self.axes, grid) for grid in self.grids]

    @cached_property
    def points(self) -> list[Point | None]:
        """The best grid point at every size, None where all diverged."""
        return [
            tuple(float(rates[index]) for rates, index in zip(self.axes, best_point(grid), strict=True))
            if np.isfinite(grid.mean(axis=0)).any()
            else None
            for grid in self.grids
        ]

    @cached_property
    def as_good(self) -> np.ndarray:
        """From which rate to which one is as good as the best at every size, (sizes, axes, 2)."""
        return as_good(self.axes, self.grids)

    def tuned(self, index: int) -> Point | None:
        """The rates that tuning at a size gives: its optimum, to two decimals; None where all diverged.

        An optimum that is a grid rate, to that precision, is that rate, which was run.
        """
        if self.points[index] is None:
            return None
        pairs = zip(self.axes, self.best[index], strict=True)
        return tuple(_as_run(rates, one.log2) for rates, one in pairs)

    def missing(self, index: int) -> list[int]:
        """The indices of the larger sizes at which the rate tuned at a size was not run."""
        rate = self.tuned(index)
        return [at for at in range(index + 1, len(self.sizes)) if rate is not None and rate not in self.runs[at]]


def _as_run(rates: np.ndarray, optimum: float) -> float:
    nearest = float(rates[np.argmin(np.abs(rates - optimum))])
    return nearest if abs(nearest - optimum) < 0.5 * 10**-DECIMALS else round(optimum, DECIMALS) + 0.0


def _by_rate(rows: Curves, seeds: list[int], rates: int, metric: Metric) -> dict[Point, np.ndarray]:
    """Losses (seeds,) by rate, infinite where a run or its inference diverged, NaN where it is missing."""
    found: dict[Point, np.ndarray] = {}
    for row in rows:
        losses = found.setdefault(_point(row, rates), np.full(len(seeds), math.nan))
        lost = row["diverged"] or (rates > 1 and _left_equilibrium(row))
        losses[seeds.index(row["seed"])] = math.inf if lost else metric.of(row)
    return found


def _on_grid(losses: dict[Point, np.ndarray], axes: list[np.ndarray], seeds: int) -> np.ndarray:
    """The losses (seeds, *grid) of the points of a grid."""
    grid = np.full((seeds, *map(len, axes)), math.inf)
    for point, own in losses.items():
        at = [np.flatnonzero(rates == one) for rates, one in zip(axes, point, strict=True)]
        if all(found.size for found in at):
            where: tuple[Any, ...] = (slice(None), *(found[0] for found in at))
            grid[where] = np.where(np.isnan(own), math.inf, own)
    return grid


def _point(row: dict[str, Any], rates: int) -> Point:
    return tuple(float(row[name]) for name in RATES[:rates])


def _left_equilibrium(row: dict[str, Any]) -> bool:
    """Whether inference ended farther from equilibrium than the forward pass: its rate is beyond stability.

    Its activities stay finite for as many iterations as are made, and the loss says nothing of them.
    """
    residual = row.get("residual_median")
    return residual is not None and bool(residual > 1)
