"""In which order rates are tried: generators that are told the losses of the points they asked for.

A point is (log2 rate,) or (log2 rate, log2 activity rate). A search yields the points to try next and is sent their
mean losses, infinite where a seed diverged. It asks the same again when it is told the same, so that a search that was
stopped is resumed by telling it what is stored.
"""

import itertools
import math
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from .._errors import InputError, unknown
from ..optima import optimum

Point = tuple[float, ...]
Search = Generator[list[Point], list[float], None]
# Steps below this are smaller than what seeds and a finite training make of the best rate.
LEAST_STEP = 0.125


def search_of(name: str, axes: Sequence[Sequence[float]], points: int) -> Search:
    """A search by its name.

    **Arguments:** `name`: one of `SEARCHES`; `axes`: evenly spaced log2 values of each rate; `points`: at most so many
    are asked for.

    **Raises:** `InputError` for an unknown name, a grid of more points than may be asked for, and `optuna` where it
    is not installed.
    """
    if name not in SEARCHES:
        raise unknown("search", name, SEARCHES)
    return SEARCHES[name](axes, points)


def grid_search(axes: Sequence[Sequence[float]], points: int) -> Search:
    """Every point of the grid."""
    return _asked_once(_within(axes, points))


def _asked_once(points: list[Point]) -> Search:
    yield points


def halving(axes: Sequence[Sequence[float]], points: int) -> Search:
    """Every point of a coarse grid; then the best point's neighbours along each axis at half the step, and so on.

    The best point is always between neighbours at the present step, so the basin that it lies in is never left.
    """
    return _halved(axes, _within(axes, points), points)


def _halved(axes: Sequence[Sequence[float]], coarse: list[Point], points: int) -> Search:
    losses = dict(zip(coarse, (yield coarse), strict=True))
    steps = [axis[1] - axis[0] if len(axis) > 1 else 0.0 for axis in axes]
    while any(step / 2 >= LEAST_STEP for step in steps) and math.isfinite(min(losses.values())):
        steps = [step / 2 if step / 2 >= LEAST_STEP else 0.0 for step in steps]
        best = min(losses, key=lambda point: losses[point])
        near = [point for point in _neighbours(best, steps, axes) if point not in losses]
        near = near[: points - len(losses)]
        if not near:
            return
        losses |= zip(near, (yield near), strict=True)


def _neighbours(point: Point, steps: Sequence[float], axes: Sequence[Sequence[float]]) -> list[Point]:
    """The points one step below and above along each axis, inside the range that was given."""
    found = []
    for index, (step, axis) in enumerate(zip(steps, axes, strict=True)):
        for value in (point[index] - step, point[index] + step):
            if step and axis[0] <= value <= axis[-1]:
                found.append((*point[:index], round(value, 12), *point[index + 1 :]))
    return found


def _within(axes: Sequence[Sequence[float]], points: int) -> list[Point]:
    """The grid's points, the last axis outermost, so that runs of one activity rate stand together."""
    whole = [point[::-1] for point in itertools.product(*reversed(axes))]
    if len(whole) > points:
        raise InputError(
            f"the budget is for {points} points and the grid has {len(whole)}",
            setting="budget",
            value=points,
            remedy="give more --runs, fewer --seeds, or a larger step of --log2-rates",
        )
    return whole


def tree_parzen(axes: Sequence[Sequence[float]], points: int) -> Search:
    """Optuna's tree-structured Parzen estimator over the whole range of each rate, from a fixed seed.

    Source: J. Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011.
    """
    try:
        import optuna
    except ImportError:
        raise InputError(
            "--search optuna needs the package optuna",
            setting="--search",
            value="optuna",
            remedy="pip install 'widthwise[hpo]', or use --search halving",
        ) from None
    spoken = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    optuna.logging.set_verbosity(spoken)
    return _suggested(study, axes, points)


def _suggested(study: Any, axes: Sequence[Sequence[float]], points: int) -> Search:
    names = ("log2_rate", "log2_activity_rate")
    for _ in range(points):
        trial = study.ask()
        pairs = zip(names, axes, strict=False)
        (loss,) = yield [tuple(round(trial.suggest_float(name, axis[0], axis[-1]), 12) for name, axis in pairs)]
        study.tell(trial, loss)


SEARCHES: dict[str, Callable[[Sequence[Sequence[float]], int], Search]] = {
    "halving": halving,
    "grid": grid_search,
    "optuna": tree_parzen,
}


def refined(losses: dict[Point, float]) -> tuple[Point | None, bool]:
    """The best point, moved along each axis to the vertex of the parabola through its nearest neighbours.

    **Arguments:** `losses`: mean losses by point, infinite where one diverged.

    **Returns:** the point, None where all diverged; and whether a nearest neighbour diverged. Along an axis where it
    has no two neighbours at one distance, as in a search off a grid, the point stays.

    >>> refined({(-2.0,): 1.0, (-1.0,): 1.0, (0.0,): float("inf"), (-1.5,): math.exp(-1.0)})
    ((-1.5,), False)
    """
    best = min(losses, key=lambda point: losses[point])
    if not math.isfinite(losses[best]):
        return None, False
    moved, cliff = list(best), False
    for index in range(len(best)):
        along = {p[index]: loss for p, loss in losses.items() if (*p[:index], *p[index + 1 :]) == (
            *best[:index], *best[index + 1 :])}  # fmt: skip
        low = max((value for value in along if value < best[index]), default=None)
        high = min((value for value in along if value > best[index]), default=None)
        if low is None or high is None:
            continue
        cliff |= not (math.isfinite(along[low]) and math.isfinite(along[high]))
        if math.isclose(best[index] - low, high - best[index], rel_tol=1e-9):
            rates = np.array([low, best[index], high])
            moved[index] = optimum(rates, np.array([along[rate] for rate in rates.tolist()])).log2
    return tuple(moved), cliff
