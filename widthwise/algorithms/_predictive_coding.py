"""Predictive coding: inputs and targets are activities that minimize the energy which the weights then lower."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError, expect, unknown
from .._loss import Loss
from ..inference import (
    AbstractRelaxation,
    ErrorDescent,
    Point,
    Problem,
    capped,
    curvature,
    factor,
    factor_or_none,
    scaled,
)
from ..network import Network, inputs
from ..parameterizations import OUTPUT_LOSSES
from ._backprop import Backprop
from ._base import AbstractAlgorithm, Batch, Inference, Learner, Metrics, cosine, median
from ._local_regression import Precisions

# ‖C‖ differs little between examples, and six sweeps over a whole batch would cost as much as inference.
PROBED = 4


class PredictiveCoding(AbstractAlgorithm):
    """Predictive coding (PC), from the forward pass (F-ini), both ends of the chain clamped.

        F = Σ_{l<L} [(γ_l/2) |h_l − f_l(h_{l-1})|² + (α/2) |h_l|²] + γ_L loss(f_L(h_{L-1}), y)
        x_l = h*_{l-1},   e_l = e*_l

    **Arguments:** `relaxation`: how activities settle; `output_precision`: γ', which the network's own factor of
    width and depth multiplies to γ_L (an array where it is swept); `fixed_prediction`: predictions, Jacobians and
    inputs stay at the forward pass (FPA); `output_loss`: whether the readout's own update is `"weighted"` by γ_L or
    `"unweighted"`; `precision_cap`: c, which lowers each example's γ_L,b until the curvature that its output error
    meets is at most c, so that every example settles soon; its gradient, weighted by γ_L / γ_L,b, counts as before;
    `activity_decay`: α, which draws the hidden activities to 0 (none). What the output asks of each unit shrinks as
    γ_L/N under muP, so α in proportion to γ_L/N keeps its part in the energy's gradient as networks grow wider.

    **Raises:** `InputError` for a relaxation that is none, a precision, cap or decay that is not positive, a cap or
    decay on fixed predictions, a cap beside decay, whose curvature it cannot see, and an unknown output loss.

    Source: arXiv 2411.02001; arXiv 2505.13124 (activity decay); docs/theory.md B.
    """

    relaxation: AbstractRelaxation = eqx.field(default_factory=ErrorDescent)
    output_precision: Float[Array, ""] = eqx.field(default=1.0, converter=factor("output_precision"))
    fixed_prediction: bool = eqx.field(static=True, default=False)
    output_loss: str = eqx.field(static=True, default="weighted")
    precision_cap: Float[Array, ""] | None = eqx.field(default=None, converter=factor_or_none("precision_cap"))
    activity_decay: Float[Array, ""] | None = eqx.field(default=None, converter=factor_or_none("activity_decay"))

    def __check_init__(self) -> None:
        expect(AbstractRelaxation, "ww.Automatic()", relaxation=self.relaxation)
        if self.output_loss not in OUTPUT_LOSSES:
            raise unknown("output loss", self.output_loss, OUTPUT_LOSSES)
        if self.precision_cap is not None and self.fixed_prediction:
            raise InputError(
                f"precision_cap {self.precision_cap} has nothing to cap under fixed_prediction",
                setting="precision_cap",
                value=self.precision_cap,
                remedy="leave one of them out",
            )
        if self.activity_decay is not None and (self.fixed_prediction or self.precision_cap is not None):
            other = "fixed_prediction" if self.fixed_prediction else "precision_cap"
            raise InputError(
                f"activity_decay {self.activity_decay} is not part of what {other} knows",
                setting="activity_decay",
                value=self.activity_decay,
                remedy="leave one of them out",
            )

    @property
    def name(self) -> str:
        """`"pc"`."""
        return "pc"

    @property
    def measures_errors(self) -> bool:
        """Those of the equilibrium."""
        return True

    def error_slope(self, *, richness: float, gamma_bar: float) -> float | None:
        """min(−γ̄, 2 r) − 1/2 − r, of fixed predictions −γ̄ − 1/2 − r; unknown of a cap and of decay."""
        if self.precision_cap is not None or self.activity_decay is not None:
            return None
        bounded = math.inf if self.fixed_prediction else 2 * richness
        return min(-gamma_bar, bounded) - 0.5 - richness

    def problem(self, learner: Learner, batch: Batch, loss: Loss) -> Problem:
        """The energy of one batch."""
        decay = None if self.activity_decay is None else self.activity_decay.astype(batch.x.dtype)
        precisions = self._precisions(learner, batch)
        return Problem(learner.network, precisions, batch.x, batch.y, loss, self.fixed_prediction, decay)

    def posed(self, learner: Learner, batch: Batch, loss: Loss) -> tuple[Problem, Point]:
        """The energy that inference lowers, every example's output precision capped, and its forward pass."""
        problem = self.problem(learner, batch, loss)
        start = problem.start()
        return (problem, start) if self.precision_cap is None else capped(problem, start, self.precision_cap)

    def infer(self, learner: Learner, batch: Batch, loss: Loss, *, key: PRNGKeyArray) -> Inference:
        """Settle the activities, and hand over what each layer then sees and by how much it errs."""
        problem, start = self.posed(learner, batch, loss)
        point, settled = self.relaxation(problem, start)
        precisions, hidden = self._precisions(learner, batch), point.errors
        if self.precision_cap is not None:
            weight = precisions[-1] / problem.precisions[-1]
            hidden = jax.tree.map(lambda leaf: jax.vmap(scaled, (None, 0))(weight, leaf), hidden)
        if self.output_loss == "unweighted":
            precisions = (*precisions[:-1], jnp.ones_like(precisions[-1]))
        residual = settled.residual
        metrics = {
            "residual_median": median(residual),
            "residual_max": jnp.max(residual),
            "iterations": median(settled.iterations.astype(residual.dtype)),
            "settled": jnp.mean(settled.converged, dtype=residual.dtype),
            "energy": jnp.mean(settled.energy),
        }
        errors = (*hidden, point.output_error[None])
        return Inference(inputs(batch.x, point.states), errors, precisions, start.prediction, metrics)

    def diagnose(self, learner: Learner, batch: Batch, loss: Loss, gradients: Network, *, key: PRNGKeyArray) -> Metrics:
        """How far from backprop this update is: its cosine to BP's gradient, and ‖C‖ of the first examples.

        **Returns:** `cosine` (all weights), `cosine_layer_min` (the least of any layer), `curvature` (median).
        """
        reference, _ = Backprop().grads(learner, batch, loss, key=key)
        whole, layers = cosine(gradients, reference)
        few = Batch(batch.x[:PROBED], batch.y[:PROBED])
        norm = median(curvature(*self.posed(learner, few, loss)))
        return {"cosine": whole, "cosine_layer_min": jnp.min(layers), "curvature": norm}

    def _precisions(self, learner: Learner, batch: Batch) -> Precisions:
        """γ_l of every segment: 1 below the readout, there γ' times the network's own factor."""
        segments = learner.network.segments
        hidden = tuple(segment.precision.value.astype(batch.x.dtype) for segment in segments[:-1])
        return (
            *hidden,
            self.output_precision.astype(batch.x.dtype) * segments[-1].precision.value.astype(batch.x.dtype),
        )
