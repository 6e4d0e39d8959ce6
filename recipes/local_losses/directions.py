"""Angles of each rule's first update to backprop's and to Gauss-Newton's, layer by layer.

Teacher of docs/theory.md's probe, 8 inputs, 3 outputs, 4 layers, width 128, post-activations, 16 seeds, float64; the
readout's rows are scaled by 1.5, 0.7 and 0.3, without which both directions coincide. Writes results/directions.log.

    python recipes/local_losses/directions.py [--seeds 16] [--width 128] [RULE ...]
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp

import widthwise as ww

LOG = Path(__file__).parent / "results" / "directions.log"
SEEDS, WIDTH = 16, 128
SCALES = jnp.asarray([1.5, 0.7, 0.3])


def pc(gamma_prime):
    """Predictive coding, settled, at gamma_bar -1."""
    settle = ww.ErrorDescent(iterations=200, tolerance=1e-6)
    return ww.PredictiveCoding(settle, output_precision=gamma_prime), {"algorithm": "pc", "gamma_bar": -1}


RULES = {
    "pc gamma' 0.01": pc(0.01),
    "pc gamma' 1": pc(1.0),
    "pc gamma' 100": pc(100.0),
    "dtp ridge 1e-3": (ww.TargetPropagation(ww.RidgeFeedback(1e-3)), {"algorithm": "dtp"}),
    "tp ridge 1e-5": (ww.TargetPropagation(ww.RidgeFeedback(1e-5), difference=False), {"algorithm": "tp"}),
    "dtp tied": (ww.TargetPropagation(ww.TiedFeedback()), {"algorithm": "dtp"}),
}


def readout(built):
    """W_L."""
    return built.network.segments[-1].stages.linear.weight


def angles(rule, settings, activation, width, seed):
    """Both angles of one seed."""
    table = ww.parameterization("mup", **settings)
    keys = jax.random.split(jax.random.key(seed), 3)
    built = ww.mlp(8, width, 3, depth=4, activation=activation, table=table, key=keys[0], state="post")
    built = eqx.tree_at(readout, built, readout(built) * SCALES[:, None])
    x = jax.random.normal(keys[1], (8, 8))
    batch = ww.Batch(x, jnp.tanh(2 * x @ jax.random.normal(keys[2], (8, 3)) / 8**0.5))
    return ww.directions(rule, rule.init(built, key=keys[0]), batch, key=keys[0])


def main():
    """Medians over seeds of the three hidden layers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rules", nargs="*", help="names, as in the log; none is all")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--width", type=int, default=WIDTH)
    values = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    with LOG.open("w") as log:
        for activation in ("linear", "tanh"):
            for name in values.rules or RULES:
                rule, settings = RULES[name]
                rows = [angles(rule, settings, activation, values.width, seed) for seed in range(values.seeds)]
                cells = []
                for reference in ("backprop", "gauss_newton"):
                    middle = jnp.median(jnp.stack([row[reference] for row in rows]), axis=0)[:-1]
                    cells.append(f"to {reference} " + " ".join(f"{value:5.1f}" for value in middle))
                line = f"{activation:7s} {name:16s} {'   '.join(cells)}"
                print(line, flush=True)
                print(line, file=log)


if __name__ == "__main__":
    main()
