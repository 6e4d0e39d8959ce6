"""The machine's peak, and how hard a network is to settle."""

from collections.abc import Callable
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


def curvature(built: Built, batch: Batch) -> dict[str, float]:
    """Median and largest norm of C at the forward pass: 1 + it is the condition number of settling."""

    @eqx.filter_jit
    def compute(network: Network, batch: Batch) -> jax.Array:
        problem = PredictiveCoding().problem(Learner(network), batch, mse)
        return curvature_of(problem, problem.start(), products=8)

    norms = np.asarray(compute(built.network, batch))
    return {"median": float(np.median(norms)), "largest": float(norms.max())}
