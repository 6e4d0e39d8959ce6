"""All groups of a sweep, those that are stored already left out, and the summary of their runs."""

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
from ..optima import summarize
from ..parameterizations import to_json
from ..report import TransferResult
from ..training import SETTLED, UnsettledWarning
from ._group import Group, with_activity_rate
from ._records import Records, device, records, run_names, versions
from ._train_group import OnRuns, Rows, Training, run_group

# 2: runs also differ by their activity rate.
SCHEMA_VERSION = 2


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
    "seed",
    "final_loss",
    "diverged",
    "residual_median",
    "iterations_median",
)


# What is kept of each run while a sweep goes on: for its curves and its summary.
KEPT = (*CURVE_FIELDS, "settled", "curvature", "cosine_to_backprop", "seconds")


# Trains the groups of some indices, and yields each one's index and records as it ends (sweep/engines).
Ended = Generator[tuple[int, Records], None, None]


Engine = Callable[[Sequence[int], OnRuns], Ended]


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
    identities: Sequence[dict[str, Any]] | None = None,
    command: str = "",
    store: Store | None = None,
    engine: Engine | None = None,
    on_runs: OnRuns = lambda rows: None,
) -> TransferResult:
    """Run all groups that are not stored yet, and summarize.

    **Arguments:** `groups`; `data`, `training`, `log2_rates`, `seeds`; `axis`: see `summarize`; `settings`: for the
    report; `identities`: what defines each group, hashed with seed and rate to name its runs; `command`: the exact
    command; `store`: finished groups are read from it and new ones appended; `engine`: what trains them; None for this
    process, in order; `on_runs`.

    **Returns:** a `TransferResult`.
    """
    if seeds < 1:
        raise InputError(f"seeds {seeds}", setting="seeds", value=seeds, remedy="at least one is needed")
    if not groups:
        raise InputError(f"sizes {len(groups)}", setting="sizes", value=len(groups), remedy="at least one is needed")
    for group in groups:
        if group.log2_activity_rates is not None:
            with_activity_rate(group.algorithm, jnp.ones(()))
    began = time.perf_counter()
    chosen = list(range(seeds))
    identities = [group.labels for group in groups] if identities is None else identities
    names = [
        run_names(identity, group.members(log2_rates, chosen))
        for group, identity in zip(groups, identities, strict=True)
    ]

    def here(left: Sequence[int], told: OnRuns) -> Ended:
        for index in left:
            found = run_group(groups[index], data, training, log2_rates, chosen, on_runs=told)
            yield index, records(names[index], index, identities[index], found, "local")

    by_group: dict[int, Rows] = {}
    devices = set()
    for index, group in enumerate(groups):
        if store is not None and store.finished(names[index]):
            # A record of an earlier version lacks the fields that came later.
            members = group.members(log2_rates, chosen)
            stored = zip(members, store.of(names[index]), strict=True)
            by_group[index] = [_kept(group.described() | one._asdict() | record["run"]) for one, record in stored]
            on_runs(by_group[index])
    left = [index for index in range(len(groups)) if index not in by_group]
    with closing((engine or here)(left, on_runs)) as ended:
        for index, found in ended:
            if store is not None:
                store.append(found)
            by_group[index] = [_kept(record["run"]) for record in found]
            devices.add(found[0]["device"])
    rows = [row for index in range(len(groups)) for row in by_group[index]]
    warn_unsettled(groups, rows)
    return TransferResult(
        {
            "schema_version": SCHEMA_VERSION,
            "command": command,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "device": ", ".join(sorted(devices)) or device(),
            "settings": settings,
            "tables": {_rule(group.labels): to_json(group.table) for group in groups},
            "wall_seconds": time.perf_counter() - began,
            "runs": len(rows),
            "costs": costs(rows),
            "curves": [{name: row[name] for name in CURVE_FIELDS} for row in rows],
            "summary": summarize(rows, axis),
        }
    )


def costs(rows: Rows) -> list[dict[str, Any]]:
    """What a run took, in seconds, the median over the runs of a rule and size that were timed."""
    names = ("algorithm", "parameterization", "optimizer", "width", "depth")
    seconds: dict[tuple, list[float]] = {}
    for row in rows:
        if row.get("seconds") is not None:
            seconds.setdefault(tuple(row[name] for name in names), []).append(row["seconds"])
    return [dict(zip(names, key, strict=True)) | {"seconds": float(np.median(own))} for key, own in seconds.items()]


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in KEPT if name in row}


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
