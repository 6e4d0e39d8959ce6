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
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ..._errors import InputError
from ..._fact import fact
from ...network import AbstractStage, Built, Feedback, Network, Segment, State, States, around, forward
from .._base import Batch, Learner, Update


class AbstractFeedback(eqx.Module):
    """How targets come down. `rows` says once a batch what each layer's map needs, `down` applies one layer's.

        t_{l-1} = g_l(t_l) (− g_l(z_l) + z_{l-1}),   l = L … 2

    Facts, overridden by a field, an attribute or a property: `is_aligned`, `pretraining`; and of feedback whose weights
    learn `optimizer`, `rate`, `steps`, which go with a `loss`. Its weights are in `Learner.feedback.segments`, made by
    `init` (as `network.trained_feedback` does), and move by the same optimizers as the network's.

    **Raises:** whatever a subclass raises; `InputError` for what a user can mend.

    >>> import widthwise as ww
    >>> class Doubled(ww.AbstractFeedback):
    ...     is_linear = True
    ...     def init(self, built, *, key):
    ...         return ww.Learner(built.network)
    ...     def rows(self, learner, low, high):
    ...         return ((),) * len(low)
    ...     def down(self, stage, row, value, like):
    ...         return 2 * stage.transposed(value, like)
    >>> ww.TargetPropagation(Doubled()).feedback.optimizer is None
    True
    """

    @property
    @abc.abstractmethod
    def is_linear(self) -> bool:
        """Whether every g_l is linear, so that g(z + s) − g(z) = g(s) without cancellation."""

    @fact
    def is_aligned(self) -> bool:
        """Whether g_l is the transposed layer, so that errors are backprop's."""
        return False

    @fact
    def pretraining(self) -> int:
        """How many first training steps change the feedback alone: none, unless it learns."""
        return 0

    @fact
    def optimizer(self) -> str | None:
        """What moves the feedback's weights, a name of `FEEDBACK_OPTIMIZERS`; None: they do not learn from `loss`."""
        return None

    @fact
    def rate(self) -> Float[Array, ""] | None:
        """Base rate of the feedback's weights, of which the table gives each layer its multiple."""
        return None

    @fact
    def steps(self) -> int:
        """Updates of the feedback's weights, a batch."""
        return 1

    @abc.abstractmethod
    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The learner of a built network, with the feedback's own weights where it has some."""

    def learn(self, learner: Learner, batch: Batch, update: Update, *, key: PRNGKeyArray) -> Learner:
        """The learner after `steps` updates of every layer's feedback at once; the same where no weights learn.

        Q, memory <- update(∂loss/∂Q, memory, Q)
        """
        if self.optimizer is None:
            return learner
        low, high = around(forward(learner.network, batch.x))
        held = _own(learner)
        arrays, static = eqx.partition(held.segments, eqx.is_inexact_array)

        def again(turn: Array, carry: Any) -> Any:
            arrays, memory = carry
            own = jax.random.fold_in(key, turn)
            gradient = jax.grad(
                lambda arrays: self.loss(learner.network, eqx.combine(arrays, static), low, high, key=own)
            )(arrays)
            return update(gradient, memory, arrays)

        arrays, memory = jax.lax.fori_loop(0, self.steps, again, (arrays, learner.memory))
        held = eqx.tree_at(lambda f: f.segments, held, eqx.combine(arrays, static))
        return Learner(learner.network, held, memory)

    def loss(
        self, network: Network, feedback: tuple[Segment, ...], low: States, high: States, *, key: PRNGKeyArray
    ) -> Float[Array, ""]:
        """What the feedback's weights learn from: the sum of all layers' losses, mean over the batch.

        **Arguments:** `network`; `feedback`: the stages g_l; `low`, `high`: z_{l-1} and z_l; `key`: of its noise.

        **Raises:** `InputError`, unless a subclass has one.
        """
        raise InputError(
            f"{type(self).__name__} names the optimizer {self.optimizer!r} and has no loss to learn from",
            setting="optimizer",
            value=self.optimizer,
            remedy="define `loss(network, feedback, low, high, *, key)`, or leave `optimizer` out",
        )

    def validate(self, learner: Learner, batch: Batch) -> None:
        """Raise `InputError` if this batch cannot be used. Default: accept."""
        # Until 0.2: its name was `tried`.
        if (tried := getattr(self, "tried", None)) is not None:
            tried(learner, batch)

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


def _own(learner: Learner) -> Feedback:
    """The learner's feedback.

    **Raises:** `InputError` where it has none, having been made for another algorithm.
    """
    if learner.feedback is None:
        raise InputError(
            "the learner has no feedback",
            setting="feedback",
            value=None,
            remedy="make it with this algorithm's `init(built, key=key)`",
        )
    return learner.feedback
