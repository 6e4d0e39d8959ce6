"""The machine's peak, how hard a network is to settle, seconds of a call and beside a forward pass, a line of a log."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from widthwise import mse
from widthwise.algorithms import AbstractAlgorithm, Batch, Inference, Learner, PredictiveCoding
from widthwise.inference import curvature as curvature_of
from widthwise.network import Built, Network, forward

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


def beside_forward(
    rule: AbstractAlgorithm, learner: Learner, batch: Batch, turns: int
) -> tuple[float, float, Inference]:
    """An algorithm's inference, its own forward pass among it, and a forward pass alone, in turns.

    Returns the median ratio, the median seconds of inference, and what it found.
    """
    infer = eqx.filter_jit(lambda learner, batch: rule.infer(learner, batch, mse, key=jax.random.key(0)))
    ahead = eqx.filter_jit(lambda learner, batch: forward(learner.network, batch.x))
    found = infer(learner, batch)
    ahead(learner, batch)
    pairs = [(timed(infer, learner, batch), timed(ahead, learner, batch)) for _ in range(turns)]
    return median(a / b for a, b in pairs), median(a for a, _ in pairs), found


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
