"""`widthwise derive`: exponents by measurement, for an algorithm of ours or one's own."""

from collections.abc import Sequence
from typing import Any

from .._errors import InputError
from ..config import LOSSES, Run, algorithm_of, build_of, found, misplaced
from ..parameterizations import OWN, Parameterization, fraction, load
from ._check import IMAGE_SHAPE, IN_SIZE, OUT_SIZE, PROBE_EPSILON
from ._flags import Parser, add_run_flags, given
from ._own_algorithm import add_rule_flag, own_rule, with_rule
from ._progress import progress
from ._shared import run_from, use_dtype, write_result

WIDTHS = (64, 128, 256, 512)
# What a table's file says itself.
FIXED = ("optimizer", "gamma_bar", "output_loss", "base_width")


def run(arguments: Sequence[str]) -> int:
    """Derive a table; exit code 1 where an exponent is not sure."""
    parser = Parser(
        prog="widthwise derive",
        description="Exponents of init, rate and epsilon with which every layer moves as it should, by measurement.",
    )
    add_run_flags(parser, "derive")
    parser.add_argument("--depths", nargs="+", type=int, metavar="DEPTH", help="measure exponents of depth too")
    add_rule_flag(parser)
    parser.add_argument("--start", metavar="FILE", help="a table where the search begins, in the gauge to be kept")
    parser.add_argument("--rate", type=float, help="base rate (chosen at every size)")
    parser.add_argument("--seeds", type=int, default=16, help="paired over sizes (16)")
    parser.add_argument("--denominator", type=int, default=4, help="of the fractions to round to (4)")
    parser.add_argument("--algorithm", help="bp, pc, tp or dtp (bp)")
    parser.add_argument("--json", metavar="FILE", help="write the table, to be read as a parameterization")
    values = parser.parse_all(arguments)
    settings = with_rule(given(values))
    widths = settings.pop("width", list(WIDTHS))
    if values.depths is not None and "depth" in settings:
        raise InputError(
            f"--depth {settings['depth']} and --depths {values.depths}",
            setting="--depth",
            value=settings["depth"],
            remedy="give one of them",
        )
    spec = run_from(settings)
    use_dtype(spec)
    from ..measure import derive, start_table

    if values.start is None:
        start = _start(spec, values.depths is not None, start_table)
    else:
        start = _loaded(values.start, spec)
    rule = algorithm_of(spec, start) if values.rule is None else own_rule(values.rule, spec)

    def build(*sizes: Any) -> Any:
        *numbers, key, table = sizes
        changed = dict(zip(("width", "depth"), numbers, strict=False))
        return build_of(spec.model_copy(update=changed), table, IN_SIZE, OUT_SIZE, IMAGE_SHAPE)(key)

    bar = progress(0, "measurements")
    try:
        result = derive(
            build,
            rule,
            optimizer=start.optimizer,
            richness=fraction("1/2" if spec.richness is None else spec.richness),
            start=start,
            widths=widths,
            depths=values.depths,
            seeds=values.seeds,
            steps=1 if spec.steps is None else spec.steps,
            rate=values.rate,
            loss=found(spec.loss, LOSSES),
            epsilon=PROBE_EPSILON if spec.epsilon is None else spec.epsilon,
            denominator=values.denominator,
            on_round=lambda text: bar.advance(1, text),
        )
    finally:
        bar.close()
    print(result)
    payload = result.to_json()
    table = payload.pop("table") or {}
    write_result(values.json, table | {"derivation": payload})
    return 1 if result.table is None else 0


def _loaded(path: str, spec: Run) -> Parameterization:
    """A table's file, which fixes what flags of the table would say.

    **Raises:** `InputError` for such flags beside it.
    """
    fixed = {name: getattr(spec, name) for name in FIXED if getattr(spec, name) is not None}
    if fixed:
        raise misplaced(fixed, f"--start {path} fixes the table", "give one of them")
    return load(path)


def _start(spec: Run, deep: bool, start_table: Any) -> Parameterization:
    """What is known before anything is measured, for the optimizer and the precision that are asked for."""
    own = {name: getattr(spec, name) for name in ("gamma_bar", "output_loss") if getattr(spec, name) is not None}
    if spec.algorithm not in ("pc", OWN) and own:
        raise misplaced(own, f"of predictive coding (--algorithm pc), not of {spec.algorithm}", "leave it out")
    return start_table(
        spec.algorithm,
        "sgd" if spec.optimizer is None else spec.optimizer,
        gamma_bar=fraction(0 if spec.gamma_bar is None else spec.gamma_bar),
        output_loss="weighted" if spec.output_loss is None else spec.output_loss,
        deep=deep,
        base_width=64 if spec.base_width is None else spec.base_width,
    )
