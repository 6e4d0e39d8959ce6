"""Where the best rate lies at every size, and whether it moved."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 200
LARGEST_SHIFT = 1.0
LARGEST_REGRET = 0.05

Curves = Sequence[dict[str, Any]]


def summarize(curves: Curves, axis: str) -> list[dict[str, Any]]:
    """One summary for each (algorithm, parameterization, optimizer).

    **Arguments:** `curves`: rows of runs (see `run_group`); `axis`: `"width"` or `"depth"`, what the sizes are.

    **Returns:** the rules: sizes, `optimum_log2`, `optimum_se`, `at_cliff`, `at_edge`, `largest_stable_log2` and
    measurements at the optimum, one entry a size; `drift_octaves_per_doubling`, `drift_se` (of the optimum),
    `stable_drift`, `regret`, `transfers`.
    """
    names = ("algorithm", "parameterization", "optimizer")
    rules = dict.fromkeys(tuple(row[name] for name in names) for row in curves)
    summaries = []
    for rule in rules:
        rows = [row for row in curves if tuple(row[name] for name in names) == rule]
        summaries.append(dict(zip(names, rule, strict=True)) | {"axis": axis} | _summary(rows, axis))
    return summaries


def _summary(rows: Curves, axis: str) -> dict[str, Any]:
    sizes = sorted({row[axis] for row in rows})
    rates = np.array(sorted({row["log2_rate"] for row in rows}))
    seeds = sorted({row["seed"] for row in rows})
    losses = np.stack([_losses(rows, axis, size, rates, seeds) for size in sizes])
    found = [optimum(rates, loss.mean(axis=0)) for loss in losses]
    stable = [largest_stable(rates, loss) for loss in losses]
    resampled = _resampled(rates, losses)
    octaves = np.log2(sizes)
    optima = np.array([rate for rate, _, _ in found], float)
    drift = _drift(octaves, optima)
    drifts = np.array([_drift(octaves, sample) for sample in resampled], float)
    ends = (None, rates[0], rates[-1])
    edges = [edge or last in ends for (_, _, edge), last in zip(found, stable, strict=True)]
    regret = _regret(rates, losses[-1].mean(axis=0), optima[0])
    best = [_best(rates, loss) for loss in losses]
    shift = float(np.max(optima) - np.min(optima))
    return {
        "sizes": sizes,
        "optimum_log2": optima.tolist(),
        "optimum_se": [_deviation(column) if len(seeds) > 1 else None for column in resampled.T],
        "at_cliff": [cliff for _, cliff, _ in found],
        "at_edge": edges,
        "largest_stable_log2": stable,
        "best_loss": [float(np.min(loss.mean(axis=0))) for loss in losses],
        "residual_at_optimum": _at(rows, axis, sizes, best, "residual_median"),
        "curvature_at_optimum": _at(rows, axis, sizes, best, "curvature"),
        "cosine_to_backprop_at_optimum": _at(rows, axis, sizes, best, "cosine_to_backprop"),
        "drift_octaves_per_doubling": drift,
        "drift_se": _deviation(drifts) if len(seeds) > 1 else None,
        "stable_drift": _drift(octaves, np.array([math.nan if s is None else s for s in stable])),
        "regret": regret,
        "transfers": bool(shift <= LARGEST_SHIFT and regret <= LARGEST_REGRET and not any(edges)),
    }


def _losses(rows: Curves, axis: str, size: int, rates: np.ndarray, seeds: list[int]) -> np.ndarray:
    """Final losses (seeds, rates), infinite where a run diverged or is missing."""
    losses = np.full((len(seeds), len(rates)), math.inf)
    for row in rows:
        if row[axis] == size and not row["diverged"]:
            losses[seeds.index(row["seed"]), np.searchsorted(rates, row["log2_rate"])] = row["final_loss"]
    return losses


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


def _resampled(rates: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Optima (resamples, sizes) with seeds drawn with replacement, the same seeds at every size."""
    seeds = losses.shape[1]
    if seeds**seeds <= RESAMPLES:
        draws = list(itertools.product(range(seeds), repeat=seeds))
    else:
        draws = list(map(tuple, np.random.default_rng(0).integers(0, seeds, (RESAMPLES, seeds))))
    return np.array([[optimum(rates, loss[list(draw)].mean(axis=0))[0] for loss in losses] for draw in draws])


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


def _regret(rates: np.ndarray, losses: np.ndarray, rate: float) -> float:
    """Relative excess loss at a rate between grid points, log loss interpolated; infinite where one diverged."""
    if not (np.isfinite(losses).any() and math.isfinite(rate)):
        return math.inf
    above = int(np.clip(np.searchsorted(rates, rate), 1, len(rates) - 1)) if len(rates) > 1 else 0
    below = max(above - 1, 0)
    weight = (rate - rates[below]) / (rates[above] - rates[below]) if above else 0.0
    ends = [losses[i] for i, w in ((below, 1 - weight), (above, weight)) if w > 0]
    if not np.isfinite(ends).all():
        return math.inf
    weights = [w for w in (1 - weight, weight) if w > 0]
    best = float(np.min(losses))
    if best <= 0:
        return 0.0 if min(ends) <= 0 else math.inf
    return max(0.0, math.exp(float(np.dot(weights, np.log(ends)))) / best - 1)


def _best(rates: np.ndarray, losses: np.ndarray) -> float | None:
    mean = losses.mean(axis=0)
    return float(rates[np.argmin(mean)]) if np.isfinite(mean).any() else None


def _at(rows: Curves, axis: str, sizes: list[int], best: list[float | None], name: str) -> list[float | None]:
    """The median over seeds of a measurement at each size's best rate."""
    found: list[float | None] = []
    for size, rate in zip(sizes, best, strict=True):
        values = [row.get(name) for row in rows if row[axis] == size and row["log2_rate"] == rate]
        known = [value for value in values if value is not None]
        found.append(float(np.median(known)) if known else None)
    return found
