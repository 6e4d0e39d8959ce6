"""The machine's peak, how hard a network is to settle, a call's seconds, a line of a log."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from widthwise._loss import mse
from widthwise.algorithms import Batch, Learner, PredictiveCoding
from widthwise.inference import curvature as curvature_of
from widthwise.network import Built, Network

GEMM_SHAPE = (2048, 512, 512)
GEMM_FLOPS = 2 * 2048 * 512 * 512


def gemm() -> Callable[[], Any]:
    """A large float32 product: what the machine can do at most."""
    rows, inner, columns = GEMM_SHAPE
    a, b = jnp.ones((rows, inner), jnp.float32), jnp.ones((inner, columns), jnp.float32)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision="float32"))
    return lambda: jax.block_until_ready(product(a, b))


def timed(call: Callable[..., Any], *inputs: Any) -> float:
    """Seconds of a call, its results computed."""
    began = time.perf_counter()
    jax.block_until_ready(call(*inputs))
    return time.perf_counter() - began


def noted(line: str, log: Path) -> None:
    """Print a line and add it to a log."""
    print(line, flush=True)
    with log.open("a", encoding="utf-8") as file:
        print(line, file=file)


def curvature(built: Built, batch: Batch) -> dict[str, float]:
    """Median and largest norm of C at the forward pass: 1 + it is the condition number of settling."""

    @eqx.filter_jit
    def compute(network: Network, batch: Batch) -> jax.Array:
        problem = PredictiveCoding().problem(Learner(network), batch, mse)
        return curvature_of(problem, problem.start(), products=8)

    norms = np.asarray(compute(built.network, batch))
    return {"median": float(np.median(norms)), "largest": float(norms.max())}
