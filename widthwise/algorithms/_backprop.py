"""Backpropagation: the direct gradient for training, and its view as a local regression."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._loss import Loss, output_error
from ..network import Network, forward, inputs, pullback
from ._base import AbstractAlgorithm, Batch, Inference, Learner, Metrics, forward_metrics


class Backprop(AbstractAlgorithm):
    """Backpropagation (BP).

        e_l = −∂loss/∂z_l at the forward pass,   x_l = z_{l-1},   γ_l = 1

    Training takes the gradient of the loss directly, a fair baseline; `infer` gives the targets by which BP is a
    local regression, and the gradients are equal.
    """

    @property
    def name(self) -> str:
        """`"bp"`."""
        return "bp"

    def infer(self, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray) -> Inference:
        """Errors are minus the gradients of the loss with respect to the states of the forward pass."""
        *hidden, prediction = forward(learner.network, batch.x)
        error = output_error(loss, prediction[0], batch.y)
        errors = (*pullback(learner.network, tuple(hidden), error), error[None])
        one = jnp.ones((), error.dtype)
        return Inference(inputs(batch.x, tuple(hidden)), errors, (one,) * len(errors), prediction[0], {})

    def grads(self, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray) -> tuple[Network, Metrics]:
        """The gradient of the mean loss, by automatic differentiation."""

        def mean_loss(network: Network) -> tuple[jax.Array, jax.Array]:
            prediction = network(batch.x)
            return jnp.mean(loss(prediction, batch.y)), prediction

        gradients, prediction = eqx.filter_grad(mean_loss, has_aux=True)(learner.network)
        return gradients, forward_metrics(prediction, batch, loss)
