"""Tune small: find the best rate of one small network with a budget of runs, for a large one to use."""

import dataclasses
import datetime
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._errors import InputError
from .._loss import Loss, mse
from .._numbers import whole_number
from ..algorithms import AbstractAlgorithm
from ..data import Dataset
from ..network import Built
from ..optima import Metric, metric_of, with_divergence
from ..parameterizations import Parameterization, to_json
from ._group import Group, member_at, with_activity_rate
from ._rate_search import Point, Search, refined, search_of
from ._records import device, records, run_names, versions
from ._run_sweep import CURVE_FIELDS, Store, check_select, kept
from ._train_group import OnRuns, Rows, Training, group_runner
from ._transfer import SEEDS, labels_of, rates_of

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class TuneResult:
    """A finished search.

    **Arguments:** `payload`: what `tuned.json` holds: the best rates, the settings they belong to, and `curves`, one
    row a run.
    """

    payload: dict[str, Any]

    @property
    def log2_rate(self) -> float:
        """The best rate's log2."""
        return self.payload["log2_rate"]

    @property
    def rate(self) -> float:
        """The best rate."""
        return 2.0**self.log2_rate

    @property
    def log2_activity_rate(self) -> float | None:
        """The best activity rate's log2, None where none was searched."""
        return self.payload["log2_activity_rate"]

    def summary(self) -> str:
        """Every rate that was tried with its loss, and the best one, as text."""
        found = self.payload
        lines = [f"{', '.join(found['rule'])}, width {found['width']}, depth {found['depth']}: {found['runs']} runs"]
        lines.append(
            "  log2 rate" + ("  log2 activity rate" if self.log2_activity_rate is not None else "") + "    loss"
        )
        metric = metric_of(found.get("select", "final_loss"))
        for point, loss in sorted(_mean_losses(found["curves"], metric).items()):
            shown = f"{metric.shown(loss):8.4f}" if math.isfinite(loss) else "diverged"
            lines.append(f"  {point[0]:9.3f}" + "".join(f"  {value:18.3f}" for value in point[1:]) + f"{shown:>9s}")
        activity = "" if self.log2_activity_rate is None else f", log2 activity rate {self.log2_activity_rate:.3f}"
        lines.append(f"best: log2 rate {self.log2_rate:.3f} (rate {self.rate:.4g}){activity}")
        if found["at_edge"]:
            lines.append("it lies at the edge of the rates that were searched: search a wider range")
        if found["at_cliff"]:
            lines.append("a rate next to it diverged: a larger network, or another seed, may diverge at it")
        return "\n".join(lines)


def tune(
    build: Callable[[PRNGKeyArray], Built],
    algorithm: AbstractAlgorithm,
    table: Parameterization,
    *,
    data: Dataset,
    log2_rates: Any = (-5, 2, 1),
    log2_activity_rates: Any = None,
    runs: int = 40,
    seeds: int = 3,
    search: str = "halving",
    select: str = "final_loss",
    steps: int | None = 40,
    epochs: int | None = None,
    batch_size: int = 64,
    loss: Loss = mse,
    momentum: float = 0.0,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "constant",
    warmup: int = 0,
    clip: float | None = None,
    optimizer: Any = None,
    on_runs: OnRuns = lambda rows: None,
) -> TuneResult:
    """Find the best rate of a small network, with a budget of runs.

    **Arguments:** `build(key)`: the network, from `table`; `algorithm`; `data`; `log2_rates`: as of `transfer`;
    `"optuna"` takes the ends alone; `log2_activity_rates`: the same of predictive coding's step of inference, searched
    beside it; `runs`: at most so many, `seeds` of them for each rate; `search`: `"halving"`, a grid whose step halves
    around the best point, `"grid"` or `"optuna"`; `select`: what is best, `"final_loss"`, `"test_loss"` or
    `"test_accuracy"`; the rest: as `transfer`.

    **Returns:** a `TuneResult`: `.rate`, `.log2_rate`, `.log2_activity_rate`, `.summary()`.

    **Raises:** `InputError` for a budget that the first grid exceeds, settings out of range, and where every run
    diverged.

    >>> import widthwise as ww
    >>> table = ww.parameterization("mup")
    >>> found = tune(lambda key: ww.mlp(64, 16, 10, depth=2, table=table, key=key), ww.Backprop(), table,
    ...              data=ww.data.digits(), log2_rates=(-3, 1, 2), runs=6, seeds=1, steps=10)
    >>> found.payload["runs"]
    6

    Source: Tensor Programs V (arXiv 2203.03466), muTransfer.
    """
    training = Training(None if epochs is not None else steps, epochs, batch_size, loss, momentum, epsilon,
                        weight_decay, decay, warmup, clip, optimizer)  # fmt: skip
    axes = [rates_of(log2_rates)]
    if log2_activity_rates is not None:
        axes.append(rates_of(log2_activity_rates, "log2 activity rates"))
    seeds, runs = whole_number("seeds", seeds, remedy=SEEDS), whole_number("runs", runs)
    labels = labels_of(build(jax.random.key(0)), algorithm, table)
    group = Group(build, algorithm, table, labels, None if log2_activity_rates is None else axes[1])
    settings = {"data": data.name, "steps": training.steps, "epochs": epochs, "batch_size": batch_size, "seeds": seeds}
    return run_search(
        group, data, training, axes, runs, seeds, search=search, select=select, settings=settings, on_runs=on_runs
    )


def run_search(
    group: Group,
    data: Dataset,
    training: Training,
    axes: Sequence[Sequence[float]],
    runs: int,
    seeds: int,
    *,
    search: str = "halving",
    select: str = "final_loss",
    settings: dict[str, Any],
    identity: dict[str, Any] | None = None,
    command: str = "",
    store: Store | None = None,
    on_runs: OnRuns = lambda rows: None,
) -> TuneResult:
    """Search a group's rates; runs that are stored are read back instead of trained.

    **Arguments:** `group`; `data`, `training`; `axes`: log2 values of each rate; `runs`, `seeds`, `search`, `select`,
    `on_runs`: as `tune`; `settings`: for whoever trains with the result; `identity`, `command`, `store`: as
    `run_sweep`.

    **Returns:** a `TuneResult`.
    """
    if not 1 <= seeds <= runs:
        raise InputError(
            f"runs {runs}, seeds {seeds}",
            setting="seeds",
            value=seeds,
            remedy="at least one seed, and as many runs as seeds, are needed",
        )
    if group.log2_activity_rates is not None:
        with_activity_rate(group.algorithm, jnp.ones(()))
    check_select(select, data)
    metric, asking = metric_of(select), search_of(search, axes, runs // seeds)
    chosen = list(range(seeds))
    known = identity if identity is not None else group.labels
    train = group_runner(group, data, training, chosen)
    rows: Rows = []

    def tried(points: list[Point]) -> list[float]:
        # Runs of one activity rate share a call.
        for _, together in itertools.groupby(points, key=lambda point: point[1:]):
            members = [member_at(seed, point) for point in list(together) for seed in chosen]
            names = run_names(known, members)
            if store is not None and store.finished(names):
                found = [kept(record["run"]) for record in store.of(names)]
                on_runs(found)
            else:
                found = train(members, on_runs)
                if store is not None:
                    store.append(records(names, 0, known, found, "local"))
            rows.extend(found)
        losses = _mean_losses(rows, metric)
        return [losses[point] for point in points]

    _answered(asking, tried)
    best, cliff = refined(_mean_losses(rows, metric))
    if best is None:
        raise InputError(
            f"log2 rates {axes[0][0]} to {axes[0][-1]}: every run diverged",
            setting="log2 rates",
            value=(axes[0][0], axes[0][-1]),
            remedy="search smaller rates (--log2-rates START STOP STEP)",
        )
    return TuneResult(
        {
            "schema_version": SCHEMA_VERSION,
            "command": command,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "device": device(),
            "settings": settings,
            "rule": [group.labels[name] for name in ("algorithm", "parameterization", "optimizer")],
            "width": group.labels["width"],
            "depth": group.labels["depth"],
            "table": to_json(group.table),
            "search": search,
            "seeds": seeds,
            "runs": len(rows),
            "log2_rate": best[0],
            "rate": 2.0 ** best[0],
            "log2_activity_rate": best[1] if len(best) > 1 else None,
            "select": select,
            "best_loss": metric.shown(min(_mean_losses(rows, metric).values())),
            "at_edge": any(at in (axis[0], axis[-1]) and len(axis) > 1 for at, axis in zip(best, axes, strict=True)),
            "at_cliff": cliff,
            "curves": [{name: row.get(name) for name in CURVE_FIELDS} for row in with_divergence(rows)],
        }
    )


def _answered(asking: Search, tried: Callable[[list[Point]], list[float]]) -> None:
    """Give a search the losses that it asks for, until it asks no more."""
    try:
        points = next(asking)
        while True:
            points = asking.send(tried(points))
    except StopIteration:
        return


def _mean_losses(rows: Rows, metric: Metric) -> dict[Point, float]:
    """The mean loss over seeds at every point, infinite where one diverged."""
    found: dict[Point, list[float]] = {}
    for row in with_divergence(rows):
        activity = row.get("log2_activity_rate")
        point = (row["log2_rate"],) if activity is None else (row["log2_rate"], activity)
        found.setdefault(point, []).append(math.inf if row["diverged"] else metric.of(row))
    return {point: float(np.mean(losses)) for point, losses in found.items()}
