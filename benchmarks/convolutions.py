"""A convolution inside a loop on a CPU: the product of patches against XLA's own, in turns.

    python -m benchmarks.convolutions [--turns 3]

Prints, and adds to results/convolutions.log, the median time of 20 steps of gradient descent on one convolution's input
and weight, compiled as one loop, at the layers of a 28 x 28 network of 32 channels.
"""

import argparse
from pathlib import Path
from statistics import median

import jax

from widthwise.network._layer import _by_patches, _directly

from ._measure import noted, timed

LOG = Path(__file__).parent / "results" / "convolutions.log"
STEPS = 20
SHAPES = ((28, 1, 32, 1), (28, 32, 32, 1), (28, 32, 32, 2), (14, 32, 32, 1))


def descent(convolve, stride):
    """A jitted loop of gradient descent on |x * w|² / 2."""

    def loss(point):
        return (convolve(*point, stride=stride, kind=point[0].dtype) ** 2).sum() / 2

    def step(_, point):
        return jax.tree.map(lambda value, slope: value - 1e-3 * slope, point, jax.grad(loss)(point))

    return jax.jit(lambda point: jax.lax.fori_loop(0, STEPS, step, point))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    turns = parser.parse_args().turns
    for size, channels, filters, stride in SHAPES:
        keys = jax.random.split(jax.random.key(0))
        x = jax.random.normal(keys[0], (64, size, size, channels))
        point = x, 0.1 * jax.random.normal(keys[1], (3, 3, channels, filters))
        both = [descent(convolve, stride) for convolve in (_by_patches, _directly)]
        for run in both:
            timed(run, point)
        times = [[timed(run, point) for run in both] for _ in range(turns)]
        patches, direct = (median(column) for column in zip(*times, strict=True))
        line = (
            f"{size}x{size}, {channels} -> {filters} channels, stride {stride}: patches "
            f"{1e3 * patches / STEPS:.1f} ms a step, XLA's {1e3 * direct / STEPS:.1f} ms, {direct / patches:.1f} times"
        )
        noted(line, LOG)


if __name__ == "__main__":
    main()
