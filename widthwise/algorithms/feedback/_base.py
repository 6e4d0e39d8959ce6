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
from jaxtyping import PRNGKeyArray

from ..._errors import InputError
from ...network import (
    AbstractStage,
    Built,
    Feedback,
    State,
    States,
)
from .._base import Batch, Learner


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


def _own(learner: Learner) -> Feedback:
    """The learner's feedback.

    **Raises:** `InputError` where it has none, having been made for another algorithm.
    """
    if learner.feedback is None:
        raise InputError("the learner has no feedback: make it with this algorithm's `init(built, key=key)`")
    return learner.feedback
