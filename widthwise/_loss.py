"""Output losses: per example, summed over outputs, on the prediction and its target."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Loss = Callable[[Float[Array, "batch out"], Float[Array, "batch out"]], Float[Array, " batch"]]


def output_error(
    loss: Loss, prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]
) -> Float[Array, "batch out"]:
    """−∂loss/∂f, which for MSE is y − f."""
    return -jax.grad(lambda f: jnp.sum(loss(f, y)))(prediction)


def mse(prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]) -> Float[Array, " batch"]:
    """Half the squared error, summed over outputs.

        1/2 |y − f|²

    >>> mse(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]])).tolist()
    [2.5]
    """
    return 0.5 * jnp.sum((prediction - y) ** 2, axis=-1)


def cross_entropy(prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]) -> Float[Array, " batch"]:
    """Cross-entropy of logits f with target probabilities y, to relative precision also where it is tiny.

        −Σ_k y_k log softmax(f)_k = Σ_k y_k (f_m − f_k) + Σ_k y_k log(1 + Σ_{k≠m} exp(f_k − f_m)),   m = argmax f

    >>> float(cross_entropy(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))[0])  # log 2
    0.693147...
    """
    largest = jnp.argmax(prediction, axis=-1, keepdims=True)
    below = prediction - jnp.take_along_axis(prediction, largest, axis=-1)
    # The largest is left out of the sum: 1 + tiny would round the rest away.
    others = jnp.arange(prediction.shape[-1]) != largest
    rest = jnp.log1p(jnp.sum(jnp.where(others, jnp.exp(below), 0), axis=-1))
    return jnp.sum(y, axis=-1) * rest - jnp.sum(y * below, axis=-1)
