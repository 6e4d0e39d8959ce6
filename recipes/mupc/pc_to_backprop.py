"""Predictive coding becomes backprop for N >> L (arXiv 2602.07697; docs/theory.md E), at initialization.

Energy ratio F*/L_BP (settled energy over the loss of the forward pass) and the least cosine of any layer between the
two weight gradients: muPC, output precision 1, float64, the probe of docs/theory.md B3 (8 inputs, 3 outputs, 8
examples, y = tanh(2 T x)). Means over 8 seeds beside the numbers of docs/theory.md, which are of a single seed of an
unnamed configuration: `sd` is how far one seed is from the mean. `theory` is 1 / (1 + mean diag(S) - 1) of a wide
network. Writes results/pc_to_backprop.json; exit code 1 where a linear row is further from docs/theory.md than 0.05
and than 2.5 sd; of tanh docs/theory.md says nothing. An argument leaves out rows with more than so many weights.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np

import widthwise as ww
from widthwise.algorithms import cosine

jax.config.update("jax_enable_x64", True)
IN_SIZE, OUT_SIZE, BATCH, SEEDS, TOLERANCE, SCATTER = 8, 3, 8, 8, 0.05, 2.5


class Row(NamedTuple):
    """A size, and what docs/theory.md says of it, linear: energy ratio and cosine, None where it is silent."""

    skips: bool
    depth: int
    width: int
    ratio: float | None = None
    cosine: float | None = None


ROWS = [
    Row(True, 4, 16, 0.85, 0.95),
    Row(True, 16, 64, 0.79, 0.91),
    Row(True, 64, 256, 0.70, 0.87),
    Row(True, 4, 64, 0.94, 0.99),
    Row(True, 16, 256, 0.91, 0.99),
    Row(True, 4, 256, 0.986, 0.9995),
    Row(True, 16, 1024, 0.977, 0.999),
    Row(True, 4, 1024, 0.9965, 1.0),
    Row(True, 16, 16, 0.45, 0.31),
    Row(True, 64, 64, 0.39, 0.63),
    Row(True, 64, 16, 0.17, 0.32),
    Row(False, 16, 64, None, 0.53),
    Row(False, 64, 256, None, 0.43),
]


def relaxation(activation):
    """The exact solve where there is one, else descent until six digits are settled."""
    return ww.OutputSpaceSolve() if activation == "linear" else ww.ErrorDescent(iterations=5000, tolerance=1e-6)


@eqx.filter_jit
def compared(network, batch, rule):
    """F*/L_BP, the least cosine of any layer, the largest residual."""
    learner, key = ww.Learner(network), jax.random.key(0)
    settled, metrics = rule.grads(learner, batch, ww.mse, key=key)
    reference, forward = ww.Backprop().grads(learner, batch, ww.mse, key=key)
    return metrics["energy"] / forward["loss"], cosine(settled, reference)[1].min(), metrics["residual_max"]


def batch_of(seed):
    """The probe: standard normal inputs, targets of a tanh teacher."""
    draw = np.random.default_rng(seed).normal
    x = draw(size=(BATCH, IN_SIZE))
    y = np.tanh(2 * x @ draw(size=(IN_SIZE, OUT_SIZE)) / np.sqrt(IN_SIZE))
    return ww.Batch(jax.numpy.asarray(x), jax.numpy.asarray(y))


def measured(row, activation):
    """Mean and standard deviation over seeds."""
    table = ww.parameterization("mupc", algorithm="pc")
    make = ww.residual_mlp if row.skips else ww.mlp
    found = []
    for seed in range(SEEDS):
        key = jax.random.key(seed)
        built = make(IN_SIZE, row.width, OUT_SIZE, depth=row.depth, activation=activation, table=table, key=key)
        found.append(compared(built.network, batch_of(seed), ww.PredictiveCoding(relaxation(activation))))
    mean, sd = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    names = ("ratio", "ratio_sd", "cosine", "cosine_sd", "residual_max")
    return dict(zip(names, map(float, (mean[0], sd[0], mean[1], sd[1], np.max(found, axis=0)[2])), strict=True))


def wide_ratio(row):
    """1 / mean diag(S) of a wide linear network."""
    return 1 / (1 + ww.theory.expected_curvature(row.depth, row.width, residual=row.skips))


def line_of(activation, row, one):
    """One line of the table, and whether it is further from docs/theory.md than seeds are from each other."""
    line = f"{activation:7s}{'yes' if row.skips else 'no':5s}{row.depth:3d}{row.width:6d}{row.depth / row.width:9.4f}"
    line += f"{wide_ratio(row):9.4f} "
    away = False
    for name, expected in (("ratio", row.ratio), ("cosine", row.cosine)):
        value, sd = one[name], one[f"{name}_sd"]
        line += f" |{value:8.4f}{sd:7.4f}"
        line += f"{'-':>8s}{'-':>8s}" if expected is None else f"{expected:8.4g}{value - expected:+8.4f}"
        away |= expected is not None and abs(value - expected) > max(TOLERANCE, SCATTER * sd)
    return f"{line} |{one['residual_max']:8.0e}{'  AWAY' if away else ''}", away


def main():
    """All rows, linear and tanh."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 10**9
    heads = "".join(f" |{name:>8s}     sd  docs    diff  " for name in ("F*/L_BP", "cos min"))
    print(f"phi    skip   L     N      L/N   theory {heads}|residual")
    records, failed = [], False
    for activation in ("linear", "tanh"):
        for listed in ROWS:
            row = listed if activation == "linear" else listed._replace(ratio=None, cosine=None)
            if row.depth * row.width**2 > largest:
                continue
            one = measured(row, activation)
            line, away = line_of(activation, row, one)
            print(line, flush=True)
            labels = {"activation": activation, "skips": row.skips, "depth": row.depth, "width": row.width}
            docs = {"docs_ratio": row.ratio, "docs_cosine": row.cosine, "wide_ratio": wide_ratio(row)}
            records.append(labels | docs | one | {"away": away})
            failed |= away
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "pc_to_backprop.json").write_text(json.dumps(records, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
