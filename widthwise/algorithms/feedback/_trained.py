"""Feedback weights that learn beside the network, each layer's from a loss of its own."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ..._errors import InputError, unknown
from ..._numbers import whole_number
from ...inference import at_least_one, not_negative, positive
from ...network import (
    AbstractStage,
    Built,
    Network,
    Segment,
    State,
    States,
    activation,
    trained_feedback,
)
from ...parameterizations import FEEDBACK_OPTIMIZERS
from .._base import Learner
from ._base import AbstractFeedback, _own
from ._losses import difference_reconstruction, layer_losses, local_difference, reconstruction

LEARNS = ("reconstruction", "drl", "ldrl")


class TrainedFeedback(AbstractFeedback):
    """Feedback weights that learn beside the network, each layer's from a loss of its own.

        reconstruction: 1/2 |x − g(f(x))|²,   x = z_{l-1} + σ ξ
        drl:   1/(2σ²) |x − d_l(f_{L<-l}(x))|²,   d_l the difference-corrected way down from the output to layer l − 1
        ldrl:  1/σ² [1/2 |g(z_l + σ η) − g(z_l)|² − ⟨σ ξ, g(f(x)) − g(f(z_{l-1}))⟩]

    f is f_l, g is g_l; ξ, η ~ N(0, 1); sums over units, means over the batch and over the places of an image that
    share Q_l; only Q_l learns from layer l's loss. The optimum of `ldrl` is the transposed Jacobian, whose targets are
    aligned as backprop's; that of the others inverts.

    **Arguments:** `learns`: the loss; `activation`: φ; `optimizer`: of `FEEDBACK_OPTIMIZERS`; `rate`: base rate, of
    which the table gives each layer its multiple; `steps`: updates a batch; `pretrain`: first training steps that
    change the feedback alone; `noise`: σ, above 0 for `drl` and `ldrl`.

    **Raises:** `InputError` for unknown names and values out of range.

    Source: arXiv 1412.7525 (reconstruction), 2006.14331 (drl), 2201.13415 (ldrl); docs/theory.md C1.
    """

    learns: str = eqx.field(static=True, default="reconstruction")
    activation: str = eqx.field(static=True, default="linear")
    optimizer: str = eqx.field(static=True, default="sgd")
    rate: Float[Array, ""] = eqx.field(default=0.1, converter=positive("feedback rate"))
    steps: int = eqx.field(static=True, default=1, converter=at_least_one("feedback steps", "it would not learn"))
    pretrain: int = eqx.field(static=True, default=0, converter=lambda value: whole_number("pretrain", value, 0))
    noise: Float[Array, ""] = eqx.field(default=0.1, converter=not_negative("noise"))

    def __check_init__(self) -> None:
        if self.learns not in LEARNS:
            raise unknown("feedback loss", self.learns, LEARNS)
        if self.optimizer not in FEEDBACK_OPTIMIZERS:
            raise unknown("feedback optimizer", self.optimizer, FEEDBACK_OPTIMIZERS)
        activation(self.activation)
        known = isinstance(self.noise, jax.Array) and not isinstance(self.noise, jax.core.Tracer)
        if self.learns != "reconstruction" and known and self.noise == 0:
            raise InputError(
                f"noise is {float(self.noise)}, and {self.learns} learns from the network's answers to noise",
                setting="noise",
                value=float(self.noise),
                remedy="give a noise above 0",
            )

    @property
    def is_linear(self) -> bool:
        """Whether φ is the identity."""
        return self.activation == "linear"

    @property
    def pretraining(self) -> int:
        """How many."""
        return self.pretrain

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """Random feedback weights."""
        return Learner(built.network, trained_feedback(built, activation=self.activation, key=key))

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
