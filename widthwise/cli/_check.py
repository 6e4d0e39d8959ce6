"""`widthwise check`: the coordinate check over width or depth, and the signal-flow desiderata."""

from collections.abc import Sequence
from typing import Any

from .._errors import InputError
from ..config import LOSSES, Run, algorithm_of, build_of, found, label_of, misplaced, optimizer_settings, table_of
from ..parameterizations import fraction
from ..report import SUFFIXES
from ._flags import Parser, add_run_flags, given
from ._own_algorithm import add_rule_flag, own_rule, with_rule
from ._progress import progress
from ._shared import check_figure, run_from, use_dtype, write_result

WIDTHS = (128, 256, 512, 1024)
# The probe of docs/theory.md: eight inputs, three outputs.
IN_SIZE, OUT_SIZE = 8, 3
# As large as what the smallest strides and poolings leave an answer to.
IMAGE_SHAPE = (8, 8, 1)
# Small beside the gradients of a probe that hardly moves.
PROBE_EPSILON = 1e-12


def run(arguments: Sequence[str]) -> int:
    """Check a parameterization; exit code 1 where a line fails."""
    values = _parser().parse_all(arguments)
    settings = with_rule(given(values))
    times = _times(values, settings)
    check_figure(values.out)
    if values.desiderata:
        _refuse_unused(settings, values)
    if values.depths is not None:
        _refuse_sizes(settings, values.depths)
    widths = settings.pop("width", list(WIDTHS))
    specs = [_spec(settings, None)]
    if values.against is not None:
        # Two tables of one algorithm: the second's file does not choose it.
        specs.append(_spec(settings | {"algorithm": specs[0].algorithm}, values.against))
    if len({label_of(spec) for spec in specs}) < len(specs):
        raise InputError(
            f"--against {values.against} is the table under test",
            setting="--against",
            value=values.against,
            remedy="name another",
        )
    for spec in specs:
        # Before anything is measured.
        table_of(spec)
    use_dtype(specs[0])
    own = None if values.rule is None else own_rule(values.rule, specs[0])
    sizes = widths if values.depths is None else values.depths
    bar = progress(len(sizes) * len(specs) * len(times), "widths" if values.depths is None else "depths")
    checks = {}
    try:
        for spec in specs:
            rate = values.rate
            for steps in times:
                title = label_of(spec) if len(times) == 1 else f"{label_of(spec)}, steps: {steps}"
                checks[title] = check = _checked(spec, own, values, settings, widths, steps, rate, bar)
                # All times of a table have the rate of the first.
                rate = getattr(check, "rate", None)
    finally:
        bar.close()
    for title, check in checks.items():
        print(f"{title}:\n{check}" if len(checks) > 1 else check)
    payloads = {title: check.to_json() for title, check in checks.items()}
    write_result(values.json, payloads if len(payloads) > 1 else next(iter(payloads.values())))
    if values.out is not None:
        from ..report import save, slopes_figure

        print(f"figure: {save(slopes_figure(payloads), values.out)}")
    under_test = list(checks.values())[: len(times)]
    return 0 if all(check.passed for check in under_test) else 1


def _parser() -> Parser:
    parser = Parser(prog="widthwise check", description="Movement of every layer against width, and its verdict.")
    add_run_flags(parser, "check")
    add_rule_flag(parser)
    parser.add_argument("--depths", nargs="+", type=int, metavar="DEPTH", help="over depth instead, at one width")
    parser.add_argument("--times", nargs="+", type=int, metavar="STEPS", help="after each of these numbers of steps")
    parser.add_argument("--rate", type=float, help="base rate (chosen at the smallest width)")
    parser.add_argument("--seeds", type=int, default=16, help="paired over widths (16)")
    parser.add_argument(
        "--desiderata", action="store_true",
        help="of the first update instead, without a rate: is every layer's part in it of order one?",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="TABLE", help="a second parameterization, measured beside it; it does not decide"
    )
    parser.add_argument("--out", metavar="FIGURE", help=f"draw the slopes ({', '.join(SUFFIXES)})")
    parser.add_argument("--json", metavar="FILE", help="write the lines")
    return parser


def _times(values: Any, settings: dict[str, Any]) -> list[int | None]:
    """After how many steps to look; None for as many as one check takes."""
    if values.times is None:
        return [settings.get("steps")]
    if "steps" in settings:
        raise InputError(
            f"--steps {settings['steps']} and --times {values.times}",
            setting="--steps",
            value=settings["steps"],
            remedy="give one of them",
        )
    if values.times != sorted(set(values.times)) or values.times[0] < 1:
        raise InputError(
            f"--times {values.times}",
            setting="--times",
            value=values.times,
            remedy="expected increasing numbers of steps, of at least 1, as 1 4 16",
        )
    return list(values.times)


def _spec(settings: dict[str, Any], other: str | None) -> Run:
    """The run of the table under test, or of the other one."""
    chosen = dict(settings) if other is None else settings | {"parameterization": other}
    # Beside another name than `richness`, r says what to expect of the movement, not which table to make.
    if chosen.get("parameterization") != "richness":
        chosen.pop("richness", None)
    return run_from(chosen)


def _checked(
    spec: Run,
    own: Any,
    values: Any,
    settings: dict[str, Any],
    widths: list[int],
    steps: int | None,
    rate: float | None,
    bar: Any,
) -> Any:
    """One table's check, or its desiderata."""
    from ..measure import coordinate_check, desiderata
    from ..network import Built

    table = table_of(spec)
    rule = algorithm_of(spec, table) if own is None else own
    chosen = {"epsilon": PROBE_EPSILON} | optimizer_settings(spec, table)
    axis = "width" if values.depths is None else "depth"

    def build(size: int, key: Any) -> Built:
        fixed = {} if values.depths is None else {"width": widths[0]}
        return build_of(spec.model_copy(update=fixed | {axis: size}), table, IN_SIZE, OUT_SIZE, IMAGE_SHAPE)(key)

    shared: dict[str, Any] = {
        "widths": widths,
        "seeds": values.seeds,
        "loss": found(spec.loss, LOSSES),
        "epsilon": chosen["epsilon"],
        "on_width": lambda size: bar.advance(1, f"{axis} {size}"),
    }
    if values.desiderata:
        return desiderata(build, rule, table, **shared)
    richness = settings.get("richness")
    return coordinate_check(
        build,
        rule,
        table,
        depths=values.depths,
        steps=4 if steps is None else steps,
        rate=rate,
        richness=None if richness is None else fraction(richness),
        momentum=chosen["momentum"],
        **shared,
    )


def _refuse_sizes(settings: dict[str, Any], depths: list[int]) -> None:
    """Over depth: residual networks, one width, and no depth beside the depths."""
    if "depth" in settings:
        raise InputError(
            f"--depth {settings['depth']} and --depths {depths}",
            setting="--depth",
            value=settings["depth"],
            remedy="give one of them",
        )
    if settings.get("network") not in ("residual_mlp", "residual_cnn"):
        raise InputError(
            f"--depths {depths}: only residual networks have exponents of depth",
            setting="--depths",
            value=depths,
            remedy="give --network residual_mlp or residual_cnn",
        )
    if len(settings.setdefault("width", [128])) != 1:
        raise InputError(
            f"--depths {depths} with --widths {settings['width']}",
            setting="--widths",
            value=settings["width"],
            remedy="over depth, give one width",
        )


def _refuse_unused(settings: dict[str, Any], values: Any) -> None:
    """What the first update's direction does not depend on, and the figure, which is of slopes against desired ones."""
    unused: dict[str, Any] = {name: settings[name] for name in ("steps", "momentum") if name in settings}
    taken = {name: getattr(values, name) for name in ("rate", "depths", "times", "out")}
    unused |= {name: value for name, value in taken.items() if value is not None}
    if settings.get("parameterization") != "richness" and "richness" in settings:
        unused["richness"] = settings["richness"]
    if unused:
        raise misplaced(unused, "the desiderata are of the first update's direction, which has none", "leave it out")
