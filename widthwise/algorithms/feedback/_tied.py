"""Feedback that is the transposed forward weights."""

from typing import Any

from jaxtyping import PRNGKeyArray

from ...network import AbstractStage, Built, State, States
from .._base import Learner
from ._base import AbstractFeedback


class TiedFeedback(AbstractFeedback):
    """The transposed forward weights: aligned feedback, which brings backprop's kernel regime back.

        g_l(v) = W_l^T v

    Source: docs/theory.md C2a.
    """

    @property
    def is_linear(self) -> bool:
        """It is."""
        return True

    @property
    def is_aligned(self) -> bool:
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
