"""`widthwise gauge`: a table in another gauge, its place in the plane of parameterizations, and a proof by training."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from .._errors import InputError
from ..config import LOSSES, TABLE, Run, algorithm_of, build_of, found, misplaced, optimizer_settings, table_of
from ..parameterizations import GAUGES, TARGET, Parameterization, fraction, parameterization, to_json
from ..report import SUFFIXES
from ._check import IMAGE_SHAPE, IN_SIZE, OUT_SIZE
from ._flags import Parser, add_run_flags, given
from ._shared import check_figure, run_from, table_text, use_dtype, write_result

STEPS, RATE, EPSILON = 8, 0.05, 1e-8
# What a table needs; all other settings are of the network that a proof trains.
OF_TABLES = {*TABLE, "algorithm", "parameterization"}
RICHNESS = tuple(Fraction(numerator, 4) for numerator in range(3))


def run(arguments: Sequence[str]) -> int:
    """Move a table, and show, store or prove what was asked; exit code 1 where a proof fails."""
    parser = Parser(
        prog="widthwise gauge",
        description="Move width between multiplier, init, rate, epsilon and decay, which leaves training unchanged: "
        "W = M^-a w, (a, b, c) -> (a + t, b - t, c - 2t) for SGD, c - t for Adam. Other flags than the table's "
        "are of the network that --prove trains.",
    )
    add_run_flags(parser, "gauge")
    parser.add_argument("--moves", nargs="+", default=[], metavar="ROLE=T", help="then move roles by t, or t,t_depth")
    parser.add_argument("--prove", action="store_true", help="train both gauges side by side in float64")
    parser.add_argument("--rate", type=float, help=f"base rate of the proof ({RATE})")
    parser.add_argument("--out", metavar="FIGURE", help=f"draw the plane of parameterizations ({', '.join(SUFFIXES)})")
    parser.add_argument("--json", metavar="FILE", help="write the table, to be read as a parameterization")
    values = parser.parse_all(arguments)
    check_figure(values.out)
    settings = given(values)
    _refuse_unused(settings, values)
    gauge = settings.pop("gauge", None)
    spec = run_from(settings)
    table = table_of(spec)
    moved = table if gauge is None else table.in_gauge(gauge)
    moved = moved.gauged(_moves(values.moves)) if values.moves else moved
    print(table_text(to_json(moved)))
    print(_sentence(moved))
    write_result(values.json, to_json(moved))
    if values.out is not None:
        from ..report import plane_figure, save

        save(plane_figure(_plane(moved)), values.out)
    return _proved(spec, table, moved, RATE if values.rate is None else values.rate) if values.prove else 0


def _refuse_unused(settings: dict[str, Any], values: Any) -> None:
    """Settings of a network that nothing trains, a type that is no proof, and a proof of nothing."""
    unused = {name: settings[name] for name in sorted(set(settings) - OF_TABLES)}
    unused |= {} if values.rate is None else {"rate": values.rate}
    if unused and not values.prove:
        raise misplaced(unused, "of the network that --prove trains", "add --prove, or leave them out")
    if values.prove and settings.get("gauge") is None and not values.moves:
        raise InputError(
            "--prove compares a table with itself",
            setting="--prove",
            value=True,
            remedy="give another --gauge, or --moves",
        )
    if settings.setdefault("dtype", "float64") != "float64":
        raise InputError(
            f"--dtype {settings['dtype']} cannot show differences of 1e-12",
            setting="--dtype",
            value=settings["dtype"],
            remedy="leave it out",
        )


def _moves(given: Sequence[str]) -> dict[str, Any]:
    """role -> (t of width, t of depth)."""
    moves: dict[str, Any] = {}
    for text in given:
        role, equals, powers = text.partition("=")
        parts = powers.split(",")
        if not equals or len(parts) > 2:
            raise InputError(
                f"--moves {text}",
                setting="--moves",
                value=text,
                remedy="expected ROLE=T or ROLE=T,T_DEPTH, as in hidden=1/2",
            )
        if role in moves:
            raise InputError(
                f"--moves {text}: {role} is moved twice", setting="--moves", value=text, remedy="add the two"
            )
        moves[role] = (fraction(parts[0]), fraction(parts[1] if len(parts) > 1 else 0))
    return moves


def _sentence(table: Parameterization) -> str:
    """Where the table lies."""
    from ..theory import place

    found = place(table)
    return f"richness {found.richness}, {found.verdict}: {found.reason}"


def _plane(table: Parameterization) -> dict[str, Any]:
    """The family in its gauges, well-known points beside it, and the table, as plain numbers."""
    from ..theory import place

    def point(label: str, table: Parameterization, kind: str) -> dict[str, Any]:
        found = place(table)
        gauge = {role: float(a) for role, a in found.gauge.items()}
        row = {"label": label, "kind": kind, "richness": float(found.richness), "gauge": gauge}
        return row | {"verdict": found.verdict, "reason": found.reason}

    # Of target propagation, which has no scale of richness, backprop's plane says what a table of weights would be.
    settings: dict[str, Any] = {"optimizer": table.optimizer}
    settings |= {} if table.algorithm in TARGET else {"algorithm": table.algorithm, "gamma_bar": table.gamma_bar}
    family = [
        point(gauge, parameterization("richness", richness=r, gauge=gauge, **settings), "family")
        for gauge, r in itertools.product(GAUGES, RICHNESS)
    ]
    known = [
        point(label, parameterization(name, gauge=gauge, **settings), "known")
        for label, name, gauge in (("NTP", "ntp", "rescaling"), ("muP", "mup", "mup"), ("SP", "sp", "stp"))
    ]
    own = point(f"{table.name}, gauge {table.gauge or 'own'}", table, "own")
    return {"points": [*family, *known, own], "optimizer": table.optimizer, "algorithm": table.algorithm}


def _proved(spec: Run, table: Parameterization, moved: Parameterization, rate: float) -> int:
    """Train both tables, and say how far apart they ever are."""
    use_dtype(spec)
    from ..measure import prove_gauge
    from ..network import Built

    chosen = {"epsilon": EPSILON} | optimizer_settings(spec, table)

    def build(table: Parameterization, key: Any) -> Built:
        return build_of(spec, table, IN_SIZE, OUT_SIZE, IMAGE_SHAPE)(key)

    proof = prove_gauge(
        build,
        algorithm_of(spec, table),
        table,
        moved,
        rate=rate,
        steps=STEPS if spec.steps is None else spec.steps,
        loss=found(spec.loss, LOSSES),
        momentum=chosen["momentum"],
        epsilon=chosen["epsilon"],
    )
    print(proof)
    return 0 if proof.passed else 1
