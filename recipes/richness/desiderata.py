"""One degree of freedom: of all powers of width, layer by layer, the desiderata leave the richness r alone.

Backprop, SGD, four layers, tanh, no multipliers; std M^-b and rate M^-c of the input, hidden and output weights, base
width 1, float64. The exact family b = (0, 1/2, 1/2 + r), c = (-2r, 1 - 2r, 1) at r = 0, 1/8, 1/4, 3/8 and 1/2; its
continuation to r = -1/4 and 3/4; the twelve neighbours of r = 1/4 in which one exponent is off by 1/4; and 50 vectors
of quarter steps drawn within 1/2 of r = 1/4. All are measured by `widthwise.desiderata`; the first lines that fail are
named.

Exit code 1 where a member of the family fails, measures another richness by more than 0.05, or anything else passes.
Writes results/desiderata.json and results/desiderata.log.

    python recipes/richness/desiderata.py [LABEL ...] [--seeds 16] [--widths 64 128 256 512]

A LABEL ("r = 1/4", "neighbour", "random") measures the vectors of that name alone.
"""

import argparse
import itertools
import json
import random
import sys
from fractions import Fraction
from pathlib import Path

import jax

import widthwise as ww
from widthwise.parameterizations import from_json

jax.config.update("jax_enable_x64", True)
RESULTS = Path(__file__).parent / "results"
WIDTHS = (64, 128, 256, 512)
HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)
RANDOM, SHOWN = 50, 3


def member(r):
    """b and c of a richness."""
    return (Fraction(0), HALF, HALF + r, -2 * r, 1 - 2 * r, Fraction(1))


def in_family(vector):
    """Whether some r in [0, 1/2] has these exponents."""
    r = vector[2] - HALF
    return 0 <= r <= HALF and vector == member(r)


def vectors():
    """Label, exponents."""
    for eighths in range(5):
        yield f"r = {Fraction(eighths, 8)}", member(Fraction(eighths, 8))
    for r in (-QUARTER, 3 * QUARTER):
        yield f"r = {r}", member(r)
    for place, sign in itertools.product(range(6), (-1, 1)):
        moved = list(member(QUARTER))
        moved[place] += sign * QUARTER
        yield "neighbour", tuple(moved)
    draw, found = random.Random(0), set()
    while len(found) < RANDOM:
        vector = tuple(value + QUARTER * draw.randint(-2, 2) for value in member(QUARTER))
        if not in_family(vector) and vector not in found:
            found.add(vector)
            yield "random", vector


def table_of(vector):
    """The table without multipliers that has these exponents."""
    b, c = ([str(value) for value in half] for half in (vector[:3], vector[3:]))
    rows = {role: {"b": b[i], "c": c[i]} for i, role in enumerate(("input", "hidden", "output"))}
    base = {"width": 1, "depth": 8}
    return from_json(
        {"schema_version": 1, "name": "own", "algorithm": "bp", "optimizer": "sgd", "base": base, "roles": rows}
    )


def main():
    """Measure every vector, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", nargs="*", help="vectors of these names; none is all")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS))
    values = parser.parse_args()
    asked = [(label, vector) for label, vector in vectors() if not values.labels or label in values.labels]
    if unknown := set(values.labels) - {label for label, _ in asked}:
        parser.error(f"no vectors {sorted(unknown)}: choose from {sorted({label for label, _ in vectors()})}")
    lines, stored, wrong = [], [], 0

    def say(line):
        print(line, flush=True)
        lines.append(line)

    say(f"{'':10s} {'b':>17s}   {'c':>17s}  verdict   richness or failing lines")
    for label, vector in asked:
        table = table_of(vector)

        def build(width, key, table=table):
            return ww.mlp(8, width, 3, depth=4, activation="tanh", table=table, key=key)

        found = ww.desiderata(build, ww.Backprop(), table, widths=values.widths, seeds=values.seeds)
        good = found.passed == in_family(vector)
        if in_family(vector):
            good &= abs(found.richness - float(vector[2] - HALF)) <= 0.05
        failed = [f"{line.quantity} {line.layer} ({line.slope:+.2f})" for line in found.lines if not line.passed]
        words = f"richness {found.richness:.3f}" if found.passed else "; ".join(failed[:SHOWN])
        b, c = ("(" + ", ".join(map(str, half)) + ")" for half in (vector[:3], vector[3:]))
        verdict = "passes" if found.passed else "fails"
        say(f"{label:10s} {b:>17s}   {c:>17s}  {verdict:8s}  {words}{'' if good else '  WRONG'}")
        stored.append({"label": label, "exponents": [str(value) for value in vector]} | found.to_json())
        wrong += not good
    passing = sum(row["passed"] for row in stored)
    say(f"{passing} of {len(stored)} pass; {sum(in_family(v) for _, v in asked)} are of the family; {wrong} wrong")
    (RESULTS / "desiderata.json").write_text(json.dumps(stored) + "\n")
    (RESULTS / "desiderata.log").write_text("\n".join(lines) + "\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
