"""The exact solve of linear networks, timed against a forward pass, in turns.

    python -m benchmarks.linear_solve [--sizes 128x8 128x32 128x128 512x32] [--turns 20]

Prints, and adds to results/linear_solve.log, the median ratio of the whole inference (its own forward pass among it) to
one forward pass, and the largest residual, in float32.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp

import widthwise as ww

from ._measure import beside_forward, noted
from ._settings import BATCH, Size

LOG = Path(__file__).parent / "results" / "linear_solve.log"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", nargs="+", type=Size.parse, default=[Size.parse(s) for s in ("128x8", "128x32", "128x128")]
    )
    parser.add_argument("--turns", type=int, default=20)
    values = parser.parse_args(words)
    for size in values.sizes:
        table = ww.parameterization("mupc", algorithm="pc")
        key = jax.random.key(0)
        built = ww.residual_mlp(784, size.width, 10, depth=size.depth, activation="linear", table=table, key=key)
        rule = ww.PredictiveCoding(ww.OutputSpaceSolve(tolerance=1e-6))
        learner = rule.init(built, key=key)
        batch = ww.Batch(jax.random.normal(key, (BATCH, 784)), jax.nn.one_hot(jnp.arange(BATCH) % 10, 10))
        ratio, seconds, found = beside_forward(rule, learner, batch, values.turns)
        line = (
            f"{size}: {ratio:.2f} forward passes ({1e3 * seconds:.1f} ms), "
            f"largest residual {float(found.metrics['residual_max']):.1e}"
        )
        noted(line, LOG)


if __name__ == "__main__":
    main()
