"""What ridge feedback and the sweep of targets cost beside a forward pass, in turns.

    python -m benchmarks.ridge_feedback [--widths 512 1024 2048] [--turns 20]

Prints, and adds to results/ridge_feedback.log, the median time of difference target propagation's inference (its own
forward pass taken off) over that of one forward pass: 4 layers, batch 64, float32.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp

import widthwise as ww

from ._measure import beside_forward, noted
from ._settings import BATCH

LOG = Path(__file__).parent / "results" / "ridge_feedback.log"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", nargs="+", type=int, default=[512, 1024, 2048])
    parser.add_argument("--turns", type=int, default=20)
    values = parser.parse_args(words)
    for width in values.widths:
        key = jax.random.key(0)
        table = ww.parameterization("mup", algorithm="dtp")
        built = ww.mlp(784, width, 10, depth=4, table=table, key=key, state="post")
        rule = ww.TargetPropagation(ww.RidgeFeedback(1e-2))
        batch = ww.Batch(jax.random.normal(key, (BATCH, 784)), jax.nn.one_hot(jnp.arange(BATCH) % 10, 10))
        ratio, seconds, _ = beside_forward(rule, rule.init(built, key=key), batch, values.turns)
        noted(f"width {width}: {ratio - 1:.2f} forward passes; all of inference {1e3 * seconds:.1f} ms", LOG)


if __name__ == "__main__":
    main()
