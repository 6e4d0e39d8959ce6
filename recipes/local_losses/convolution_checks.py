"""Coordinate checks of convolutional networks (docs/theory.md F): slopes over channels, and over residual branches.

Two convolutions and a readout of 8 x 8 images, tanh; widths 16 to 256, 16 seeds; rates chosen as `widthwise check`
chooses them. "only" rows learn biases or gains alone, right, and at the rate of a hidden weight (wrong); they "fail"
even where every slope is right, for what does not learn (nan). The last rows are `residual_cnn` under muPC at 8, 16 and
32 branches. Under Adam, and of gains alone, the slopes over 16 to 256 still fall (by 0.1 and less): their rows are over
64 to 512; biases alone differ most from seed to seed, and have 64. Writes results/convolution_checks.log anew where no
row is named, or else adds to it.

    python recipes/local_losses/convolution_checks.py [--seeds 16] [--widths 16 32 64 128 256] [--branches 8 16 32]
        [ROW ...]
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import widthwise as ww
from widthwise.measure import log_slope
from widthwise.network import LeafScaling, forward
from widthwise.training import start

LOG = Path(__file__).parent / "results" / "convolution_checks.log"
SHAPE = (8, 8, 1)
BRANCHES = (8, 16, 32)
# ||C|| falls with this, so that predictive coding's slopes are seen without their finite-size part.
PRECISION = 0.02


def pc():
    """Predictive coding near its wide limit."""
    return ww.PredictiveCoding(output_precision=PRECISION)


# Name: algorithm, its table's settings, the network's, what alone learns (None: all), by which power of width wrong.
ROWS = {
    "bp sgd flatten": (ww.Backprop, {}, {}, None, 0),
    "bp sgd gap": (ww.Backprop, {}, {"readout": "gap"}, None, 0),
    "bp adam flatten": (ww.Backprop, {"optimizer": "adam"}, {}, None, 0),
    "bp sgd layer norm": (ww.Backprop, {}, {"norm": "layer"}, None, 0),
    "bp sgd batch norm": (ww.Backprop, {}, {"norm": "batch"}, None, 0),
    "bp sgd SP": (ww.Backprop, {"name": "sp"}, {}, None, 0),
    "pc gamma_bar 0 flatten": (pc, {"algorithm": "pc"}, {}, None, 0),
    "pc gamma_bar -1 flatten": (pc, {"algorithm": "pc", "gamma_bar": -1}, {}, None, 0),
    "pc gamma_bar -1 gap": (pc, {"algorithm": "pc", "gamma_bar": -1}, {"readout": "gap"}, None, 0),
    "bp biases only": (ww.Backprop, {}, {"bias": True}, "bias", 0),
    "bp biases only, wrong": (ww.Backprop, {}, {"bias": True}, "bias", -1),
    "pc gamma_bar -1 biases only": (pc, {"algorithm": "pc", "gamma_bar": -1}, {"bias": True}, "bias", 0),
    "bp gains only": (ww.Backprop, {}, {"norm": "batch"}, "norm", 0),
    "bp gains only, wrong": (ww.Backprop, {}, {"norm": "batch"}, "norm", -1),
    "dtp sgd flatten": (partial(ww.TargetPropagation, ww.RidgeFeedback(1e-2)), {"algorithm": "dtp"}, {}, None, 0),
    "dtp adam gap": (
        partial(ww.TargetPropagation, ww.RidgeFeedback(1e-2)),
        {"algorithm": "dtp", "optimizer": "adam"},
        {"readout": "gap"},
        None,
        0,
    ),
    "tp sgd flatten": (
        partial(ww.TargetPropagation, ww.RidgeFeedback(1e-2), difference=False),
        {"algorithm": "tp"},
        {},
        None,
        0,
    ),
}
# Name: algorithm, its table's settings, the base rate.
RESIDUAL = {
    "residual bp sgd": (ww.Backprop, {}, 0.05),
    "residual bp adam": (ww.Backprop, {"optimizer": "adam"}, 0.005),
    "residual pc sgd": (pc, {"algorithm": "pc", "gamma_bar": -1}, 2.5),
}


def learning(built, only, wrong, width):
    """The network in which only biases or gains learn, at width^wrong times their table's rate."""

    def own(scaling):
        part = scaling.role.is_bias if only == "bias" else scaling.role.is_norm
        part &= not scaling.role.is_output
        return dataclasses.replace(scaling, rate=scaling.rate * (width / 64) ** wrong if part else 0.0)

    scalings = jax.tree.map(own, built.scalings, is_leaf=lambda leaf: isinstance(leaf, LeafScaling))
    return eqx.tree_at(lambda b: b.scalings, built, scalings)


def over_width(name, widths, seeds):
    """One row's check."""
    rule, settings, network, only, wrong = ROWS[name]
    settings = dict(settings)
    table = ww.parameterization(settings.pop("name", "mup"), **settings)
    state = "post" if table.algorithm in ("tp", "dtp") else "pre"

    def build(width, key):
        built = ww.cnn(SHAPE, width, 3, table=table, key=key, state=state, **network)
        return built if only is None else learning(built, only, wrong, width)

    return ww.coordinate_check(build, rule(), table, widths=widths, seeds=seeds)


def own_widths(name):
    """Where a row's slopes no longer fall."""
    return [64, 128, 256, 512] if "adam" in name or "gains" in name else [16, 32, 64, 128, 256]


def over_branches(rule, settings, seeds, rate, counts):
    """Slopes over depth of every quantity, and the forward RMS of the last hidden layer at each depth."""
    table = ww.parameterization("mupc", base_width=32, base_depth=10, **settings)
    sizes, moved = [], []
    for branches in counts:
        rows = []
        for seed in range(seeds):
            keys = jax.random.split(jax.random.key(seed))
            built = ww.residual_cnn(SHAPE, 32, 3, depth=branches + 2, table=table, key=keys[0])
            x = jax.random.normal(keys[1], (8, *SHAPE))
            batch = ww.Batch(x, jnp.tanh(x.reshape(8, -1)[:, :3]))
            rows.append(one(built, rule, batch, rate))
        sizes.append(np.mean([row[0] for row in rows]))
        moved.append([row[1] for row in rows])
    slopes = [log_slope(counts, np.asarray(moved)[:, :, i].T) for i in range(3)]
    return sizes, slopes


def rms(a):
    """Root mean square over all of an array."""
    return float(jnp.sqrt(jnp.mean(a**2)))


def one(built, rule, batch, rate, steps=4):
    """RMS of the last hidden layer, and how far first, last hidden layer and output move in a few steps."""
    transform = ww.optimizer(built, epsilon=1e-12)
    learner = rule.init(built, key=jax.random.key(0))
    step = eqx.filter_jit(ww.make_step(rule, transform, ww.mse))
    state = start(learner, transform, jnp.asarray(rate, batch.x.dtype))
    for _ in range(steps):
        state, _ = step(state, batch, jax.random.key(0))
    before, after = (forward(network, batch.x) for network in (built.network, state.learner.network))
    pairs = [(s[0][-1], s[1][-1], s[-1][-1]) for s in (before, after)]
    return rms(pairs[0][1]), [rms(b - a) for a, b in zip(*pairs, strict=True)]


def main():
    """Run the rows, and keep what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help="names; none is all")
    parser.add_argument("--widths", type=int, nargs="+", help="of all rows; else each row's own")
    parser.add_argument("--seeds", type=int, help="of all rows; else each row's own")
    parser.add_argument("--branches", type=int, nargs="+", default=list(BRANCHES), help="of the residual rows")
    values = parser.parse_args()
    if unknown := [row for row in values.rows if row not in (*ROWS, *RESIDUAL)]:
        parser.error(f"no rows {unknown}: choose from {[*ROWS, *RESIDUAL]}")
    with LOG.open("a" if values.rows else "w") as log:

        def tell(text):
            print(text, flush=True)
            print(text, file=log, flush=True)

        tell("slopes ± standard errors by quantity and layer")
        for name in [row for row in values.rows or ROWS if row in ROWS]:
            widths, seeds = values.widths or own_widths(name), values.seeds or (64 if "biases" in name else 16)
            check = over_width(name, widths, seeds)
            cells = "  ".join(f"{line.quantity} {line.layer} {line.slope:6.3f} ± {line.se:.3f}" for line in check.lines)
            verdict = "passed" if check.passed else "failed"
            tell(f"{name:30s} {cells}   {verdict}, widths {widths[0]} to {widths[-1]}, {seeds} seeds")
        for name in [row for row in values.rows or RESIDUAL if row in RESIDUAL]:
            rule, settings, rate = RESIDUAL[name]
            sizes, slopes = over_branches(rule(), settings, values.seeds or 16, rate, values.branches)
            cells = "  ".join(f"{slope:6.3f} ± {error:.3f}" for slope, error in slopes)
            tell(
                f"{name:30s} {cells}   forward RMS at {tuple(values.branches)}: {', '.join(f'{r:.3f}' for r in sizes)}"
            )


if __name__ == "__main__":
    main()
