"""Predictive coding with parts of its update left out: rules for `widthwise train --rule`, to see which part matters.

At equilibrium PC's update is the gradient of F* = 1/2 r^T S^-1 r, S = I/γ_L + J J^T (docs/theory.md B1): through the
residual r, as backprop of an output error S^-1 r, and through S, which lowers F* by raising the network's curvature.
The second is what a layer learns from the displacement of its input, e_l (h_{l-1} − z_{l-1})^T.
"""

from widthwise.algorithms import AbstractAlgorithm, Inference, PredictiveCoding
from widthwise.inference import Automatic, scaled
from widthwise.network import forward, inputs, pullback

# γ_L = N / L, of a table with gamma_bar -1 at base 64 and 8, as in precision_dial.py.
SETTLED = PredictiveCoding(Automatic(iterations=60), output_precision=64 / 8)


class Whole(AbstractAlgorithm):
    """Predictive coding itself: the control."""

    @property
    def name(self) -> str:
        """The rule's short name."""
        return "pc"

    def infer(self, learner, batch, loss, *, key) -> Inference:
        """The equilibrium's inputs and errors."""
        return SETTLED.infer(learner, batch, loss, key=key)

    def diagnose(self, learner, batch, loss, gradients, *, key):
        """Cosine to backprop and curvature."""
        return SETTLED.diagnose(learner, batch, loss, gradients, key=key)


class ForwardInputs(AbstractAlgorithm):
    """The equilibrium's errors, the forward pass's inputs: F* through its residual alone, as far as layers are linear.

    e_l = e*_l,   x_l = z_{l-1}
    """

    @property
    def name(self) -> str:
        """The rule's short name."""
        return "pc_forward_inputs"

    def infer(self, learner, batch, loss, *, key) -> Inference:
        """The equilibrium's errors at the forward pass's inputs."""
        found = SETTLED.infer(learner, batch, loss, key=key)
        *hidden, _ = forward(learner.network, batch.x)
        return found._replace(inputs=inputs(batch.x, tuple(hidden)))

    def diagnose(self, learner, batch, loss, gradients, *, key):
        """Cosine to backprop and curvature."""
        return SETTLED.diagnose(learner, batch, loss, gradients, key=key)


class OutputError(AbstractAlgorithm):
    """Backprop of the equilibrium's output error: F* through its residual alone, whatever the activation.

    e_l = γ_L J_l^T e*_L at the forward pass,   x_l = z_{l-1}
    """

    @property
    def name(self) -> str:
        """The rule's short name."""
        return "bp_of_output_error"

    def infer(self, learner, batch, loss, *, key) -> Inference:
        """Errors pulled back from the equilibrium's output error."""
        found = SETTLED.infer(learner, batch, loss, key=key)
        *hidden, _ = forward(learner.network, batch.x)
        error = found.errors[-1][0]
        pulled = pullback(learner.network, tuple(hidden), scaled(found.precisions[-1], error))
        return found._replace(inputs=inputs(batch.x, tuple(hidden)), errors=(*pulled, error[None]))

    def diagnose(self, learner, batch, loss, gradients, *, key):
        """Cosine to backprop and curvature."""
        return SETTLED.diagnose(learner, batch, loss, gradients, key=key)
