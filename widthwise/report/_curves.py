"""The runs and the summary of one rule along one axis: what one panel of a figure shows."""

import dataclasses
import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from ._formatting import label

AXES = ("width", "depth")
Payload = dict[str, Any]
Row = dict[str, Any]


def finite(value: object) -> float | None:
    """The value as a float where it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def failed(run: Row) -> bool:
    """Whether a run has no loss to show."""
    return bool(run.get("diverged")) or finite(run.get("final_loss")) is None


@dataclasses.dataclass(frozen=True)
class Line:
    """Loss against rate at one size: mean, lowest and highest seed where every seed stayed finite.

    **Arguments:** `tuned`: which of the rates were run beside the grid, tuned at a smaller size.
    """

    rates: Sequence[float] = ()
    mean: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    tuned: frozenset[float] = frozenset()

    @classmethod
    def of(cls, runs: Iterable[Row]) -> "Line":
        """The line of the runs of one size; a rate at which any seed diverged is left out."""
        by_rate: dict[float, list[Row]] = defaultdict(list)
        for run in runs:
            if (rate := finite(run.get("log2_rate"))) is not None:
                by_rate[rate].append(run)
        stable = {r: [x["final_loss"] for x in by_rate[r]] for r in sorted(by_rate) if not any(map(failed, by_rate[r]))}
        losses = list(stable.values())
        tuned = frozenset(rate for rate, own in by_rate.items() if all(run.get("tuned") for run in own))
        return cls(list(stable), [*map(statistics.fmean, losses)], [*map(min, losses)], [*map(max, losses)], tuned)

    def at(self, rate: float) -> float | None:
        """The height of the drawn line at a rate: straight on a log scale, held constant beyond its ends."""
        points = list(zip(self.rates, self.mean, strict=True))
        if not points:
            return None
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            if x0 <= rate <= x1:
                t = (rate - x0) / (x1 - x0)
                return y0 ** (1 - t) * y1**t if min(y0, y1) > 0 else y0 + t * (y1 - y0)
        return points[0][1] if rate < points[0][0] else points[-1][1]


@dataclasses.dataclass(frozen=True)
class Surface:
    """Mean loss over both rates at one size: `losses[activity rate][rate]`, None where any seed failed or none ran."""

    rates: Sequence[float] = ()
    activity_rates: Sequence[float] = ()
    losses: Sequence[Sequence[float | None]] = ()

    @classmethod
    def of(cls, runs: Iterable[Row]) -> "Surface":
        """The surface of the runs of one size; empty where no activity rate was swept."""
        points: dict[tuple[float, float], list[Row]] = defaultdict(list)
        for run in runs:
            rate, activity = finite(run.get("log2_rate")), finite(run.get("log2_activity_rate"))
            if rate is not None and activity is not None:
                points[activity, rate].append(run)
        rates, activity_rates = sorted({rate for _, rate in points}), sorted({activity for activity, _ in points})
        losses = [[_mean(points.get((activity, rate), [])) for rate in rates] for activity in activity_rates]
        return cls(rates, activity_rates, losses)

    @property
    def best(self) -> tuple[float, float] | None:
        """The rate and the activity rate of the least loss; None where there is no loss."""
        points = [
            (loss, rate, activity)
            for activity, row in zip(self.activity_rates, self.losses, strict=True)
            for rate, loss in zip(self.rates, row, strict=True)
            if loss is not None
        ]
        return min(points)[1:] if points else None


def _mean(runs: Sequence[Row]) -> float | None:
    return None if not runs or any(map(failed, runs)) else statistics.fmean(run["final_loss"] for run in runs)


@dataclasses.dataclass(frozen=True)
class Group:
    """One algorithm, parameterization and optimizer along one axis.

    **Arguments:** `lines`: loss against rate by size, at the size's best activity rate where these were swept;
    `surfaces`: loss over both rates by size, where they were swept; `place`: the fixed other size, like `depth 16`,
    where the rule has several lines along this axis; `costs`: median seconds of a run by size, where they are known.
    """

    algorithm: str
    parameterization: str
    optimizer: str
    axis: str
    summary: Row
    lines: dict[int, Line]
    surfaces: dict[int, Surface] = dataclasses.field(default_factory=dict)
    place: str = ""
    costs: dict[int, float] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """The rule in words, like `PC, muP, SGD`."""
        return label(self.algorithm, self.parameterization, self.optimizer)

    @property
    def title(self) -> str:
        """The rule, and its place where there are several."""
        return f"{self.label}, {self.place}" if self.place else self.label

    @property
    def sizes(self) -> list[int]:
        """All sizes, of the summary and of the runs."""
        return sorted({*self.lines, *(self.summary.get("sizes") or [])})

    def value(self, key: str, size: int) -> float | None:
        """A number of the summary at one size, None where it is missing."""
        return finite(self._entry(key, size))

    def flag(self, key: str, size: int) -> bool:
        """A flag of the summary at one size, False where it is missing."""
        return bool(self._entry(key, size))

    def bound(self, size: int, kind: str = "") -> bool:
        """Whether the best rate at a size is only bounded: by the rates that were run or by divergence.

        **Arguments:** `size`; `kind`: `"activity_"` for the activity rate.
        """
        return self.flag(f"{kind}at_edge", size) or self.flag(f"{kind}at_cliff", size)

    def scalar(self, key: str) -> float | None:
        """A number of the summary that belongs to all sizes together."""
        return finite(self.summary.get(key))

    def _entry(self, key: str, size: int) -> object:
        sizes, values = self.summary.get("sizes") or [], self.summary.get(key) or []
        return dict(zip(sizes, values, strict=False)).get(size)


def groups(payload: Payload) -> list[Group]:
    """All groups: those of the summary, then those that only the runs name."""
    runs: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for run in payload.get("curves") or []:
        runs[_rule(run)].append(run)
    costs: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in payload.get("costs") or []:
        costs[_rule(row)].append(row)
    summaries = {(*_rule(row), *_line(row)): row for row in payload.get("summary") or []}
    named = {key[:3] for key in summaries}
    for rule in runs.keys() - named:
        summaries |= {(*rule, axis, None): {} for axis in _swept(runs[rule])}
    order = {
        rule: i for i, rule in enumerate(dict.fromkeys([*(key[:3] for key in summaries if key[:3] in named), *runs]))
    }
    keys = sorted(summaries, key=lambda key: (AXES.index(key[3]) if key[3] in AXES else 2, key[4] or 0, order[key[:3]]))
    lines = Counter(key[:4] for key in keys)
    found = []
    for key in keys:
        axis, at = key[3:]
        place = f"{_other(axis)} {at}" if lines[key[:4]] > 1 else ""
        arm, paid = (_arm(rows.get(key[:3], []), axis, at) for rows in (runs, costs))
        seconds = {size: value for size, (row, *_) in paid.items() if (value := finite(row.get("seconds"))) is not None}
        found.append(_group(key[:4], summaries[key], arm, place, seconds))
    return found


def _group(
    key: tuple[str, str, str, str], summary: Row, arm: dict[int, list[Row]], place: str, costs: dict[int, float]
) -> Group:
    # Tuned rates lie beside the grid, which a surface shows.
    grids = {size: [run for run in runs if not run.get("tuned")] for size, runs in arm.items()}
    surfaces = {size: found for size, runs in grids.items() if (found := Surface.of(runs)).rates}
    lines = {size: Line.of(_at_best(runs, surfaces.get(size))) for size, runs in arm.items()}
    return Group(*key, summary=summary, lines=lines, surfaces=surfaces, place=place, costs=costs)


def _line(summary: Row) -> tuple[str, int | None]:
    """The axis of a summary and the other size, where it is told."""
    axis, at = str(summary.get("axis") or "width"), summary.get("at")
    size = at.get(_other(axis)) if isinstance(at, dict) else None
    return axis, size if isinstance(size, int) else None


def _other(axis: str) -> str:
    return "depth" if axis == "width" else "width"


def _at_best(runs: list[Row], surface: Surface | None) -> list[Row]:
    """The runs at the best activity rate; all of them where none was swept or all diverged."""
    best = None if surface is None else surface.best
    return runs if best is None else [run for run in runs if run.get("log2_activity_rate") == best[1]]


def _rule(row: Row) -> tuple[str, str, str]:
    algorithm, parameterization, optimizer = (
        str(row.get(key) or "?") for key in ("algorithm", "parameterization", "optimizer")
    )
    return algorithm, parameterization, optimizer


def _swept(runs: Sequence[Row]) -> list[str]:
    swept = [axis for axis in AXES if len({run.get(axis) for run in runs}) > 1]
    return swept or ["width"]


def _arm(runs: Sequence[Row], axis: str, at: int | None) -> dict[int, list[Row]]:
    """The runs along an axis, by size, where the other size is `at`."""
    other = _other(axis)
    sizes: dict[Any, set[int]] = defaultdict(set)
    for run in runs:
        if run.get(axis) is not None:
            sizes[run.get(other)].add(run[axis])
    if not sizes:
        return {}
    # A sweep of both axes may be a cross: the arm along this axis holds the other one where most sizes were run.
    held = max(sizes, key=lambda value: len(sizes[value])) if at is None else at
    arm = [run for run in runs if run.get(other) == held]
    return {size: [run for run in arm if run.get(axis) == size] for size in sorted(sizes.get(held, ()))}
