"""Target propagation: every layer learns towards a target that feedback maps down from the layer above."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._loss import Loss, output_error
from ..inference import positive
from ..network import AbstractStage, Built, Network, State, States, around, flat, forward, inputs, sweep
from ._backprop import Backprop
from ._base import AbstractAlgorithm, Batch, Inference, Learner, Metrics, Update, cosine, median
from .feedback import AbstractFeedback, RidgeFeedback


class TargetPropagation(AbstractAlgorithm):
    """Target propagation (TP), and difference target propagation (DTP).

        t_L = z_L − η̂ ∂loss/∂z_L
        TP:  t_{l-1} = g_l(t_l)          DTP:  t_{l-1} = z_{l-1} + g_l(t_l) − g_l(z_l)
        x_l = z_{l-1},   e_l = t_l − z_l at the forward pass,   γ_l = 1/η̂;   the readout learns from the loss, γ_L = 1

    Hidden losses are divided by η̂, so that rates hardly depend on it, and of images they are means over pixels. Errors
    s_l = t_l − z_l are carried instead of targets: s_{l-1} = g_l(s_l) for linear feedback under DTP, without
    cancellation.

    **Arguments:** `feedback`: g_l; `difference`: DTP, which corrects each target by what g_l fails to reconstruct;
    `target_step`: η̂ (None: 0.1 for DTP, 1 for TP, whose targets carry the whole reconstruction error).

    **Raises:** `InputError` for a target step that is not positive.

    >>> TargetPropagation().name
    'dtp'

    Source: arXiv 1412.7525 (DTP); 2411.02001; docs/theory.md C.
    """

    feedback: AbstractFeedback = eqx.field(default_factory=RidgeFeedback)
    difference: bool = eqx.field(static=True, default=True)
    target_step: Float[Array, ""] | None = eqx.field(
        default=None, converter=lambda value: None if value is None else positive("eta_hat")(value)
    )

    @property
    def name(self) -> str:
        """`"dtp"` or `"tp"`."""
        return "dtp" if self.difference else "tp"

    @property
    def pretraining(self) -> int:
        """The feedback's."""
        return self.feedback.pretraining

    @property
    def measures_errors(self) -> bool:
        """Those that feedback brings down."""
        return True

    def error_slope(self, *, richness: float, gamma_bar: float) -> float | None:
        """0: targets have the size of what they replace. Unknown of aligned feedback, whose errors are backprop's."""
        return None if self.feedback.is_aligned else 0.0

    def init(self, built: Built, *, key: PRNGKeyArray) -> Learner:
        """The network and its feedback."""
        return self.feedback.init(built, key=key)

    def prepare(self, learner: Learner, batch: Batch, update: Update, *, key: PRNGKeyArray) -> Learner:
        """The feedback learns first."""
        return self.feedback.learn(learner, batch, update, key=key)

    def validate(self, learner: Learner, batch: Batch) -> None:
        """As the feedback does."""
        super().validate(learner, batch)
        self.feedback.validate(learner, batch)

    def infer(self, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray) -> Inference:
        """The forward pass, and one sweep of targets down."""
        *hidden, prediction = states = forward(learner.network, batch.x)
        error = output_error(loss, prediction[0], batch.y)
        step = self._step(error.dtype)
        errors, missed = self._targets(learner, *around(states), step * error)
        one = jnp.ones((), error.dtype)
        # Every pixel of an image has an error of its own: their mean leaves rates what they are for vectors.
        precisions = (*(one / (step * math.prod(error.shape[2:-1])) for error in errors), one)
        metrics = {"reconstruction": median(missed)}
        return Inference(inputs(batch.x, tuple(hidden)), (*errors, error[None]), precisions, prediction[0], metrics)

    def _targets(
        self, learner: Learner, low: States, high: States, shift: Array
    ) -> tuple[States, Float[Array, " layers"]]:
        """e_l of the hidden layers, and how much of each state below its feedback fails to reconstruct."""
        rows = self.feedback.rows(learner, low, high)

        def step(shift: State, stage: AbstractStage, row: Any, x: State, z: State) -> tuple[State, Any]:
            restored = self.feedback.down(stage, row, z, x)
            if self.difference and self.feedback.is_linear:
                arrived = self.feedback.down(stage, row, shift, x)
            else:
                reached = self.feedback.down(stage, row, z + shift, x)
                arrived = reached - (restored if self.difference else x)
            missed = jnp.linalg.norm(flat(restored - x)) / jnp.linalg.norm(flat(x))
            return arrived, (shift, missed)

        errors, missed = [], []
        for index in range(len(rows) - 1, -1, -1):
            segment = learner.network.segments[1 + index]
            shift, (own, ratio) = sweep(step, shift, segment, rows[index], low[index], high[index], reverse=True)
            errors.append(own)
            missed.append(ratio)
        # The readout's own error is the loss's; the first layer's is what arrives last.
        hidden = (jax.tree.map(lambda leaf: leaf[None], shift), *reversed(errors[1:]))
        return hidden, jnp.concatenate(missed)

    def diagnose(self, learner: Learner, batch: Batch, loss: Loss, gradients: Network, *, key: PRNGKeyArray) -> Metrics:
        """The update's cosine to backprop's gradient: all weights (`cosine`), and the least layer's."""
        whole, layers = cosine(gradients, Backprop().grads(learner, batch, loss, key=key)[0])
        return {"cosine": whole, "cosine_layer_min": jnp.min(layers)}

    def _step(self, dtype: Any) -> Array:
        """η̂."""
        default = 0.1 if self.difference else 1.0
        return jnp.asarray(default if self.target_step is None else self.target_step, dtype)
