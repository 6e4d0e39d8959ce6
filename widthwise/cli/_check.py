"""`widthwise check`: the coordinate check over width or depth, and the signal-flow desiderata."""

from collections.abc import Sequence
from typing import Any

from .._errors import InputError
from ..config import LOSSES, algorithm_of, build_of, found, optimizer_settings, table_of
from ..parameterization import fraction
from ._flags import Parser, add_run_flags, given
from ._output import progress, run_from, use_dtype, write_result

WIDTHS = (128, 256, 512, 1024)
# The probe of docs/theory.md: eight inputs, three outputs.
IN_SIZE, OUT_SIZE = 8, 3
# As large as what the smallest strides and poolings leave an answer to.
IMAGE_SHAPE = (8, 8, 1)
# Small beside the gradients of a probe that hardly moves.
PROBE_EPSILON = 1e-12


def run(arguments: Sequence[str]) -> int:
    """Check a parameterization; exit code 1 where a line fails."""
    parser = Parser(prog="widthwise check", description="Movement of every layer against width, and its verdict.")
    add_run_flags(parser, "check")
    parser.add_argument("--depths", nargs="+", type=int, metavar="DEPTH", help="over depth instead, at one width")
    parser.add_argument("--rate", type=float, help="base rate (chosen at the smallest width)")
    parser.add_argument("--seeds", type=int, default=16, help="paired over widths (16)")
    parser.add_argument(
        "--desiderata", action="store_true",
        help="of the first update instead, without a rate: is every layer's part in it of order one?",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the lines")
    values = parser.parse_all(arguments)
    settings = given(values)
    if values.desiderata:
        _refuse_unused(settings, values.rate, values.depths)
    if values.depths is not None:
        _refuse_sizes(settings, values.depths)
    widths = settings.pop("width", list(WIDTHS))
    axis, sizes = ("width", widths) if values.depths is None else ("depth", values.depths)
    # Beside another name than `richness`, r says what to expect of the movement, not which table to make.
    richness = settings.get("richness")
    if settings.get("parameterization") != "richness":
        settings.pop("richness", None)
    spec = run_from(settings)
    use_dtype(spec)
    from ..measure import coordinate_check, desiderata
    from ..network import Built

    table = table_of(spec)
    rule = algorithm_of(spec, table)
    chosen = {"epsilon": PROBE_EPSILON} | optimizer_settings(spec, table)

    def build(size: int, key: Any) -> Built:
        fixed = {} if values.depths is None else {"width": widths[0]}
        return build_of(spec.model_copy(update=fixed | {axis: size}), table, IN_SIZE, OUT_SIZE, IMAGE_SHAPE)(key)

    bar = progress(len(sizes), f"{axis}s")
    shared: dict[str, Any] = {
        "widths": widths,
        "seeds": values.seeds,
        "loss": found(spec.loss, LOSSES),
        "epsilon": chosen["epsilon"],
        "on_width": lambda size: bar.advance(1, f"{axis} {size}"),
    }
    try:
        if values.desiderata:
            check: Any = desiderata(build, rule, table, **shared)
        else:
            check = coordinate_check(
                build,
                rule,
                table,
                depths=values.depths,
                steps=4 if spec.steps is None else spec.steps,
                rate=values.rate,
                richness=None if richness is None else fraction(richness),
                momentum=chosen["momentum"],
                **shared,
            )
    finally:
        bar.close()
    print(check)
    write_result(values.json, check.to_json())
    return 0 if check.passed else 1


def _refuse_sizes(settings: dict[str, Any], depths: list[int]) -> None:
    """Over depth: residual networks, one width, and no depth beside the depths."""
    if "depth" in settings:
        raise InputError(f"--depth {settings['depth']} and --depths {depths}: give one of them")
    if settings.get("network") not in ("residual_mlp", "residual_cnn"):
        raise InputError(
            f"--depths {depths}: only residual networks have exponents of depth (--network residual_mlp, residual_cnn)"
        )
    if len(settings.setdefault("width", [128])) != 1:
        raise InputError(f"--depths {depths} with --widths {settings['width']}: over depth, give one width")


def _refuse_unused(settings: dict[str, Any], rate: float | None, depths: list[int] | None) -> None:
    """What the first update's direction does not depend on."""
    unused: list[str] = [name for name in ("steps", "momentum") if name in settings]
    unused += ["rate"] if rate is not None else []
    unused += ["depths"] if depths is not None else []
    if settings.get("parameterization") != "richness" and "richness" in settings:
        unused.append("richness")
    if unused:
        flags = ", ".join("--" + name for name in unused)
        raise InputError(f"{flags}: the desiderata are of the first update's direction, which has none: leave it out")
