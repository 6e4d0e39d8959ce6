"""Whole training steps by how many stages a turn of the loop over layers visits: what `widthwise` has for GPUs is 4.

    python -m benchmarks.blocks --sizes 128x128 1024x128 --blocks 1 4 8 [--relaxation error] [--seconds 2]

Prints seconds of tracing and of compilation, milliseconds of a step (median) and the largest residual.
"""

import argparse
import os
import statistics

import jax

from widthwise.network import BLOCKS

from . import _cases
from ._settings import Size
from .peers._worker import burst, timed


def measure(size: Size, relaxation: str, block: int, seconds: float) -> str:
    """One setting, compiled anew."""
    # The number of stages changes no result.
    BLOCKS[jax.default_backend()] = block
    jax.clear_caches()
    step = _cases.Stepper(_cases.network(size), _cases.algorithm(relaxation, size.depth), _cases.one_batch())
    lowered = []
    trace = timed(lambda: lowered.append(step.run.lower(step.arrays, step.rule, step.batch)))
    compiled = timed(lambda: lowered[0].compile())
    step()
    taken = 1e3 * statistics.median(burst(step, seconds))
    residual = float(step.metrics["residual_max"])
    return f"trace {trace:.2f} s, compile {compiled:.2f} s, step {taken:.2f} ms, residual {residual:.4g}"


def main(words: list[str] | None = None) -> None:
    """Every size at every number of stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["128x128"])
    parser.add_argument("--blocks", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--relaxation", default="error")
    parser.add_argument("--seconds", type=float, default=2.0)
    values = parser.parse_args(words)
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, XLA_FLAGS={os.environ.get('XLA_FLAGS', '')}")
    for size in map(Size.parse, values.sizes):
        for block in values.blocks:
            found = measure(size, values.relaxation, block, values.seconds)
            print(f"{size} {values.relaxation} block {block}: {found}", flush=True)


if __name__ == "__main__":
    main()
