"""Output losses: per example, summed over outputs, on the prediction and its target."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Loss = Callable[[Float[Array, "batch out"], Float[Array, "batch out"]], Float[Array, " batch"]]


def mse(prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]) -> Float[Array, " batch"]:
    """Half the squared error, summed over outputs.

        1/2 |y − f|²

    >>> mse(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]])).tolist()
    [2.5]
    """
    return 0.5 * jnp.sum((prediction - y) ** 2, axis=-1)


def cross_entropy(prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]) -> Float[Array, " batch"]:
    """Cross-entropy of logits f with target probabilities y.

        −Σ_k y_k log softmax(f)_k

    >>> float(cross_entropy(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))[0])  # log 2
    0.693147...
    """
    return -jnp.sum(y * jax.nn.log_softmax(prediction), axis=-1)
