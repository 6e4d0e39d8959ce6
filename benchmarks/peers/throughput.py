"""Configurations a second: 16 of them (4 rates, 4 seeds) as one compiled group, beside jpc's one after the other.

    python -m benchmarks.peers.throughput --jpc PYTHON [--pairs 5] [--steps 300] [--widths 64 128 512]

A residual muPC network of 3 layers, tanh, Adam, batches of 64, T = 3 steps of activity descent; milliseconds per
configuration and step. `group`: the compiled group alone; `sweep`: the same inside `run_sweep`, rows, records on the
disk and summary counted; both without compilation. Writes results/throughput_<date>.log.
"""

import argparse
import datetime
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from widthwise.algorithms import PredictiveCoding
from widthwise.data import Dataset, load
from widthwise.inference import ActivityDescent
from widthwise.network import Built, residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.sweep import Group, RunStore, Training, group_runner, run_sweep

from .._settings import ACTIVITY_STEP, BATCH, IN, OUT
from ._processes import Worker, once, ours, rival
from ._report import ratios, spread, table

RESULTS = Path(__file__).parents[1] / "results"
DEPTH, EXAMPLES = 3, 2048
RATES, SEEDS = [-10.0, -9.0, -8.0, -7.0], range(4)
# A call of the group's program trains a few runs of one activity rate where they are narrow: the first compiles.
ACTIVITY_RATES = [-4.0, -3.75, -3.5, -3.25]
TIMED = (len(ACTIVITY_RATES) - 1) * len(RATES) * len(SEEDS)
TABLE = parameterization("mupc", algorithm="pc", optimizer="adam")


def group_of(width: int) -> Group:
    """All configurations of a width."""

    def build(key: Any) -> Built:
        return residual_mlp(IN, width, OUT, depth=DEPTH, activation="tanh", table=TABLE, key=key)

    rule = PredictiveCoding(ActivityDescent(iterations=DEPTH, rate=ACTIVITY_STEP))
    labels = {"algorithm": "pc", "parameterization": "mupc", "optimizer": "adam", "width": width, "depth": DEPTH}
    return Group(build, rule, TABLE, labels, ACTIVITY_RATES)


class Clock:
    """Seconds since the runs of the first activity rate had ended."""

    def __init__(self) -> None:
        self.runs, self.began = 0, 0.0

    def told(self, rows: list[dict[str, Any]]) -> None:
        """Some runs have ended."""
        self.runs += len(rows)
        if self.runs == len(RATES) * len(SEEDS):
            self.began = time.perf_counter()

    def seconds(self, steps: int) -> float:
        """Of a configuration's step."""
        return (time.perf_counter() - self.began) / (TIMED * steps)


def in_a_sweep(group: Group, data: Dataset, training: Training) -> float:
    """Seconds of a configuration's step inside a sweep that stores its records."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as home, RunStore.open(home, kind="transfer", spec={}) as store:
        run_sweep(
            [group], data, training, RATES, len(SEEDS), axis="width", settings={}, identities=[dict(group.labels)],
            store=store, on_runs=clock.told,
        )  # fmt: skip
        return clock.seconds(training.total(len(data.x_train)))


def measured(width: int, data: Dataset, steps: int, pairs: int, jpc: str | None, folder: Path) -> list[object]:
    """A row: jpc, the group and the sweep in turns, and pair by pair how many times as much jpc takes."""
    group, training = group_of(width), Training(steps=steps, batch_size=BATCH)
    run, members = group_runner(group, data, training, SEEDS), group.members(RATES, SEEDS)
    run(members[: len(RATES) * len(SEEDS)], lambda rows: None)
    found: dict[str, list[float]] = {"jpc": [], "group": [], "sweep": []}
    path = folder / f"{width}.npz"
    once(ours("case", f"{width}x{DEPTH}", str(path)))
    worker: Worker | None = None if jpc is None else rival("jpc", jpc, path)
    try:
        if worker is not None:
            worker.hear()
        for _ in range(pairs):
            if worker is not None:
                found["jpc"].append(worker.ask("step", 1.0)["seconds"])
            clock = Clock()
            run(members, clock.told)
            found["group"].append(clock.seconds(steps))
            found["sweep"].append(in_a_sweep(group, data, training))
    finally:
        if worker is not None:
            worker.close()
    of_group = spread(ratios(found["group"], found["sweep"])).times(100)
    beside = spread(ratios(found["jpc"], found["group"])) if found["jpc"] else "-"
    shown = [spread(values).times(1e3) if values else "-" for values in found.values()]
    return [width, *shown, beside, of_group]


def main(words: list[str] | None = None) -> None:
    """Every width, and the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jpc", metavar="PYTHON", help="interpreter with jpc")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 512])
    parser.add_argument("--data", default="fashion_mnist")
    options = parser.parse_args(words)
    data = load(options.data, examples=EXAMPLES)
    lines = [f"{options.pairs} pairs, {options.steps} steps, load at the start {os.getloadavg()[0]:.2f}"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measured(width, data, options.steps, options.pairs, options.jpc, Path(folder)) for width in options.widths
        ]
    head = ["width", "jpc ms", "group ms", "sweep ms", "jpc / group", "% of the group's rate in a sweep"]
    lines += [table(head, rows), f"load at the end {os.getloadavg()[0]:.2f}"]
    print("\n".join(lines))
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H%M")
    (RESULTS / f"throughput_{stamp}.log").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
