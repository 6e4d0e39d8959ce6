"""Where the best rate lies at every size, and whether it moved."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._optimum import Best, as_good, best_point, best_rates, regret, resampled

LARGEST_SHIFT = 1.0
LARGEST_REGRET = 0.05

OTHER = {"width": "depth", "depth": "width"}

Curves = Sequence[dict[str, Any]]
# What a summary says of the weight rate, and what of the activity rate, in the order of `_along`.
WEIGHT = (
    "optimum_log2",
    "optimum_se",
    "at_cliff",
    "at_edge",
    "largest_stable_log2",
    "drift_octaves_per_doubling",
    "drift_se",
    "stable_drift",
    "as_good_from_log2",
    "as_good_to_log2",
    "few_seeds",
)
ACTIVITY = (
    "optimum_activity_log2",
    "optimum_activity_se",
    "activity_at_cliff",
    "activity_at_edge",
    "largest_stable_activity_log2",
    "activity_drift_octaves_per_doubling",
    "activity_drift_se",
    "activity_stable_drift",
    "as_good_activity_from_log2",
    "as_good_activity_to_log2",
    "activity_few_seeds",
)


def summarize(curves: Curves, axis: str) -> list[dict[str, Any]]:
    """One summary for each (algorithm, parameterization, optimizer); on a grid of sizes, one for each of its lines.

    **Arguments:** `curves`: rows of runs (see `run_group`); `axis`: what the sizes are, `"width"`, `"depth"`, or
    `"grid"`: the widths at every depth, then the depths at every width.

    **Returns:** the rules: `axis`, `at` (the other size, as `{"depth": 16}`; None where it varies too), sizes,
    `optimum_log2`, `optimum_se`, `at_cliff`, `at_edge`, `largest_stable_log2` and measurements at the optimum, one
    entry a size; `drift_octaves_per_doubling`, `drift_se` (of the optimum), `stable_drift`, `regret`, `transfers`,
    `as_good_from_log2`, `as_good_to_log2`: the rates that do as well as the best as far as the seeds tell;
    `few_seeds`: where one of them is more than an octave away, and no neighbour; `decided`: False where nothing but an
    edge of the rates that were run speaks against transfer, and where the seeds are too few to tell.
    Where activity rates were swept, the best point is that of both rates, a run whose median residual is above 1 counts
    as diverged, and `optimum_activity_log2`, `optimum_activity_se`, ... say the same of the activity rate (`ACTIVITY`).
    """
    if axis == "grid":
        return [found for rows, one in _lines(curves) for found in summarize(rows, one)]
    names = ("algorithm", "parameterization", "optimizer")
    rules = dict.fromkeys(tuple(row[name] for name in names) for row in curves)
    summaries = []
    for rule in rules:
        rows = [row for row in curves if tuple(row[name] for name in names) == rule]
        others = {row[OTHER[axis]] for row in rows}
        at = {OTHER[axis]: others.pop()} if len(others) == 1 else None
        summaries.append(dict(zip(names, rule, strict=True)) | {"axis": axis, "at": at} | _summary(rows, axis))
    return summaries


def _lines(curves: Curves) -> list[tuple[Curves, str]]:
    """The lines of a grid of sizes: the runs at each fixed other size, along every axis that has several sizes."""
    axes = [axis for axis in OTHER if len({row[axis] for row in curves}) > 1] or ["width"]
    lines = [(axis, at) for axis in axes for at in sorted({row[OTHER[axis]] for row in curves})]
    return [([row for row in curves if row[OTHER[axis]] == at], axis) for axis, at in lines]


def _summary(rows: Curves, axis: str) -> dict[str, Any]:
    sizes = sorted({row[axis] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    axes = _axes(rows)
    losses = [_losses([row for row in rows if row[axis] == size], axes, seeds) for size in sizes]
    best = [best_rates(axes, loss) for loss in losses]
    samples = resampled(axes, losses) if len(seeds) > 1 else None
    good = as_good(axes, losses)
    points = [_point(axes, loss) for loss in losses]
    found: dict[str, Any] = {"sizes": sizes}
    for index, names in enumerate((WEIGHT, ACTIVITY)[: len(axes)]):
        sample = None if samples is None else samples[:, :, index]
        values = _along(sizes, [one[index] for one in best], sample) + _known(
            axes[index], points, index, good[:, index]
        )
        found |= zip(names, values, strict=True)
    optima = np.array([[one.log2 for one in size] for size in best])
    cost = regret(axes, losses[-1].mean(axis=0), optima[0])
    holds = bool((np.ptp(optima, axis=0) <= LARGEST_SHIFT).all()) and cost <= LARGEST_REGRET
    open_ended = any(one.edge for size in best for one in size)
    # Of the rates that are as good, those of all sizes may lie within an octave.
    agree = bool((good[:, :, 0].max(axis=0) - good[:, :, 1].min(axis=0) <= LARGEST_SHIFT).all())
    unsure = agree and (any(found["few_seeds"]) or any(found.get("activity_few_seeds", ())))
    return found | {
        "best_loss": [float(np.min(loss.mean(axis=0))) for loss in losses],
        "residual_at_optimum": _at(rows, axis, sizes, points, "residual_median"),
        "settled_at_optimum": _at(rows, axis, sizes, points, "settled"),
        "curvature_at_optimum": _at(rows, axis, sizes, points, "curvature"),
        "cosine_to_backprop_at_optimum": _at(rows, axis, sizes, points, "cosine_to_backprop"),
        "regret": cost,
        "transfers": holds and not open_ended,
        "decided": not open_ended if holds else not unsure,
    }


def _along(sizes: list[int], best: list[Best], samples: np.ndarray | None) -> tuple[Any, ...]:
    """The values of `WEIGHT` or `ACTIVITY`: of one rate's best values, and of their resamples (resamples, sizes)."""
    octaves = np.log2(sizes)
    optima = np.array([one.log2 for one in best], float)
    stable = [one.stable for one in best]
    return (
        optima.tolist(),
        [None] * len(sizes) if samples is None else [_deviation(column) for column in samples.T],
        [one.cliff for one in best],
        [one.edge for one in best],
        stable,
        _drift(octaves, optima),
        None if samples is None else _deviation(np.array([_drift(octaves, sample) for sample in samples], float)),
        _drift(octaves, np.array([math.nan if rate is None else rate for rate in stable])),
    )


def _known(
    rates: np.ndarray, points: list[tuple[float, ...] | None], index: int, good: np.ndarray
) -> tuple[list[float | None], list[float | None], list[bool]]:
    """From where to where rates are as good as the best, and whether that is farther than transfer allows."""
    step = rates[1] - rates[0] if len(rates) > 1 else 0.0
    far = [
        point is not None and bool(np.abs(ends - point[index]).max() > max(step, LARGEST_SHIFT))
        for point, ends in zip(points, good, strict=True)
    ]
    low, high = ([float(end) if np.isfinite(end) else None for end in ends] for ends in good.T)
    return low, high, far


def _axes(rows: Curves) -> list[np.ndarray]:
    """The grid of log2 rates, and that of activity rates where they were swept."""
    activity = {row.get("log2_activity_rate") for row in rows} - {None}
    return [np.array(sorted(values)) for values in ({row["log2_rate"] for row in rows}, activity) if values]


def _coordinates(row: dict[str, Any], axes: list[np.ndarray]) -> tuple[float, ...]:
    """Where on the grid a run stands."""
    return tuple(row[name] for name in ("log2_rate", "log2_activity_rate")[: len(axes)])


def _losses(rows: Curves, axes: list[np.ndarray], seeds: list[int]) -> np.ndarray:
    """Final losses (seeds, *grid) of one size, infinite where a run or its inference diverged or is missing."""
    losses = np.full((len(seeds), *map(len, axes)), math.inf)
    for row in rows:
        if not (row["diverged"] or (len(axes) > 1 and _left_equilibrium(row))):
            point = [int(np.searchsorted(rates, at)) for rates, at in zip(axes, _coordinates(row, axes), strict=True)]
            losses[(seeds.index(row["seed"]), *point)] = row["final_loss"]
    return losses


def _left_equilibrium(row: dict[str, Any]) -> bool:
    """Whether inference ended farther from equilibrium than the forward pass: its rate is beyond stability.

    Its activities stay finite for as many iterations as are made, and the loss says nothing of them.
    """
    residual = row.get("residual_median")
    return residual is not None and bool(residual > 1)


def _deviation(samples: np.ndarray) -> float | None:
    """The standard deviation of the resamples in which there was an optimum."""
    known = samples[np.isfinite(samples)]
    return float(np.std(known)) if known.size else None


def _drift(octaves: np.ndarray, optima: np.ndarray) -> float | None:
    """Octaves per doubling of the size, by least squares over the sizes where there is an optimum."""
    known = np.isfinite(optima)
    if known.sum() < 2:
        return None
    x = octaves[known] - octaves[known].mean()
    return float(x @ optima[known] / (x @ x))


def _point(axes: list[np.ndarray], losses: np.ndarray) -> tuple[float, ...] | None:
    """The best grid point's rates, None where all diverged."""
    if not np.isfinite(losses.mean(axis=0)).any():
        return None
    return tuple(float(rates[index]) for rates, index in zip(axes, best_point(losses), strict=True))


def _at(
    rows: Curves, axis: str, sizes: list[int], points: list[tuple[float, ...] | None], name: str
) -> list[float | None]:
    """The median over seeds of a measurement at each size's best rates."""
    axes = _axes(rows)
    found: list[float | None] = []
    for size, point in zip(sizes, points, strict=True):
        values = [row.get(name) for row in rows if row[axis] == size and _coordinates(row, axes) == point]
        known = [value for value in values if value is not None]
        found.append(float(np.median(known)) if known else None)
    return found
