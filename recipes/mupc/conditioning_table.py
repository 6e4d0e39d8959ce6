"""Condition numbers at initialization beside those of docs/theory.md E: medians over 5 seeds, ratio, verdict.

Reads results/init_*.json of conditioning.sh. docs/theory.md has single seeds; its entries above 1e14 are dense
eigenvalues beyond float64. muPC with skips must be within 20 %; the others within a factor of 2 up to 1e8, and
beyond within 15 % of the logarithm. Exit code 1 where a row is not.
"""

import json
import math
import statistics
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
DEPTHS = (4, 8, 16, 32, 64)
# (file, parameterization) -> width -> kappa at DEPTHS.
DOCS = {
    ("init_residual", "mupc"): {
        32: (6.1e1, 3.3e2, 1.7e3, 5.8e3, 2.2e4), 128: (7.1e1, 4.1e2, 1.9e3, 8.3e3, 3.2e4), 512: (7.0e1, 4.2e2, 2.0e3),
    },
    ("init_residual_precision_N", "mupc"): {
        32: (5.3e1, 3.0e2, 1.4e3, 5.6e3, 2.2e4), 128: (6.9e1, 3.9e2, 1.8e3, 8.2e3, 3.2e4), 512: (6.9e1, 4.2e2, 2.0e3),
    },
    ("init_plain", "mupc"): {
        32: (7e1, 6e2, 3e3, 1.2e4, 7.5e4), 128: (9e1, 8e2, 8e3, 4.6e4, 1.7e5), 512: (9e1, 9e2, 8e3),
    },
    ("init_residual", "sp"): {
        32: (2e2, 6e3, 1e6, 1.5e8, 7e16), 128: (3e2, 1e4, 6e6, 3e11, 2e20), 512: (3e2, 2e4, 1e7),
    },
    ("init_plain", "sp"): {
        32: (6e1, 4e2, 3e3, 1e4, 7e4), 128: (9e1, 7e2, 6e3, 3e4, 1e5), 512: (9e1, 8e2, 7e3),
    },
    ("init_residual_gain", "sp"): {
        32: (7e1, 8e2, 1.5e4, 5e5, 4e7), 128: (9e1, 1.2e3, 5e4, 6e6, 5e10), 512: (9e1, 1.5e3, 5e4),
    },
    ("init_plain_gain", "sp"): {
        32: (12, 26, 38, 43, 43), 128: (15, 30, 38, 43, 44), 512: (16, 32, 39),
    },
}  # fmt: skip


def rows_of(file):
    """All rows of a result, of every width where there is a file for each."""
    return [row for path in sorted(RESULTS.glob(f"{file}*.json")) for row in kept(file, path)]


def kept(file, path):
    """A file's rows, unless it only shares the beginning of its name."""
    rest = path.stem.removeprefix(file)
    return json.loads(path.read_text())["rows"] if rest == "" or rest.removeprefix("_").isdigit() else []


def agrees(file, name, median, docs):
    """The verdict on one number."""
    if (file, name) in (("init_residual", "mupc"), ("init_residual_precision_N", "mupc")):
        return abs(median / docs - 1) <= 0.2
    if docs < 1e8:
        return 0.5 <= median / docs <= 2
    return abs(math.log10(median) / math.log10(docs) - 1) <= 0.15


def main():
    """The whole table."""
    print(
        f"{'rows':28s}{'table':6s}{'N':>5s}{'L':>4s}{'median':>11s}{'lowest':>11s}{'highest':>11s}{'docs':>9s}{'ratio':>8s}"
    )
    failed = 0
    for (file, name), widths in DOCS.items():
        rows = rows_of(file)
        for width, expected in widths.items():
            for depth, docs in zip(DEPTHS, expected, strict=False):
                own = [r for r in rows if (r["parameterization"], r["width"], r["depth"]) == (name, width, depth)]
                values = [row["condition_number"] for row in own]
                if not values:
                    print(f"{file:28s}{name:6s}{width:5d}{depth:4d}  not measured")
                    continue
                median = statistics.median(values)
                good = agrees(file, name, median, docs)
                failed += not good
                numbers = "".join(f"{value:11.3g}" for value in (median, min(values), max(values)))
                verdict = "" if good else "  AWAY"
                print(f"{file:28s}{name:6s}{width:5d}{depth:4d}{numbers}{docs:9.2g}{median / docs:8.3g}{verdict}")
    print(f"{failed} numbers away from docs/theory.md")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
