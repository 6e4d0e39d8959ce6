"""Where the best rate lies at every size, and what the one tuned at the smallest costs at the larger ones."""

import math
from typing import Any

import numpy as np

from ._cost import Cost, Point, beyond
from ._metric import Metric, metric_of
from ._optimum import Best, resampled
from ._sizes import OTHER, RULE, Curves, Sizes, lines
from ._verdict import Decision, decision, holds_from

# What a summary says of the weight rate, and what of the activity rate, in the order of `_along`.
WEIGHT = (
    "optimum_log2",
    "optimum_se",
    "at_cliff",
    "at_edge",
    "largest_stable_log2",
    "stable_open",
    "drift_octaves_per_doubling",
    "drift_se",
    "stable_drift",
    "as_good_from_log2",
    "as_good_to_log2",
)
ACTIVITY = (
    "optimum_activity_log2",
    "optimum_activity_se",
    "activity_at_cliff",
    "activity_at_edge",
    "largest_stable_activity_log2",
    "activity_stable_open",
    "activity_drift_octaves_per_doubling",
    "activity_drift_se",
    "activity_stable_drift",
    "as_good_activity_from_log2",
    "as_good_activity_to_log2",
)
# Times the largest size at which the cost is extrapolated.
BEYOND = (8, 64)


def summarize(curves: Curves, axis: str, select: str = "final_loss") -> list[dict[str, Any]]:
    """One summary for each (algorithm, parameterization, optimizer); on a grid of sizes, one for each of its lines.

    **Arguments:** `curves`: rows of runs (see `run_group`); those with `tuned` set are runs at a rate that was tuned
    at a smaller size, beside the grid; `axis`: what the sizes are, `"width"`, `"depth"`, or `"grid"`: the widths at
    every depth, then the depths at every width; `select`: what is best, `"final_loss"`, `"test_loss"` or
    `"test_accuracy"`.

    **Returns:** the rules: `axis`, `at` (the other size, as `{"depth": 16}`; None where it varies too), sizes;
    one entry a size: `optimum_log2`, `optimum_se`, `at_cliff` (a neighbour diverged), `at_edge` (the optimum is an end
    of the grid), `largest_stable_log2`, `stable_open` (where stability ends lies beyond the grid), `as_good_from_log2`,
    `as_good_to_log2` (rates that do as well as the best as far as the seeds tell) and measurements at the optimum;
    `drift_octaves_per_doubling`, `drift_se` (of the optimum), `stable_drift`.
    What the rate that was tuned at the smallest size costs: `tuned_log2`, and one entry a size (None at the
    smallest) `cost`, `cost_se`, `cost_diverged` (seeds), `cost_of` (`"loss"`, or `"fall"` for losses that are not
    positive); `extrapolated`: to 8 and 64 times the largest size; `verdict`: `"transfers"`, `"does not transfer"`,
    `"not decided"` or `"nothing to compare"`, `why`, `seeds_to_decide`, `transfers_from`: the smallest size whose
    tuned rate holds at all larger ones; `transfers`, `decided` and `regret`: the same in short.
    Where activity rates were swept, the best point is that of both rates, a run whose median residual is above 1 counts
    as diverged, and `optimum_activity_log2`, `optimum_activity_se`, ... say the same of the activity rate (`ACTIVITY`).

    **Raises:** `InputError` for another `select`, and where a run did not record it.
    """
    metric = metric_of(select)
    if axis == "grid":
        return [found for rows, one in lines(curves) for found in summarize(rows, one, select)]
    rules = dict.fromkeys(tuple(row[name] for name in RULE) for row in curves)
    summaries = []
    for rule in rules:
        rows = [row for row in curves if tuple(row[name] for name in RULE) == rule]
        others = {row[OTHER[axis]] for row in rows}
        at = {OTHER[axis]: others.pop()} if len(others) == 1 else None
        summaries.append(dict(zip(RULE, rule, strict=True)) | {"axis": axis, "at": at} | _summary(rows, axis, metric))
    return summaries


def resummarized(payload: dict[str, Any]) -> dict[str, Any]:
    """A sweep's payload whose summary says what this version says: of one that an earlier version wrote, from its runs.

    Earlier versions told costs of rates that nobody ran; of their runs the best grid rate of the smallest size was run
    at every other size, and its cost is measured.
    """
    rows = payload.get("curves") or []
    if all("verdict" in row for row in payload.get("summary") or []) or not all(map(_complete, rows)):
        return payload
    axes = {str(row.get("axis")) for row in payload["summary"]}
    several = len({(*(row.get(name) for name in RULE), row.get("axis")) for row in payload["summary"]})
    axis = "grid" if len(axes) > 1 or several < len(payload["summary"]) else axes.pop()
    return payload | {"summary": summarize(rows, axis)} if rows and axis in (*OTHER, "grid") else payload


def _complete(row: dict[str, Any]) -> bool:
    """Whether a run has what a summary needs."""
    return {*RULE, *OTHER, "log2_rate", "seed", "final_loss", "diverged"} <= row.keys()


def _summary(rows: Curves, axis: str, metric: Metric) -> dict[str, Any]:
    line = Sizes.of(rows, axis, metric)
    best = line.best
    samples = resampled(line.axes, line.grids) if len(line.seeds) > 1 else None
    good = line.as_good
    found: dict[str, Any] = {"sizes": line.sizes, "select": metric.name}
    for index, names in enumerate((WEIGHT, ACTIVITY)[: len(line.axes)]):
        sample = None if samples is None else samples[:, :, index]
        values = _along(line.sizes, [one[index] for one in best], sample) + _ends(good[:, index])
        found |= zip(names, values, strict=True)
    made = decision(line, 0)
    return (
        found
        | {
            "best_loss": [metric.shown(float(np.min(grid.mean(axis=0)))) for grid in line.grids],
            "residual_at_optimum": _at(rows, line, "residual_median"),
            "settled_at_optimum": _at(rows, line, "settled"),
            "curvature_at_optimum": _at(rows, line, "curvature"),
            "cosine_to_backprop_at_optimum": _at(rows, line, "cosine_to_backprop"),
            "test_loss_at_optimum": _at(rows, line, "test_loss"),
            "test_accuracy_at_optimum": _at(rows, line, "test_accuracy"),
        }
        | _verdict(line, made, found["drift_octaves_per_doubling"])
    )


def _verdict(line: Sizes, made: Decision, drift: float | None) -> dict[str, Any]:
    """What a summary says of the tuned rate."""
    activity = {} if len(line.axes) < 2 else {"tuned_activity_log2": None if made.rate is None else made.rate[1]}
    costs: list[Cost | None] = [None] * (len(line.sizes) - len(made.costs)) + list(made.costs)
    largest = costs[-1]
    return activity | {
        "tuned_log2": None if made.rate is None else made.rate[0],
        "tuned_on_grid": made.on_grid,
        "cost": [None if one is None or not one.measured else one.value for one in costs],
        "cost_se": [None if one is None else one.error for one in costs],
        "cost_diverged": [None if one is None else one.diverged for one in costs],
        "cost_of": "fall" if any(one is not None and one.share_of_fall for one in costs) else "loss",
        "extrapolated": _extrapolated(line, made.rate, drift),
        "verdict": made.verdict,
        "why": list(made.why),
        "seeds": len(line.seeds),
        "seeds_to_decide": made.seeds_to_decide,
        "transfers_from": holds_from(line),
        "transfers": made.verdict == "transfers",
        "decided": made.verdict in ("transfers", "does not transfer"),
        "regret": None if largest is None or not largest.measured else max(0.0, largest.value),
    }


def _extrapolated(line: Sizes, rate: Point | None, drift: float | None) -> list[dict[str, Any]]:
    """The cost at 8 and 64 times the largest size, by the drift and the largest size's valley."""
    last = line.best[-1][0]
    if rate is None or drift is None or not math.isfinite(last.log2) or len(line.sizes) < 2:
        return []
    return [beyond(line.sizes, times, last.log2, drift, rate[0], last.bend) for times in BEYOND]


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
        [one.stable_open for one in best],
        _drift(octaves, optima),
        None if samples is None else _deviation(np.array([_drift(octaves, sample) for sample in samples], float)),
        _drift(octaves, np.array([math.nan if rate is None else rate for rate in stable])),
    )


def _ends(good: np.ndarray) -> tuple[list[float | None], list[float | None]]:
    """From where to where rates are as good as the best, None where it is not known."""
    low, high = ([float(end) if np.isfinite(end) else None for end in ends] for ends in good.T)
    return low, high


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


def _at(rows: Curves, line: Sizes, name: str) -> list[float | None]:
    """The median over seeds of a measurement at each size's best grid point."""
    found: list[float | None] = []
    for size, point in zip(line.sizes, line.points, strict=True):
        values = [row.get(name) for row in rows if row[line.axis] == size and line.point_of(row) == point]
        known = [value for value in values if value is not None]
        found.append(float(np.median(known)) if known else None)
    return found
