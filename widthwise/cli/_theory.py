"""`widthwise theory conditioning`: how badly conditioned inference is, over width, depth and training."""

import dataclasses
import itertools
import math
import shlex
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from .._errors import InputError, unknown
from ..config import CONVOLUTIONAL, TAKES, Run, algorithm_of, build_of, data_of, table_of
from ..report import SUFFIXES
from ._flags import Parser, add_run_flags, given
from ._progress import progress
from ._shared import check_figure, run_from, write_result

TOPICS = ("conditioning",)
ITERATIONS = 200
GROUP = ("parameterization", "width", "depth", "step")
HEAD = ("parameterization", "width", "depth", "step", "lambda_min", "lambda_max", "kappa", "1+|C|", "iterations")


def run(arguments: Sequence[str]) -> int:
    """Measure, print medians over seeds, draw and store."""
    parser = Parser(
        prog="widthwise theory",
        description="Condition number of inference on activities (kappa) and on errors (1+|C|), and the iterations "
        "that inference needs, for predictive coding networks at initialization and during training with Adam.",
    )
    parser.add_argument("topic", help=", ".join(TOPICS))
    add_run_flags(parser, "theory")
    parser.add_argument("--seeds", type=int, default=1, help="how many (1)")
    parser.add_argument("--train-steps", nargs="+", type=int, default=[0], metavar="STEP", help="when to measure (0)")
    parser.add_argument("--rate", type=float, help="base learning rate, needed for steps above 0")
    parser.add_argument("--out", metavar="FIGURE", help=f"draw kappa against depth and width ({', '.join(SUFFIXES)})")
    parser.add_argument("--json", metavar="FILE", help="write every seed's numbers")
    values = parser.parse_all(arguments)
    if values.topic not in TOPICS:
        raise unknown("topic", values.topic, TOPICS)
    check_figure(values.out)
    runs = _expanded(given(values))
    rows = _measured(runs, values)
    print(_text(rows))
    payload = {
        "command": shlex.join(["widthwise", "theory", *arguments]),
        "settings": runs[0].model_dump(exclude={"table", "width", "depth", "parameterization"}),
        "rows": rows,
    }
    write_result(values.json, payload)
    if values.out is not None:
        from ..report import conditioning_figure, save

        save(conditioning_figure(payload), values.out)
    return 0


def _expanded(values: dict[str, Any]) -> list[Run]:
    """One run for every parameterization, width and depth: predictive coding, Adam, settled in many iterations."""
    counted = "iterations" in TAKES.get(values.get("relaxation", "error"), {"iterations"})
    fixed: dict[str, Any] = {"algorithm": "pc"} | ({"iterations": ITERATIONS} if counted else {}) | values
    axes = {name: fixed.pop(name, [Run.model_fields[name].default]) for name in ("parameterization", "width", "depth")}
    runs = []
    for name in dict.fromkeys(axes["parameterization"]):
        # A table's file says itself which optimizer it is for.
        own = {"parameterization": name} | ({} if name.endswith(".json") else {"optimizer": "adam"})
        sizes = itertools.product(sorted(set(axes["width"])), sorted(set(axes["depth"])))
        runs += [run_from(fixed | own | {"width": width, "depth": depth}) for width, depth in sizes]
    return runs


def _measured(runs: Sequence[Run], values: Any) -> list[dict[str, Any]]:
    """One row for every run, seed and step."""
    import jax

    # Condition numbers of 1e20 and activities of 1e18 leave float32 no digits; training keeps its own type.
    jax.config.update("jax_enable_x64", True)
    import equinox as eqx

    from ..measure import conditioning

    data = data_of(runs[0])
    jobs: list[Any] = []
    for spec in runs:
        if spec.network in CONVOLUTIONAL:
            raise InputError(
                f"--network {spec.network} has images, which conditioning is not of",
                setting="--network",
                value=spec.network,
                remedy="use mlp or residual_mlp",
            )
        table = table_of(spec)
        build = build_of(spec, table, data.in_size, data.out_size)
        # Every size is tried before hours are spent.
        eqx.filter_eval_shape(build, jax.random.key(0))
        jobs.append((spec, build, algorithm_of(spec, table)))
    rows: list[dict[str, Any]] = []
    bar = progress(len(runs) * values.seeds * len(set(values.train_steps)), "measurements")
    try:
        for spec, build, algorithm in jobs:
            measured = conditioning(
                build,
                algorithm,
                data,
                seeds=values.seeds,
                steps=values.train_steps,
                rate=values.rate,
                batch_size=spec.batch_size,
                on_measured=lambda one: bar.advance(1, f"seed {one.seed} step {one.step}"),
            )
            labels = {"parameterization": spec.parameterization, "width": spec.width, "depth": spec.depth}
            rows += [labels | dataclasses.asdict(one) for one in measured]
    finally:
        bar.close()
    return rows


def _text(rows: Sequence[dict[str, Any]]) -> str:
    """Medians over seeds; a + marks iterations that half of the examples and more ended without settling."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    lines = [f"{HEAD[0]:18s}" + "".join(f"{name:>12s}" for name in HEAD[1:])]
    for labels, members in groups.items():
        numbers = [
            _median(row[name] for row in members)
            for name in ("smallest", "largest", "condition_number", "error_condition_number")
        ]
        settled = _median(row["converged"] for row in members) >= 0.5
        iterations = _median(row["iterations"] for row in members)
        counted = "-" if math.isnan(iterations) else f"{iterations:.0f}{'' if settled else '+'}"
        line = f"{labels[0]:18s}" + "".join(f"{label:12d}" for label in labels[1:])
        lines.append(line + "".join(f"{number:12.4g}" for number in numbers) + f"{counted:>12s}")
    return "\n".join(lines)


def _median(values: Iterable[float]) -> float:
    """The median, NaN where one is."""
    listed = list(values)
    return math.nan if any(math.isnan(value) for value in listed) else statistics.median(listed)
