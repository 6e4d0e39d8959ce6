"""A convolution inside a loop on a CPU: the product of patches against XLA's own, in turns.

    python -m benchmarks.convolutions [--turns 3] [--image 28] [--channels 32]

Ours is what a `Convolution` computes on a CPU. Prints, and adds to results/convolutions.log, the median time of 20
steps of gradient descent on one convolution's input and weight, compiled as one loop, at the layers of a network of
28 x 28 images and 32 channels.
"""

import argparse
from pathlib import Path
from statistics import median

import jax

from widthwise.network import Convolution

from ._measure import noted, timed

LOG = Path(__file__).parent / "results" / "convolutions.log"
STEPS = 20


def shapes(image: int, channels: int) -> tuple[tuple[int, int, int, int], ...]:
    """Pixels, channels, filters, stride of every layer."""
    inner = channels, channels
    return (image, 1, channels, 1), (image, *inner, 1), (image, *inner, 2), (image // 2, *inner, 1)


def ours(x, weight, stride):
    return Convolution(weight, None, stride=stride)(x)


def xlas(x, weight, stride):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, weight, (stride, stride), "SAME", dimension_numbers=numbers, precision="float32"
    )


def descent(convolve, stride):
    """A jitted loop of gradient descent on |x * w|² / 2."""

    def loss(point):
        return (convolve(*point, stride) ** 2).sum() / 2

    def step(_, point):
        return jax.tree.map(lambda value, slope: value - 1e-3 * slope, point, jax.grad(loss)(point))

    return jax.jit(lambda point: jax.lax.fori_loop(0, STEPS, step, point))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--image", type=int, default=28, help="pixels a side")
    parser.add_argument("--channels", type=int, default=32)
    values = parser.parse_args(words)
    for size, channels, filters, stride in shapes(values.image, values.channels):
        keys = jax.random.split(jax.random.key(0))
        x = jax.random.normal(keys[0], (64, size, size, channels))
        point = x, 0.1 * jax.random.normal(keys[1], (3, 3, channels, filters))
        both = [descent(convolve, stride) for convolve in (ours, xlas)]
        for run in both:
            timed(run, point)
        times = [[timed(run, point) for run in both] for _ in range(values.turns)]
        patches, direct = (median(column) for column in zip(*times, strict=True))
        line = (
            f"{size}x{size}, {channels} -> {filters} channels, stride {stride}: patches "
            f"{1e3 * patches / STEPS:.1f} ms a step, XLA's {1e3 * direct / STEPS:.1f} ms, {direct / patches:.1f} times"
        )
        noted(line, LOG)


if __name__ == "__main__":
    main()
