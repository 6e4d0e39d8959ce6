"""`widthwise tune`: the best rate of a small network, for `transfer --verify` and `train --tuned` at a large one."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from ..config import data_of, identity, label_of
from ._compilation import use_compilation_cache
from ._flags import Parser, add_cache_flag, add_run_flags, add_select_flag, given
from ._own_algorithm import add_rule_flag, own_rule, with_rule
from ._progress import progress, runs_told
from ._shared import run_from, use_dtype, write_result
from ._transfer import tried


def run(arguments: Sequence[str]) -> int:
    """Search, or go on with a search."""
    values = _parser().parse_all(arguments)
    spec = run_from(with_rule(given(values)))
    use_dtype(spec)
    use_compilation_cache(not values.no_compilation_cache)
    from ..sweep import RunStore, grid, run_search, write_json
    from ..sweep.engines import group_of, training_of

    axes = [grid(*values.log2_rates)]
    if values.log2_activity_rates is not None:
        axes.append(grid(*values.log2_activity_rates, what="log2 activity rates"))
    data = data_of(spec)
    own = None if values.rule is None else own_rule(values.rule, spec)
    group = group_of(spec, label_of(spec), data, axes[1] if len(axes) > 1 else None, own)
    training = training_of(spec, group.table)
    tried([group], training, len(data.x_train))
    known = identity(spec, data.digest, group.table)
    sought = {"axes": axes, "runs": values.runs, "seeds": values.seeds, "search": values.search}
    store = None if values.out is None else RunStore.open(values.out, kind="tune", spec=known | sought)
    already = 0 if store is None else len(store)
    bar = progress(values.runs, "runs")
    try:
        result = run_search(
            group,
            data,
            training,
            axes,
            values.runs,
            values.seeds,
            search=values.search,
            select=values.select,
            settings={name: value for name, value in spec.model_dump().items() if value is not None},
            identity=known,
            command=shlex.join(["widthwise", "tune", *arguments]),
            store=store,
            on_runs=runs_told(bar, already),
        )
        if values.out is not None:
            write_json(Path(values.out) / "tuned.json", result.payload)
    finally:
        bar.close()
        if store is not None:
            store.close()
    print(result.summary())
    write_result(values.json, result.payload)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="widthwise tune", description="Find the best rate of a small network with a budget of runs.")
    add_run_flags(parser, "tune")
    add_rule_flag(parser)
    add_cache_flag(parser)
    parser.add_argument(
        "--log2-rates", nargs=3, type=float, default=[-5.0, 2.0, 1.0], metavar=("START", "STOP", "STEP"),
        help="range of the base rate's log2, and the first step (-5 2 1)",
    )  # fmt: skip
    parser.add_argument(
        "--log2-activity-rates", nargs=3, type=float, metavar=("START", "STOP", "STEP"),
        help="the same of the activity rate, searched beside it",
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=40, help="the budget: at most so many (40)")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs each rate takes (3)")
    parser.add_argument(
        "--search", default="halving",
        help="halving, a grid whose step halves around the best point; grid; or optuna (halving)",
    )  # fmt: skip
    add_select_flag(parser)
    parser.add_argument("--out", metavar="DIR", help="store runs and tuned.json; resumes")
    parser.add_argument("--json", metavar="FILE", help="write what tuned.json holds")
    return parser
