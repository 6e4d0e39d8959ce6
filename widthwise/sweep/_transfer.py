"""Tune small, transfer large: sweep rates at every size and say whether the best one moved."""

import dataclasses
import datetime
import functools
import inspect
import itertools
import math
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, expect
from .._loss import Loss, mse
from ..algorithms import AbstractAlgorithm
from ..data import Dataset
from ..inference import Automatic
from ..network import Built
from ..parameterization import Parameterization, to_json
from ..report import activity_figure, save, transfer_figure, write
from ..training import SETTLED, UnsettledWarning
from ._files import jsonable, write_json
from ._group import Group, with_activity_rate
from ._record import Records, device, records, run_names, versions
from ._run import OnRuns, Rows, Training, run_group
from ._summary import summarize
from ._text import summary_text

# 2: runs also differ by their activity rate.
SCHEMA_VERSION = 2
MOST_RATES = 1000
# 2^±126 are the ends of float32's normal numbers.
LARGEST_LOG2 = 126.0
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


@dataclasses.dataclass(frozen=True)
class TransferResult:
    """A finished sweep.

    **Arguments:** `payload`: what `transfer.json` holds: `curves`, one row a run, `summary`, one row a rule, and the
    tables, settings and versions they were measured with.
    """

    payload: dict[str, Any]

    @property
    def curves(self) -> list[dict[str, Any]]:
        """One row a run."""
        return self.payload["curves"]

    @property
    def transfers(self) -> bool:
        """Whether the best rate of every rule stayed where it was."""
        return all(row["transfers"] for row in self.payload["summary"])

    def summary(self) -> str:
        """The optimum at every size, and the verdict, as text."""
        return summary_text(self.payload)

    def plot(self, path: str | Path) -> None:
        """The curves, minima marked, as .png, .svg or .pdf.

        Where activity rates were swept, a second file, its name ending in `_activity`, shows the loss over both rates.
        """
        payload, path = jsonable(self.payload), Path(path)
        save(transfer_figure(payload), path)
        if (figure := activity_figure(payload)) is not None:
            save(figure, path.with_stem(f"{path.stem}_activity"))

    def write(self, directory: str | Path) -> Path:
        """Write `transfer.json` and `report.html`; returns the report's path."""
        home = Path(directory)
        home.mkdir(parents=True, exist_ok=True)
        payload = jsonable(self.payload)
        write_json(home / "transfer.json", payload)
        return Path(write(payload, home / "report.html"))


def grid(start: float, stop: float, step: float, *, what: str = "log2 rates") -> list[float]:
    """Evenly spaced log2 rates, the stop included; `what` names them in errors.

    **Raises:** `InputError` for an empty range or a step that is not positive.

    >>> grid(-1, 0, 0.5)
    [-1.0, -0.5, 0.0]
    """
    if not (all(map(math.isfinite, (start, stop, step))) and step > 0 and stop >= start):
        raise InputError(f"{what} {start} {stop} {step}: expected START <= STOP and STEP > 0, as in -5 2 0.5")
    if max(abs(start), abs(stop)) > LARGEST_LOG2:
        raise InputError(f"{what} {start} to {stop}: beyond ±{LARGEST_LOG2:g} a rate is 0 or infinite in float32")
    count = (stop - start) / step + 1
    if count > MOST_RATES:
        raise InputError(f"{what} {start} {stop} {step}: {count:.0f} rates; at most {MOST_RATES} can be run")
    count = math.floor(count + 1e-9)
    return [round(start + index * step, 12) for index in range(count)]


def transfer(
    build: Callable[..., Built],
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    data: Dataset,
    widths: Sequence[int] | None = None,
    depths: Sequence[int] | None = None,
    log2_rates: tuple[float, float, float] = (-5, 2, 0.5),
    log2_activity_rates: tuple[float, float, float] | None = None,
    seeds: int = 3,
    steps: int | None = 40,
    epochs: int | None = None,
    batch_size: int = 64,
    loss: Loss = mse,
    momentum: float = 0.0,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "constant",
    on_runs: OnRuns = lambda rows: None,
) -> TransferResult:
    """Find the best rate at every size, and whether the smallest size's is good for the largest.

    **Arguments:** `build(size, key)`: the network at a width or, with `depths`, at a depth, built from `table`;
    `build(width, depth, key)` with both; `algorithm`; `data`; `widths` or `depths`: the sizes, one of them, or both
    for a grid, which is summarized over the widths at every depth and over the depths at every width; `log2_rates`:
    (start, stop, step) of the base rate, stop included; `log2_activity_rates`: the same of predictive coding's step
    of inference, which then replaces the relaxation's own `rate`: every pair of rates is run; `seeds`: how many; the
    rest: how each run is trained (see `sweep.Training`); `on_runs`: told the rows of runs as they end, for a
    progress bar or a tracker of experiments.

    **Returns:** a `TransferResult`: `.summary()`, `.plot(path)`, `.write(directory)`, `.transfers`.

    **Raises:** `InputError` for arguments of another kind, empty ranges, neither widths nor depths, a `build` that does
    not take them, settings out of range, and activity rates where the algorithm or its relaxation has none.

    Source: definitions in `sweep/_summary.py`; Tensor Programs V (arXiv 2203.03466) for the experiment.
    """
    expect(AbstractAlgorithm, "ww.PredictiveCoding()", algorithm=algorithm)
    expect(Parameterization, 'ww.parameterization("mup")', table=table)
    expect(Dataset, "ww.data.digits()", data=data)
    expect(Callable, "ww.mse", loss=loss)
    axis, sizes = _sizes(build, widths, depths)
    steps = None if epochs is not None else steps
    training = Training(steps, epochs, batch_size, loss, momentum, epsilon, weight_decay, decay)
    activity = None if log2_activity_rates is None else grid(*log2_activity_rates, what="log2 activity rates")
    groups = []
    for size in sizes:
        built = build(*size, jax.random.key(0))
        labels = labels_of(built, algorithm, table)
        groups.append(Group(functools.partial(build, *size), algorithm, table, labels, activity))
    settings = {"data": data.name, "steps": steps, "epochs": epochs, "batch_size": batch_size, "seeds": seeds}
    return run_sweep(groups, data, training, grid(*log2_rates), seeds, axis=axis, settings=settings, on_runs=on_runs)


def _sizes(
    build: Callable[..., Built], widths: Sequence[int] | None, depths: Sequence[int] | None
) -> tuple[str, list[tuple[int, ...]]]:
    """The axis, and what `build` is given at every size, before the key."""
    given = {name: sorted(set(sizes)) for name, sizes in (("width", widths), ("depth", depths)) if sizes is not None}
    wanted = f"build({', '.join([*given, 'key'])})"
    if not given:
        raise InputError("give widths or depths, one of them or both: the sizes to transfer across")
    try:
        inspect.signature(build).bind(*given, "key")
    except TypeError:
        raise InputError(
            f"build{inspect.signature(build)} cannot be called as {wanted}: give widths or depths, one of them, to a "
            "build(size, key), or both to a build(width, depth, key)"
        ) from None
    return "grid" if len(given) > 1 else next(iter(given)), list(itertools.product(*given.values()))


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
    if seeds < 1 or not groups:
        raise InputError(f"seeds {seeds}, sizes {len(groups)}: at least one of each is needed")
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
    _warn_unsettled(groups, rows)
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


def _warn_unsettled(groups: Sequence[Group], rows: Sequence[dict[str, Any]]) -> None:
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
    automatic = any(isinstance(getattr(group.algorithm, "relaxation", None), Automatic) for group in groups)
    # A few runs next to divergence are unsettled in every sweep; `auto` promises for each.
    if left > (0 if automatic else (1 - SETTLED) * len(shares)) and (automatic or not away):
        text = (
            f"inference left more than {1 - SETTLED:.0%} of examples above the tolerance in {left} of {len(shares)} "
            f"runs: give it {'' if automatic else '--relaxation auto, '}more iterations, or a lower output precision "
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


def labels_of(built: Built, algorithm: AbstractAlgorithm, table: Parameterization) -> dict[str, Any]:
    """A group's labels; its width N is the fan-in of the readout."""
    return {
        "algorithm": algorithm.name,
        "parameterization": table.name,
        "optimizer": table.optimizer,
        "width": built.sizes[-1].width,
        "depth": built.network.depth,
    }
