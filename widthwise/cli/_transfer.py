"""`widthwise transfer`: sweep rates over sizes, store every run, and say whether the best rate moved."""

import shlex
from collections.abc import Sequence
from typing import Any

from .._errors import InputError
from ..config import PREDICTIVE_CODING, Run, data_of, identity, label_of, misplaced
from ._compilation import use_compilation_cache
from ._engine import add_engine_flags, check_engine_flags, engine_of
from ._flags import PLURAL, Parser, add_cache_flag, add_run_flags, add_select_flag, given
from ._own_algorithm import add_rule_flag, own_rule, with_rule
from ._progress import progress, runs_told
from ._shared import run_from, use_dtype, write_result
from ._tuned import Tuned, read_tuned

LOG2_RATES = (-5.0, 2.0, 0.5)


def run(arguments: Sequence[str]) -> int:
    """Run a sweep, or what is left of it."""
    values = _parser().parse_all(arguments)
    tuned = None if values.verify is None else _to_verify(values)
    flags = with_rule(given(values))
    if values.rule is not None:
        flags["algorithm"] = [flags["algorithm"]]
    axis, runs = expanded(_settings(flags, tuned), values.grid)
    if values.activity_rate is not None and values.log2_activity_rates is not None:
        raise InputError(
            f"--activity-rate {values.activity_rate} and --log2-activity-rates",
            setting="--activity-rate",
            value=values.activity_rate,
            remedy="give one of them",
        )
    check_engine_flags(values)
    use_dtype(runs[0])
    use_compilation_cache(not values.no_compilation_cache)
    from ..sweep import RunStore, TensorBoard, around, grid, run_sweep
    from ..sweep.engines import training_of

    mirror = None if values.tensorboard is None else TensorBoard(values.tensorboard)
    rates = grid(*(values.log2_rates or LOG2_RATES)) if tuned is None else around(tuned.log2_rate)
    swept = {"log2_rates": rates}
    if values.log2_activity_rates is not None:
        swept["log2_activity_rates"] = grid(*values.log2_activity_rates, what="log2 activity rates")
    data = data_of(runs[0])
    own = None if values.rule is None else own_rule(values.rule, runs[0])
    groups, identities = _groups(runs, data, swept.get("log2_activity_rates"), own)
    training = training_of(runs[0], groups[0].table)
    tried(groups, training, len(data.x_train))
    engine = engine_of(values, runs, groups, identities, data)
    # By number, so that a refusal to resume names the setting that differs.
    numbered = {str(index): one for index, one in enumerate(identities)}
    whole = {"groups": numbered, "seeds": values.seeds} | swept
    store = None if values.out is None else RunStore.open(values.out, kind="transfer", spec=whole)
    total = sum(len(group.members(rates, range(values.seeds))) for group in groups)
    already = 0 if store is None else len(store)
    bar = progress(total, "runs")
    count = runs_told(bar, already)

    def tell(rows: list[dict[str, Any]]) -> None:
        count(rows)
        if mirror is not None:
            mirror.runs(rows)

    try:
        result = run_sweep(
            groups,
            data,
            training,
            rates,
            values.seeds,
            axis=axis,
            settings=_shown(runs, values.seeds, swept),
            identities=identities,
            command=shlex.join(["widthwise", "transfer", *arguments]),
            store=store,
            engine=engine,
            select=values.select,
            # A verified rate was tuned elsewhere: the sizes here are not compared with each other.
            tuned_rates=tuned is None,
            on_runs=tell,
            on_more=bar.extend,
        )
        if tuned is not None:
            result.payload["verification"] = _verified(result.curves, tuned, values.select)
        if values.out is not None:
            print(f"report: {result.write(values.out)}")
    finally:
        bar.close()
        if store is not None:
            store.close()
    print(result.summary())
    write_result(values.json, result.payload)
    return 0 if tuned is None or all(row["passes"] for row in result.payload["verification"]["rows"]) else 1


def _to_verify(values: Any) -> Tuned:
    """The tuned rate that a sweep verifies.

    **Raises:** `InputError` for rates given beside it, and where no size is named to verify it at.
    """
    for name in ("log2_rates", "log2_activity_rates"):
        if getattr(values, name) is not None:
            given = {name: getattr(values, name)}
            raise misplaced(given, "--verify takes the rates around the tuned one", "give one of them")
    if values.width is None and values.depth is None:
        raise InputError(
            f"--verify {values.verify} and no size to verify at",
            setting="--verify",
            value=values.verify,
            remedy="name one, as --widths 1024",
        )
    return read_tuned(values.verify)


def _settings(flags: dict[str, Any], tuned: Tuned | None) -> dict[str, Any]:
    """The flags of a sweep, over what was tuned where a tuned rate is verified."""
    if tuned is None:
        return flags
    values = tuned.beneath(flags)
    return {name: [value] if name in PLURAL and name not in flags else value for name, value in values.items()}


def _verified(curves: list[dict[str, Any]], tuned: Tuned, select: str) -> dict[str, Any]:
    """What the report and the text say of the tuned rate."""
    from ..sweep import verify

    return {"tuned_at": tuned.place, "rows": verify(curves, tuned.log2_rate, select)}


def _parser() -> Parser:
    parser = Parser(prog="widthwise transfer", description="Find the best rate at every size.")
    add_run_flags(parser, "transfer")
    add_rule_flag(parser)
    add_cache_flag(parser)
    add_engine_flags(parser)
    parser.add_argument(
        "--log2-rates", nargs=3, type=float, metavar=("START", "STOP", "STEP"),
        help="grid of the base rate's log2, STOP included (-5 2 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--log2-activity-rates", nargs=3, type=float, metavar=("START", "STOP", "STEP"),
        help="grid of the activity rate's log2, instead of one: every pair of rates is run",
    )  # fmt: skip
    parser.add_argument(
        "--verify", metavar="FILE",
        help="of `widthwise tune`: run its settings at these sizes, at its rate and two on either side; exit code 1 "
        "unless its rate is known to cost at most 5 %%",
    )  # fmt: skip
    parser.add_argument("--grid", action="store_true", help="several widths and several depths: every pair of them")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    add_select_flag(parser)
    parser.add_argument("--out", metavar="DIR", help="store runs, transfer.json and report.html; resumes")
    parser.add_argument("--json", metavar="FILE", help="write what transfer.json holds")
    parser.add_argument("--tensorboard", metavar="DIR", help="copy every run's curve and measurements there")
    return parser


def _groups(
    runs: Sequence[Run], data: Any, log2_activity_rates: Sequence[float] | None, own: Any = None
) -> tuple[list[Any], list[dict[str, Any]]]:
    """The sweep's groups, one a run, and what defines each."""
    from ..sweep.engines import group_of

    # As with other settings of predictive coding: backprop goes without beside it, and refuses it alone.
    users = {run.algorithm for run in runs} & {"pc"} or {runs[0].algorithm}
    groups, identities = [], []
    for spec, name in zip(runs, _labels(runs), strict=True):
        group = group_of(spec, name, data, log2_activity_rates if spec.algorithm in users else None, own)
        groups.append(group)
        identities.append(identity(spec, data.digest, group.table))
    return groups, identities


def expanded(values: dict[str, Any], grid: bool = False) -> tuple[str, list[Run]]:
    """The runs of a sweep, one a group, in order; and its axis, the size flag that has several values, or `"grid"`.

    **Raises:** `InputError` where widths and depths both have several values without `grid`, or not both with it.
    """
    sizes = {name: values.get(name, [Run.model_fields[name].default]) for name in ("width", "depth")}
    several = [name for name, found in sizes.items() if len(set(found)) > 1]
    shown = f"--widths {sizes['width']} and --depths {sizes['depth']}"
    if len(several) > 1 and not grid:
        raise InputError(
            shown,
            setting="--widths",
            value=sizes["width"],
            remedy="one of them may have several values, or both with --grid",
        )
    if len(several) < 2 and grid:
        raise InputError(
            f"{shown}: --grid is for several values of both",
            setting="--depths" if "width" in several else "--widths",
            value=sizes["depth" if "width" in several else "width"],
            remedy="give them, or leave --grid out",
        )
    axis = "grid" if grid else several[0] if several else "width"
    chosen = {name: list(dict.fromkeys(values.pop(name))) for name in PLURAL if name in values}
    # Where no size is given the run knows its network's own: five layers of vgg, ten of residual_cnn.
    # The same of the algorithm: a table's file says which one it is for.
    own = {name for name in (*sizes, "algorithm") if name not in chosen}
    chosen = {name: chosen.get(name, [Run.model_fields[name].default]) for name in PLURAL}
    runs = []
    for algorithm in chosen["algorithm"]:
        # A setting of predictive coding may stand beside bp and pc; beside bp alone it is an error.
        other = algorithm != "pc" and "pc" in chosen["algorithm"]
        kept = {
            k: v for k, v in values.items() if not (other and k in (*PREDICTIVE_CODING, "gamma_bar", "output_loss"))
        }
        for parameterization in chosen["parameterization"]:
            # Beside the name `richness`, r is for that name alone.
            if parameterization != "richness" and "richness" in chosen["parameterization"]:
                kept = {k: v for k, v in kept.items() if k != "richness"}
            elif "richness" in values:
                kept = kept | {"richness": values["richness"]}
            for width in sorted(chosen["width"]):
                for depth in sorted(chosen["depth"]):
                    one = {"algorithm": algorithm, "parameterization": parameterization, "width": width, "depth": depth}
                    runs.append(run_from(kept | {name: value for name, value in one.items() if name not in own}))
    return axis, runs


def _labels(runs: Sequence[Run]) -> list[str]:
    """What curves call each run's parameterization.

    **Raises:** `InputError` where two have one label: their curves would be averaged as one's.
    """
    labels = [label_of(run) for run in runs]
    seen: dict[str, str] = {}
    for run, label in zip(runs, labels, strict=True):
        other = seen.setdefault(label, run.parameterization)
        if other != run.parameterization:
            raise InputError(
                f"--parameterization {other} {run.parameterization}: curves would call both {label!r}",
                setting="--parameterization",
                value=[other, run.parameterization],
                remedy="rename a file",
            )
    return labels


def tried(groups: Sequence[Any], training: Any, count: int) -> None:
    """Every group's settings, tried before hours are spent: abstractly built, nothing computed."""
    import jax

    from ..sweep import with_activity_rate
    from ..training import chosen_update, schedule

    schedule(training.decay, training.total(count), training.warmup)
    for group in groups:
        import equinox as eqx

        if group.log2_activity_rates is not None:
            with_activity_rate(group.algorithm, jax.numpy.ones(()))
        built = eqx.filter_eval_shape(group.build, jax.random.key(0))
        chosen_update(built, training.optimizer, **training.settings())


def _shown(runs: Sequence[Run], seeds: int, swept: dict[str, list[float]]) -> dict[str, Any]:
    """The sweep's settings for the report: those that were given, and the lists."""
    shown = {name: value for name, value in runs[0].model_dump(exclude={"table"}).items() if value is not None}
    for name in PLURAL:
        shown[name] = list(dict.fromkeys(getattr(run, name) for run in runs))
    spans = {name: f"{rates[0]} to {rates[-1]}, {len(rates)} values" for name, rates in swept.items()}
    return shown | {"seeds": seeds} | spans
