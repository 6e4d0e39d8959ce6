"""How error reaches each layer: every algorithm chooses inputs and targets; learning is the same local regression.

    E(θ) = Σ_{l<L} (γ_l/2) |t_l − f_l(x_l; θ_l)|² + γ_L loss(f_L(x_L; θ_L), y),   x_l, t_l held fixed
    −∂E/∂θ_l = (∂f_l/∂θ_l)^T γ_l e_l,   e_l = t_l − f_l(x_l),   e_L = −∂loss/∂f

Errors, not targets, are carried: t − f cancels in float32.
"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._loss import Loss
from ..network import Built, Feedback, Network, States
from ._local_regression import Precisions, local_gradients

Metrics = dict[str, Float[Array, ""]]


class Batch(NamedTuple):
    """Examples and their targets: `x` (batch, in), `y` (batch, out)."""

    x: Float[Array, "batch *in"]
    y: Float[Array, "batch out"]


class Learner(eqx.Module):
    """What an algorithm trains: the network, and feedback where it has some.

    **Arguments:** `network`; `feedback`; `memory`: of the optimizer of feedback weights that learn.
    """

    network: Network
    feedback: Feedback | None = None
    memory: Any = None


class Inference(NamedTuple):
    """What inference hands to learning.

    **Fields:** `inputs`: x_l, what each layer sees; `errors`: e_l, the readout's −∂loss/∂f last; `precisions`:
    γ_l, one a segment; `prediction`: f of the forward pass; `metrics`: how inference went.
    """

    inputs: States
    errors: States
    precisions: Precisions
    prediction: Float[Array, "batch out"]
    metrics: Metrics


class AbstractAlgorithm(eqx.Module):
    """A learning rule: `infer` chooses inputs and errors; weight gradients follow from them, the same for all."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The rule's short name, as on the command line."""

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The learner of a built network."""
        return Learner(built.network)

    def tried(self, learner: Learner, batch: Batch) -> None:
        """Refuse, before anything is compiled, what could not learn from a batch: nothing, unless the rule knows of it.

        **Raises:** `InputError`.
        """

    @property
    def pretraining(self) -> int:
        """How many first training steps leave the network as it is."""
        return 0

    def prepare(self, learner: Learner, batch: Batch, *, key: PRNGKeyArray) -> Learner:
        """The learner after what it learns beside the network, before `grads`: nothing, unless it has some."""
        return learner

    @abc.abstractmethod
    def infer(self, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray) -> Inference:
        """Inputs and errors of every layer, for one batch."""

    def grads(self, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray) -> tuple[Network, Metrics]:
        """The weight gradient of the local energies, mean over the batch, and what happened.

        **Returns:** a pytree of the network's structure; metrics: `loss` and `accuracy` of the forward pass,
        and the algorithm's own.
        """
        found = self.infer(learner, batch, loss, key=key)
        gradients = local_gradients(learner.network, found.precisions, found.inputs, found.errors)
        return gradients, forward_metrics(found.prediction, batch, loss) | found.metrics

    def diagnose(self, learner: Learner, batch: Batch, loss: Loss, gradients: Network, *, key: PRNGKeyArray) -> Metrics:
        """Measurements too dear for every step: none, unless the algorithm has some."""
        return {}


def forward_metrics(prediction: Float[Array, "batch out"], batch: Batch, loss: Loss) -> Metrics:
    """Loss and accuracy of the forward pass, means over the batch."""
    hits = jnp.argmax(prediction, axis=-1) == jnp.argmax(batch.y, axis=-1)
    return {
        "loss": jnp.mean(loss(prediction, batch.y)),
        "accuracy": jnp.mean(hits, dtype=prediction.dtype),
    }


def median(values: Float[Array, " count"]) -> Float[Array, ""]:
    """The median, NaN where any value is: as `jnp.median`, in a third of its time to compile."""
    ordered = jnp.sort(values)
    middle = 0.5 * ordered[(ordered.size - 1) // 2] + 0.5 * ordered[ordered.size // 2]
    # NaN is sorted last.
    return jnp.where(jnp.isnan(ordered[-1]), jnp.nan, middle)


def cosine(a: Network, b: Network) -> tuple[Float[Array, ""], Float[Array, " layers"]]:
    """The cosine between two weight gradients: over all weights, and for each layer.

    **Returns:** ⟨a, b⟩ / (|a| |b|) of all weights together, and of each layer's; 0 where one vanishes.
    """
    dots: list[Array] = []
    lefts: list[Array] = []
    rights: list[Array] = []
    for one, other in zip(a.segments, b.segments, strict=True):
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        sums = [
            tuple(jnp.sum(u * v, axis=tuple(range(1, u.ndim))) for u, v in ((p, q), (p, p), (q, q))) for p, q in pairs
        ]
        for part, column in zip((dots, lefts, rights), zip(*sums, strict=True), strict=True):
            part.append(sum(column))
    dot, left, right = (jnp.concatenate(part) for part in (dots, lefts, rights))
    return _ratio(jnp.sum(dot), jnp.sum(left), jnp.sum(right)), _ratio(dot, left, right)


def _ratio(dot: Array, left: Array, right: Array) -> Array:
    # Norms apart: their squares' product underflows in float32 where a deep network's gradients are small.
    norm = jnp.sqrt(left) * jnp.sqrt(right)
    return jnp.where(norm == 0, 0.0, dot / jnp.where(norm == 0, 1.0, norm))
