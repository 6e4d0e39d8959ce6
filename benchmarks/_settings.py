"""What is measured, as plain numbers: sizes, batch, steps and rules; the standard library only.

Residual muPC network 784-N-...-N-10 of L weight layers (L - 2 of them N x N), tanh, 64 examples, squared error, Adam,
output precision 1. Activity descent makes T = L steps of 0.2 on each example's own energy.
"""

import os
from typing import NamedTuple

IN, OUT, BATCH, ACTIVITY_STEP = 784, 10, 64, 0.2
# In float64 a residual of 1e-8 leaves an error of the update far below any that float32 can show.
EQUILIBRIUM = "error:iterations=20000,tolerance=1e-8"
# How trained networks are trained: settled at every step, at a rate that makes curvature grow.
TRAIN_STEPS, TRAIN_RULE, TRAIN_RATE = 300, "error:iterations=100", 1e-2


class Size(NamedTuple):
    """Width N and depth L, written `128x32`."""

    width: int
    depth: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """From `128x32`."""
        width, depth = text.split("x")
        return cls(int(width), int(depth))

    def __str__(self) -> str:
        return f"{self.width}x{self.depth}"

    def flops(self) -> float:
        """Of the N x N products of one training step with T = L, no layer skipped: (2T + 3)(L - 2) 2 B N^2."""
        return (2 * self.depth + 3) * (self.depth - 2) * 2 * BATCH * self.width**2


# WIDTHWISE_BENCH_SIZES names others, as an accelerator needs: "1024x128 4096x1024".
USUAL = "128x8 128x32 128x128 512x8 512x32 512x128"
SIZES = [Size.parse(text) for text in os.environ.get("WIDTHWISE_BENCH_SIZES", USUAL).split()]
# From a third of a second to many seconds a step under activity descent.
SLOW = [Size(128, 128), Size(512, 32), Size(512, 128)]
