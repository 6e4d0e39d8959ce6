"""How error reaches each layer: every algorithm chooses inputs and targets; learning is the same local regression.

    E(θ) = Σ_{l<L} (γ_l/2) |t_l − f_l(x_l; θ_l)|² + γ_L loss(f_L(x_L; θ_L), y),   x_l, t_l held fixed
    −∂E/∂θ_l = (∂f_l/∂θ_l)^T γ_l e_l,   e_l = t_l − f_l(x_l),   e_L = −∂loss/∂f

Errors, not targets, are carried: t − f cancels in float32.
"""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._fact import fact
from .._loss import Loss
from ..inference import AbstractRelaxation, Point, Problem
from ..network import Built, Feedback, Network, States
from ._local_regression import Precisions, local_gradients

if TYPE_CHECKING:
    from .feedback import AbstractFeedback

Metrics = dict[str, Float[Array, ""]]

# One step of an optimizer, given to an algorithm: (gradients, memory, weights) -> (weights, memory).
Update = Callable[[Any, Any, Any], tuple[Any, Any]]


class Batch(NamedTuple):
    """Examples and their targets.

    **Fields:** `x`: (batch, ...), as the network reads it; `y`: (batch, out).

    >>> Batch(jnp.ones((8, 3)), jnp.zeros((8, 2))).x.shape
    (8, 3)
    """

    x: Float[Array, "batch *in"]
    y: Float[Array, "batch out"]


class Learner(eqx.Module):
    """What an algorithm trains: the network, and feedback where it has some.

    **Arguments:** `network`; `feedback`; `memory`: of the optimizer of feedback weights that learn, which
    `training.init_learner` lays out.

    >>> import widthwise as ww
    >>> built = ww.mlp(2, 4, 1, depth=2, table=ww.parameterization("mup"), key=jax.random.key(0))
    >>> Learner(built.network).feedback is None
    True
    """

    network: Network
    feedback: Feedback | None = None
    memory: Any = None


class Inference(NamedTuple):
    """What inference hands to learning.

        ∂E/∂θ_l = −(1/B) Σ_b (∂f_l(x_l)/∂θ_l)^T γ_l e_l

    **Fields:** `inputs`: x_l, what each layer sees; `errors`: e_l, the readout's −∂loss/∂f last; both one entry a
    segment, leaves (depth, batch, ...); `precisions`: γ_l, one a segment; `prediction`: f of the forward pass;
    `metrics`: how inference went, scalars that training records.

    >>> import widthwise as ww
    >>> built = ww.mlp(2, 4, 1, depth=3, table=ww.parameterization("mup"), key=jax.random.key(0))
    >>> batch = Batch(jnp.ones((8, 2)), jnp.zeros((8, 1)))
    >>> found = ww.Backprop().infer(Learner(built.network), batch, ww.mse, key=jax.random.key(1))
    >>> [error.shape for error in found.errors]
    [(1, 8, 4), (1, 8, 4), (1, 8, 1)]
    """

    inputs: States
    errors: States
    precisions: Precisions
    prediction: Float[Array, "batch out"]
    metrics: Metrics


class Stepped(NamedTuple):
    """What a training step of an algorithm comes to.

    **Fields:** `learner`: after it; `memory`: of the network's optimizer; `gradients`: the direction that the weights
    followed, which diagnoses and measurements are about, None where there is none; `metrics`: what happened.

    >>> Stepped(learner=None, memory=(), gradients=None, metrics={}).gradients is None
    True
    """

    learner: Learner
    memory: Any
    gradients: Network | None
    metrics: Metrics


class AbstractAlgorithm(eqx.Module):
    """A learning rule: `infer` chooses inputs and errors; weight gradients follow from them, the same for all.

        E(θ) = Σ_{l<L} (γ_l/2) |t_l − f_l(x_l; θ_l)|² + γ_L loss(f_L(x_L; θ_L), y),   e_l = t_l − f_l(x_l)

    A subclass says its `name` and `infer`. Where one local regression a batch is not the rule, it overrides `grads`
    (another gradient), or `step` (weights that move more than once, or between phases).

    What the rest of the library may ask of a rule are its facts, which a subclass overrides by a field, an attribute
    or a property of the same name: `relaxation`, `feedback`, `output_precision`, `output_loss`, `fixed_prediction`,
    `pretraining`, `measures_errors`, `passes`; and `error_slope` and `problem`, which have arguments.

    **Raises:** whatever a subclass raises; `InputError` for what a user can mend.

    >>> import widthwise as ww
    >>> class Halved(ww.AbstractAlgorithm):
    ...     name = "halved"
    ...     def infer(self, learner, batch, loss, *, key):
    ...         found = ww.Backprop().infer(learner, batch, loss, key=key)
    ...         return found._replace(errors=jax.tree.map(lambda error: 0.5 * error, found.errors))
    >>> Halved().pretraining, Halved().relaxation is None
    (0, True)
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The rule's short name, as on the command line."""

    @fact
    def relaxation(self) -> AbstractRelaxation | None:
        """How activities settle; None: nothing settles."""
        return None

    @fact
    def feedback(self) -> "AbstractFeedback | None":
        """How targets come down; None: by no feedback."""
        return None

    @fact
    def output_precision(self) -> Float[Array, ""] | None:
        """γ', the output's precision before the table's factor; None: the rule has none."""
        return None

    @fact
    def output_loss(self) -> str:
        """Whether the readout's own update is `"weighted"` by the output's precision or `"unweighted"`."""
        return "weighted"

    @fact
    def fixed_prediction(self) -> bool:
        """Whether predictions, Jacobians and inputs stay at the forward pass while activities settle."""
        return False

    @fact
    def pretraining(self) -> int:
        """How many first training steps leave the network as it is."""
        return 0

    @fact
    def measures_errors(self) -> bool:
        """Whether the coordinate check measures the hidden errors e_l that `infer` gives."""
        return False

    @fact
    def passes(self) -> int:
        """T: passes up and down that inference makes at most, beside the forward pass and its gradient."""
        if self.relaxation is not None:
            return self.relaxation.passes
        return 0 if self.feedback is None else 1

    def error_slope(self, *, richness: float, gamma_bar: float) -> float | None:
        """d log RMS(e_l) / d log M of the hidden errors where the table is right; None where nothing is known.

        **Arguments:** `richness`: r of the table; `gamma_bar`: the exponent of the output precision.
        """
        return None

    def problem(self, learner: Learner, batch: Batch, loss: Loss) -> Problem | None:
        """The energy that inference lowers, whose curvature can be measured; None: there is none."""
        return None

    def posed(self, learner: Learner, batch: Batch, loss: Loss) -> tuple[Problem, Point] | None:
        """The energy as inference meets it, and its forward pass; None: there is none."""
        problem = self.problem(learner, batch, loss)
        return None if problem is None else (problem, problem.start())

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The learner of a built network; `training.init_learner` adds the memory of feedback that learns."""
        return Learner(built.network)

    def validate(self, learner: Learner, batch: Batch) -> None:
        """Raise `InputError` if this batch cannot be used. Default: accept.

        **Arguments:** `learner`, `batch`: of numbers; it is asked once, before anything is compiled.
        """
        # Until 0.2: its name was `tried`.
        if (tried := getattr(self, "tried", None)) is not None:
            tried(learner, batch)

    def prepare(self, learner: Learner, batch: Batch, update: Update, *, key: PRNGKeyArray) -> Learner:
        """The learner after what it learns beside the network, before `step`: nothing, unless it has some.

        **Arguments:** `update`: one step of the optimizer of the feedback's weights.
        """
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

    def step(
        self, learner: Learner, memory: Any, batch: Batch, loss: Loss, update: Update, *, key: PRNGKeyArray
    ) -> Stepped:
        """One training step. Default: one update by `grads`.

            θ, memory <- update(gradients, memory, θ)

        A rule whose weights move more than once a batch, or between two phases of inference, calls `update` each time.

        **Arguments:** `learner`: after `prepare`; `memory`: of the network's optimizer, handed from update to update;
        `update(gradients, memory, network) -> (network, memory)`: one optimizer step at this step's rate.

        **Returns:** a `Stepped`.
        """
        gradients, metrics = self.grads(learner, batch, loss, key=key)
        network, memory = update(gradients, memory, learner.network)
        return Stepped(eqx.tree_at(lambda held: held.network, learner, network), memory, gradients, metrics)

    def diagnose(self, learner: Learner, batch: Batch, loss: Loss, gradients: Network, *, key: PRNGKeyArray) -> Metrics:
        """Measurements too dear for every step: none, unless the algorithm has some.

        **Arguments:** `learner`: before the step's updates; `gradients`: of `Stepped`.
        """
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
