"""Ways down: how target propagation maps a target of one layer to a target of the layer below.

    g_l: z_l -> z_{l-1},   l = 2 … L

| feedback | g_l(v) |
|---|---|
| ridge | Z_{l-1}^T (Z_l Z_l^T + μ_l I)^-1 Z_l v, of the batch's own states (rows of Z), μ_l = μ' B fan-in(g_l) |
| tied | W_l^T v, with the multiplier of W_l, from the weights as they are |
| trained | φ(Q_l v) or Q_l φ(v), Q_l learned beside the network |

The fan-in of the ridge between images is all of an image's numbers.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError, unknown
from .._positive_solve import positive_solve
from .._product import product
from ..inference import at_least_one, not_negative, positive
from ..network import (
    AbstractStage,
    Built,
    Feedback,
    Network,
    Segment,
    State,
    States,
    activation,
    around,
    each,
    feedback,
    flat,
    forward,
    trained_feedback,
)
from ._base import Batch, Learner
from ._feedback_loss import difference_reconstruction, layer_losses, local_difference, reconstruction

LEARNS = ("reconstruction", "drl", "ldrl")
OPTIMIZERS = ("sgd", "adam")


class AbstractFeedback(eqx.Module):
    """How targets come down. `rows` says once a batch what each layer's map needs, `down` applies one layer's."""

    @property
    @abc.abstractmethod
    def is_linear(self) -> bool:
        """Whether every g_l is linear, so that g(z + s) − g(z) = g(s) without cancellation."""

    @property
    def pretraining(self) -> int:
        """How many first training steps change the feedback alone: none, unless it learns."""
        return 0

    @abc.abstractmethod
    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The learner of a built network, with the feedback's own weights where it has some."""

    def learn(self, learner: Learner, batch: Batch, *, key: PRNGKeyArray) -> Learner:
        """The learner after the feedback's own updates on a batch: the same, unless it learns."""
        return learner

    def tried(self, learner: Learner, batch: Batch) -> None:
        """Refuse what a batch has no solution for: nothing, unless the feedback is solved."""

    @abc.abstractmethod
    def rows(self, learner: Learner, low: States, high: States) -> tuple[Any, ...]:
        """What the maps need, a pytree with a leading axis of depth for each segment above the first.

        **Arguments:** `low`, `high`: z_{l-1} and z_l of these segments' layers.
        """

    @abc.abstractmethod
    def down(self, stage: AbstractStage, row: Any, value: State, like: State) -> State:
        """g_l of a value.

        **Arguments:** `stage`: f_l; `row`: this layer's of `rows`; `value`: a state of layer l; `like`: a state of the
        layer below, whose shape the result has.
        """


class RidgeFeedback(AbstractFeedback):
    """The linear map that reconstructs the batch's own states best, by ridge regression in closed form.

        g_l(v) = Z_{l-1}^T (Z_l Z_l^T + μ_l I)^-1 Z_l v = Z_{l-1}^T Z_l (Z_l^T Z_l + μ_l I)^-1 v

    The first form solves B x B systems, the second one of the state's size; the smaller is taken. States of any shape
    are vectors here, so that it undoes stride and pooling as it undoes a product.

    **Arguments:** `ridge`: μ', which the table's factor, the fan-in of g_l, and B multiply (an array where it is
    swept).

    **Raises:** `InputError` for a ridge that is negative.

    >>> RidgeFeedback(ridge=1e-3).is_linear
    True

    Source: arXiv 2411.02001; docs/theory.md C.
    """

    ridge: Float[Array, ""] = eqx.field(default=1e-3, converter=not_negative("ridge"))

    @property
    def is_linear(self) -> bool:
        """It is."""
        return True

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The factors on the ridge."""
        return Learner(built.network, feedback(built))

    def tried(self, learner: Learner, batch: Batch) -> None:
        """Refuse a ridge of 0 where a Gram matrix is singular, whose solution would be NaN or rounding.

        **Raises:** `InputError`, which names the layer.
        """
        if float(self.ridge) > 0:
            return
        states = around(forward(learner.network, batch.x))[1]
        ranks = [
            each(lambda _, z: jnp.linalg.matrix_rank(flat(z)), *row)
            for row in zip(learner.network.segments[1:], states, strict=True)
        ]
        full = [min(flat(state[0]).shape) for state in states for _ in range(state.shape[0])]
        for layer, (rank, least) in enumerate(zip(jnp.concatenate(ranks).tolist(), full, strict=True), start=2):
            if rank < least:
                raise InputError(
                    f"ridge is {float(self.ridge):g}, and the states of layer {layer} have rank {rank} of {least}: "
                    f"their Gram matrix is singular; use a ridge above 0"
                )

    def rows(self, learner: Learner, low: States, high: States) -> tuple[Any, ...]:
        """Two factors a layer: g(v) = (v left) right, left None where it is the identity."""
        found = []
        for segment, factor, z, target in zip(
            learner.network.segments[1:], _own(learner).ridges, high, low, strict=True
        ):
            # Of an image every pixel adds to the Gram matrix as every channel does.
            _, batch, *pixels, _ = z.shape
            ridge = self.ridge * (batch * math.prod(pixels) * factor)
            found.append(each(lambda _, z, x, ridge=ridge: ridge_map(flat(z), flat(x), ridge), segment, z, target))
        return tuple(found)

    def down(self, stage: AbstractStage, row: Any, value: State, like: State) -> State:
        """(v left) right, in the shape of the layer below."""
        left, right = row
        rows = flat(value) if left is None else product(flat(value), left)
        return jnp.reshape(product(rows, right), like.shape)


class TiedFeedback(AbstractFeedback):
    """The transposed forward weights: aligned feedback, which brings backprop's kernel regime back.

        g_l(v) = W_l^T v

    Source: docs/theory.md C2a.
    """

    @property
    def is_linear(self) -> bool:
        """It is."""
        return True

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The network alone: nothing is stored, so nothing can be shared by mistake."""
        return Learner(built.network)

    def rows(self, learner: Learner, low: States, high: States) -> tuple[Any, ...]:
        """Nothing: the stages have it."""
        return ((),) * len(low)

    def down(self, stage: AbstractStage, row: Any, value: State, like: State) -> State:
        """W_l^T v."""
        return stage.transposed(value, like)


class TrainedFeedback(AbstractFeedback):
    """Feedback weights that learn beside the network, each layer's from a loss of its own.

        reconstruction: 1/2 |x − g(f(x))|²,   x = z_{l-1} + σ ξ
        drl:   1/(2σ²) |x − d_l(f_{L<-l}(x))|²,   d_l the difference-corrected way down from the output to layer l − 1
        ldrl:  1/σ² [1/2 |g(z_l + σ η) − g(z_l)|² − ⟨σ ξ, g(f(x)) − g(f(z_{l-1}))⟩]

    f is f_l, g is g_l; ξ, η ~ N(0, 1); sums over units, means over the batch and over the places of an image that
    share Q_l; only Q_l learns from layer l's loss. The optimum of `ldrl` is the transposed Jacobian, whose targets are
    aligned as backprop's; that of the others inverts.

    **Arguments:** `learns`: the loss; `activation`: φ; `optimizer`: `"sgd"` or `"adam"`; `rate`: base rate, of which
    the table gives each layer its multiple; `steps`: updates a batch; `pretrain`: first training steps that change the
    feedback alone; `noise`: σ, above 0 for `drl` and `ldrl`.

    **Raises:** `InputError` for unknown names and values out of range.

    Source: arXiv 1412.7525 (reconstruction), 2006.14331 (drl), 2201.13415 (ldrl); docs/theory.md C1.
    """

    learns: str = eqx.field(static=True, default="reconstruction")
    activation: str = eqx.field(static=True, default="linear")
    optimizer: str = eqx.field(static=True, default="sgd")
    rate: Float[Array, ""] = eqx.field(default=0.1, converter=positive("feedback rate"))
    steps: int = eqx.field(static=True, default=1, converter=at_least_one("feedback steps", "it would not learn"))
    pretrain: int = eqx.field(static=True, default=0)
    noise: Float[Array, ""] = eqx.field(default=0.1, converter=not_negative("noise"))

    def __check_init__(self) -> None:
        if self.learns not in LEARNS:
            raise unknown("feedback loss", self.learns, LEARNS)
        if self.optimizer not in OPTIMIZERS:
            raise unknown("feedback optimizer", self.optimizer, OPTIMIZERS)
        activation(self.activation)
        if isinstance(self.pretrain, bool) or not isinstance(self.pretrain, int) or self.pretrain < 0:
            raise InputError(f"feedback pretraining is {self.pretrain!r}: it must be a whole number of at least 0")
        known = isinstance(self.noise, jax.Array) and not isinstance(self.noise, jax.core.Tracer)
        if self.learns != "reconstruction" and known and self.noise == 0:
            raise InputError(f"noise is 0: {self.learns} learns from the network's answers to noise")

    @property
    def is_linear(self) -> bool:
        """Whether φ is the identity."""
        return self.activation == "linear"

    @property
    def pretraining(self) -> int:
        """How many."""
        return self.pretrain

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """Random feedback weights and their optimizer's memory."""
        held = trained_feedback(built, activation=self.activation, key=key)
        return Learner(built.network, held, self._direction.init(eqx.filter(held.segments, eqx.is_array)))

    def learn(self, learner: Learner, batch: Batch, *, key: PRNGKeyArray) -> Learner:
        """`steps` updates of every layer's feedback at once."""
        low, high = around(forward(learner.network, batch.x))
        held = _own(learner)
        scalings = held.scalings
        arrays, static = eqx.partition(held.segments, eqx.is_array)

        def update(turn: Array, carry: Any) -> Any:
            arrays, memory = carry
            own = jax.random.fold_in(key, turn)
            gradient = jax.grad(
                lambda arrays: self.loss(learner.network, eqx.combine(arrays, static), low, high, key=own)
            )(arrays)
            # The table's epsilon, as in `training.optimizer`: gradients divided by it meet the common one.
            gradient = jax.tree.map(lambda g, s: g / s.epsilon if self.optimizer == "adam" else g, gradient, scalings)
            with jax.numpy_dtype_promotion("standard"):
                direction, memory = self._direction.update(gradient, memory)
            moved = jax.tree.map(
                lambda w, d, s: w - self.rate.astype(w.dtype) * s.rate * d, arrays, direction, scalings
            )
            return moved, memory

        arrays, memory = jax.lax.fori_loop(0, self.steps, update, (arrays, learner.memory))
        segments = eqx.combine(arrays, static)
        held = eqx.tree_at(lambda f: f.segments, held, segments)
        return Learner(learner.network, held, memory)

    def loss(
        self, network: Network, feedback: tuple[Segment, ...], low: States, high: States, *, key: PRNGKeyArray
    ) -> Float[Array, ""]:
        """The sum of all layers' losses, as a function of the feedback's weights."""
        noise = self.noise.astype(jax.tree.leaves(low)[0].dtype)
        if self.learns == "drl":
            return difference_reconstruction(network, feedback, low, high, noise, key=key)
        kind = reconstruction if self.learns == "reconstruction" else local_difference
        return layer_losses(kind, network, feedback, low, high, noise, key=key)

    def rows(self, learner: Learner, low: States, high: States) -> tuple[Any, ...]:
        """The stages g_l."""
        return tuple(segment.stages for segment in _own(learner).segments)

    def down(self, stage: AbstractStage, row: Any, value: State, like: State) -> State:
        """g_l(v)."""
        return row(value)

    @property
    def _direction(self) -> optax.GradientTransformation:
        return optax.scale_by_adam() if self.optimizer == "adam" else optax.identity()


def _own(learner: Learner) -> Feedback:
    """The learner's feedback.

    **Raises:** `InputError` where it has none, having been made for another algorithm.
    """
    if learner.feedback is None:
        raise InputError("the learner has no feedback: make it with this algorithm's `init(built, key=key)`")
    return learner.feedback


def ridge_map(
    z: Float[Array, "batch high"], x: Float[Array, "batch low"], ridge: Float[Array, ""]
) -> tuple[Float[Array, "high batch"] | None, Float[Array, "rank low"]]:
    """The factors of the ridge regression from rows z to rows x: v -> (v left) right.

    Z^T (Z Z^T + μ I_B)^-1 X where examples are fewer than units, else (Z^T Z + μ I)^-1 Z^T X and no left factor
    """
    if z.shape[0] < z.shape[1]:
        return z.T, _solved(product(z, z.T), ridge, x)
    return None, _solved(product(z.T, z), ridge, product(z.T, x))


def _solved(gram: Array, ridge: Array, right: Array) -> Array:
    shifted = gram + ridge.astype(gram.dtype) * jnp.eye(gram.shape[0], dtype=gram.dtype)
    return positive_solve(shifted, right)
