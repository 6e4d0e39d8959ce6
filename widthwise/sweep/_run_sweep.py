"""All groups of a sweep, then the runs that its verdict needs beside the grid; what is stored already is left out."""

import datetime
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from ..data import Dataset
from ..optima import metric_of, summarize, to_run, with_divergence
from ..parameterizations import to_json
from ..report import TransferResult
from ..training import SETTLED, UnsettledWarning
from ._group import Group, Member, Work, member_at, with_activity_rate
from ._records import Records, device, records, run_names, versions
from ._train_group import OnRuns, Rows, Training, group_runner

# 2: runs also differ by their activity rate. 3: rates tuned at smaller sizes are run beside the grid, and the verdict
# is theirs; accuracies and test losses.
SCHEMA_VERSION = 3


CURVE_FIELDS = (
    "algorithm",
    "parameterization",
    "optimizer",
    "width",
    "depth",
    "gamma_bar",
    "output_precision",
    "log2_rate",
    "log2_activity_rate",
    "tuned",
    "seed",
    "first_loss",
    "final_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "diverged",
    "residual_median",
    "iterations_median",
)


# What is kept of each run while a sweep goes on: for its curves and its summary.
KEPT = (*CURVE_FIELDS, "settled", "curvature", "cosine_to_backprop", "seconds")


# Trains some work, and yields each group's index and records as it ends (sweep/engines).
Ended = Generator[tuple[int, Records], None, None]


Engine = Callable[[Sequence[Work], OnRuns], Ended]


@runtime_checkable
class Store(Protocol):
    """Where records go: `sweep.RunStore`, or nothing."""

    def finished(self, hashes: Iterable[str]) -> bool:
        """Whether the runs of these names are all stored."""

    def of(self, hashes: Iterable[str]) -> Iterator[dict]:
        """The records of stored runs."""

    def append(self, records: list[dict[str, Any]]) -> None:
        """Store one group's records."""


def run_sweep(
    groups: Sequence[Group],
    data: Dataset,
    training: Training,
    log2_rates: Sequence[float],
    seeds: int,
    *,
    axis: str,
    settings: dict[str, Any],
    select: str = "final_loss",
    tuned_rates: bool = True,
    identities: Sequence[dict[str, Any]] | None = None,
    command: str = "",
    store: Store | None = None,
    engine: Engine | None = None,
    on_runs: OnRuns = lambda rows: None,
    on_more: Callable[[int], None] = lambda count: None,
) -> TransferResult:
    """Run all groups that are not stored yet, then every smaller size's tuned rate at the larger ones, and summarize.

    **Arguments:** `groups`; `data`, `training`, `log2_rates`, `seeds`; `axis`, `select`: see `summarize`; `settings`:
    for the report; `tuned_rates`: False to run the grid alone; `identities`: what defines each group, hashed with seed
    and rate to name its runs; `command`: the exact command; `store`: finished groups are read from it and new ones
    appended; `engine`: what trains them; None for this process, in order; `on_runs`; `on_more`: told how many runs the
    verdict needs beside the grid, before they are made.

    **Returns:** a `TransferResult`.
    """
    if seeds < 1:
        raise InputError(f"seeds {seeds}", setting="seeds", value=seeds, remedy="at least one is needed")
    if not groups:
        raise InputError(f"sizes {len(groups)}", setting="sizes", value=len(groups), remedy="at least one is needed")
    check_select(select, data)
    for group in groups:
        if group.log2_activity_rates is not None:
            with_activity_rate(group.algorithm, jnp.ones(()))
    began = time.perf_counter()
    identities = [group.labels for group in groups] if identities is None else identities
    sweep = _Sweep(groups, data, training, identities, store, engine, on_runs)
    chosen, together = range(seeds), len(log2_rates) * seeds
    grid = [tuple(group.members(log2_rates, chosen)) for group in groups]
    sweep.run([Work(index, members, together) for index, members in enumerate(grid)])
    while tuned_rates and (work := _beside_the_grid(groups, sweep.rows, axis, select, chosen, together)):
        on_more(sum(len(one.members) for one in work))
        sweep.run(work)
    rows = sweep.rows
    warn_unsettled(groups, rows)
    return TransferResult(
        {
            "schema_version": SCHEMA_VERSION,
            "command": command,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "device": ", ".join(sorted(sweep.devices)) or device(),
            "settings": settings,
            "tables": {_rule(group.labels): to_json(group.table) for group in groups},
            "wall_seconds": time.perf_counter() - began,
            "runs": len(rows),
            "costs": costs(rows),
            "curves": [{name: row.get(name) for name in CURVE_FIELDS} for row in rows],
            "summary": summarize(rows, axis, select),
        }
    )


def check_select(select: str, data: Dataset) -> None:
    """Refuse, before anything is trained, a metric that no run of these data will have.

    **Raises:** `InputError` for an unknown one, and for accuracies of data without classes.
    """
    if metric_of(select).mirrored and data.classes is None:
        raise InputError(
            f"select {select!r}: {data.name} has no classes, so no accuracy",
            setting="select",
            value=select,
            remedy="use final_loss or test_loss",
        )


class _Sweep:
    """The runs of a sweep, trained or read back: one list of rows for each of its groups."""

    def __init__(
        self,
        groups: Sequence[Group],
        data: Dataset,
        training: Training,
        identities: Sequence[dict[str, Any]],
        store: Store | None,
        engine: Engine | None,
        on_runs: OnRuns,
    ) -> None:
        self.groups, self.data, self.training = groups, data, training
        self.identities, self.store, self.on_runs = identities, store, on_runs
        self.engine = engine or self._here
        self.devices: set[str] = set()
        self._rows: dict[int, Rows] = {index: [] for index in range(len(groups))}

    @property
    def rows(self) -> Rows:
        """All rows so far, group after group, with the divergence judged."""
        return with_divergence(row for rows in self._rows.values() for row in rows)

    def run(self, work: Sequence[Work]) -> None:
        """Train what is not stored yet."""
        left = [one for one in work if not self._read_back(one)]
        with closing(self.engine(left, self.on_runs)) as ended:
            for index, found in ended:
                if self.store is not None:
                    self.store.append(found)
                self._rows[index] += [kept(record["run"]) for record in found]
                self.devices.add(found[0]["device"])

    def _here(self, left: Sequence[Work], told: OnRuns) -> Ended:
        for work in left:
            chosen = sorted({one.seed for one in work.members})
            train = group_runner(self.groups[work.group], self.data, self.training, chosen, work.together)
            rows = train(work.members, told)
            yield work.group, records(self._names(work), work.group, self.identities[work.group], rows, "local")

    def _names(self, work: Work) -> list[str]:
        return run_names(self.identities[work.group], work.members)

    def _read_back(self, work: Work) -> bool:
        """Whether some work is stored, and its rows are read back."""
        names = self._names(work)
        if self.store is None or not self.store.finished(names):
            return False
        # A record of an earlier version lacks the fields that came later.
        described = self.groups[work.group].described()
        stored = zip(work.members, self.store.of(names), strict=True)
        rows = [kept(described | record["run"] | one._asdict()) for one, record in stored]
        self.on_runs(rows)
        self._rows[work.group] += rows
        return True


def _beside_the_grid(
    groups: Sequence[Group], rows: Rows, axis: str, select: str, seeds: Sequence[int], together: int
) -> list[Work]:
    """The rates that the next verdict needs, at the groups that have not run them."""
    found: dict[int, list[Member]] = {}
    for labels, point in to_run(rows, axis, select):
        index = next(index for index, group in enumerate(groups) if labels.items() <= group.labels.items())
        found.setdefault(index, []).extend(member_at(seed, point, tuned=True) for seed in seeds)
    return [Work(index, tuple(members), together) for index, members in sorted(found.items())]


def costs(rows: Rows) -> list[dict[str, Any]]:
    """What a run took, in seconds, the median over the runs of a rule and size that were timed."""
    names = ("algorithm", "parameterization", "optimizer", "width", "depth")
    seconds: dict[tuple, list[float]] = {}
    for row in rows:
        if row.get("seconds") is not None:
            seconds.setdefault(tuple(row[name] for name in names), []).append(row["seconds"])
    return [dict(zip(names, key, strict=True)) | {"seconds": float(np.median(own))} for key, own in seconds.items()]


def kept(row: dict[str, Any]) -> dict[str, Any]:
    """What the curves and the summary need of a run; runs stored before 0.2 know their first loss by their curve."""
    curve = row.get("curve") or [None]
    kept = {"first_loss": curve[0]} | {name: row[name] for name in KEPT if name in row}
    # A loss that was infinite on the way and came back was no training.
    return kept | ({"final_loss": None} if None in curve[1:] else {})


def warn_unsettled(groups: Sequence[Group], rows: Sequence[dict[str, Any]]) -> None:
    """One warning a sweep where inference moved away from equilibrium, or left more than a few examples unsettled.

    Where activity rates are swept, those beyond stability and those too small to settle are among them on purpose: the
    summary leaves out the ones, and says of the best how much had settled.
    """
    if any(group.log2_activity_rates for group in groups):
        return
    sound = [row for row in rows if not row["diverged"]]
    residuals = [row["residual_median"] for row in sound if row.get("residual_median") is not None]
    away = sum(value > 1 for value in residuals)
    shares = [row["settled"] for row in sound if row.get("settled") is not None]
    left = sum(share < SETTLED for share in shares)
    relaxations = (group.algorithm.relaxation for group in groups)
    promised = any(one is not None and one.promises for one in relaxations)
    # A few runs next to divergence are unsettled in every sweep; `auto` promises for each.
    if left > (0 if promised else (1 - SETTLED) * len(shares)) and (promised or not away):
        text = (
            f"inference left more than {1 - SETTLED:.0%} of examples above the tolerance in {left} of {len(shares)} "
            f"runs: give it {'' if promised else '--relaxation auto, '}more iterations, or a lower output precision "
            f"or precision_cap"
        )
    elif away:
        text = (
            f"inference ended farther from equilibrium than it began in {away} of {len(residuals)} runs: lower the "
            f"activity rate where one was given, or the output precision, or use --relaxation auto"
        )
    else:
        return
    warnings.warn(text, UnsettledWarning, stacklevel=3)


def _rule(labels: dict[str, Any]) -> str:
    """What a summary is about, as in `pc mup sgd`: two algorithms have two tables of one name."""
    return " ".join(labels[part] for part in ("algorithm", "parameterization", "optimizer"))
