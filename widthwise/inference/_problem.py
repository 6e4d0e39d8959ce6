"""The energy that inference lowers, and a point of it.

Activities are written as errors e_l = h_l − f_l(h_{l-1}): the same stationary points, no cancellation in float32,
and a Hessian Γ + γ_L J^T J whose condition number is 1 + ‖C‖ instead of about 8 L² (docs/theory.md E).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._loss import Loss, output_error
from ..network import Network, States, above, each, forward, perturbed, pullback, pulled_at_both, square_norm

Precisions = tuple[Float[Array, "..."], ...]


# Of the last place: what sums of a width's or an output's products are off by.
UNITS = 16.0


class Point(NamedTuple):
    """A point of error space, with all that its energy, gradient and weight update need.

    **Fields:** `errors`: e_l of the hidden layers; `states`: the hidden states that predictions are made from
    (h_l, or the forward pass's where predictions are fixed); `prediction`: f; `output_error`: −∂loss/∂f, for MSE
    y − f; `pulled`: ∇_{e_l} F but for γ_l e_l, so −γ_L J_l^T output_error, for every hidden layer.
    """

    errors: States
    states: States
    prediction: Float[Array, "batch out"]
    output_error: Float[Array, "batch out"]
    pulled: States


class Problem(eqx.Module):
    """The energy that a relaxation lowers, the two ends of the chain clamped.

        F = Σ_{l<L} [(γ_l/2) |e_l|² + (α/2) |h_l|²] + γ_L loss(f, y),   h_l = f_l(h_{l-1}) + e_l

    **Arguments:** `network`; `precisions`: γ, one a segment, scalars or, at the output, (batch,); `x`: (batch,
    in); `y`: (batch, out); `loss`; `fixed_prediction`: predictions, Jacobians and inputs frozen at the forward
    pass (the fixed prediction assumption, FPA); `activity_decay`: α, None for 0.
    """

    network: Network
    precisions: Precisions
    x: Float[Array, "batch *in"]
    y: Float[Array, "batch out"]
    loss: Loss = eqx.field(static=True)
    fixed_prediction: bool = eqx.field(static=True, default=False)
    activity_decay: Float[Array, ""] | None = None

    def start(self) -> Point:
        """The forward pass (F-ini): all hidden errors zero."""
        *states, prediction = forward(self.network, self.x)
        errors = jax.tree.map(jnp.zeros_like, tuple(states))
        return self._point(errors, tuple(states), prediction[0])

    def at(self, errors: States, start: Point) -> Point:
        """The point with given errors; `start` is the forward pass."""
        if self.fixed_prediction:
            return start._replace(errors=errors)
        first = jax.tree.map(lambda leaf: leaf[0], start.states[0])
        states, prediction = perturbed(self.network, first, errors)
        return self._point(errors, states, prediction)

    def at_states(self, states: States, start: Point) -> Point:
        """The point with given hidden states h_l."""
        errors, prediction = self.errors(states, start)
        return self._point(errors, start.states if self.fixed_prediction else states, prediction)

    def at_states_and_start(self, states: States, start: Point) -> tuple[Point, Point]:
        """The point with given hidden states, and `start` with its gradient, both from one sweep.

        Compared with `at_states`, one loop less to compile where nothing else reads the start's gradient; and errors
        are known only once all sweeps are over, or an update would keep a copy of the weights that it overwrites.
        """
        if self.fixed_prediction:
            return self.at_states(states, start), start
        points = (states, start.states)
        predicted, prediction, here, there = pulled_at_both(
            self.network, points, self._cotangent, self._cotangent(start.prediction), self._sources(points)
        )
        errors = self._between(states, predicted, start)
        point = Point(errors, states, prediction, self.output_error(prediction), here)
        return point, start._replace(pulled=there)

    def errors(self, states: States, start: Point) -> tuple[States, Array]:
        """h_l − f_l(h_{l-1}) of given hidden states, and their prediction; no layer waits for another."""
        seen = start.states if self.fixed_prediction else states
        layers = zip(self.network.segments[1:], above(seen), strict=True)
        predicted = [each(lambda stage, x: stage(x), segment, x) for segment, x in layers]
        return self._between(states, tuple(predicted[:-1]), start), predicted[-1][0]

    def gradient(self, point: Point) -> States:
        """∇_{e_l} F = γ_l e_l − γ_L J_l^T output_error, with α Σ_{k>=l} J_{k<-l}^T h_k under activity decay."""
        return tuple(
            jax.tree.map(lambda e, r, p=precision: p * e + r, error, pulled)
            for precision, error, pulled in zip(self.precisions[:-1], point.errors, point.pulled, strict=True)
        )

    def energy(self, point: Point) -> Float[Array, " batch"]:
        """F, per example."""
        hidden = square_norm(point.errors, self.precisions[:-1])
        if self.activity_decay is not None:
            hidden = hidden + self.activity_decay * square_norm(point.states)
        return 0.5 * hidden + self.precisions[-1] * self.loss(point.prediction, self.y)

    def descended(self, point: Point) -> Float[Array, " batch"]:
        """What `gradient` is the gradient of, per example: F, its loss linearized where predictions are fixed.

        F,   FPA: F − Σ_{l<L} ⟨e_l, γ_L J_l^T output_error⟩
        """
        energy = self.energy(point)
        if not self.fixed_prediction:
            return energy
        products = jax.tree.leaves(jax.tree.map(jnp.multiply, point.errors, point.pulled))
        return energy + sum(jnp.sum(leaf, axis=(0, *range(2, leaf.ndim))) for leaf in products)

    def rounding(self, point: Point, energy: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """By how much the point's `energy`, its `descended`, is off at most: units in the last place of it and of f.

        16 ε (|F| + γ_L Σ_i |δ_i f_i|),   δ = output error
        """
        through = jnp.sum(jnp.abs(point.output_error * point.prediction), axis=-1)
        unit = UNITS * jnp.finfo(through.dtype).eps
        return unit * (jnp.abs(energy) + self.precisions[-1] * through)

    def output_error(self, prediction: Float[Array, "batch out"]) -> Float[Array, "batch out"]:
        """−∂loss/∂f at a prediction, for MSE y − f."""
        return output_error(self.loss, prediction, self.y)

    def _between(self, states: States, predicted: States, start: Point) -> States:
        """h_l − f_l(h_{l-1}); the input is clamped, so f_1(x) is the forward pass's first state."""
        return jax.tree.map(jnp.subtract, states, (start.states[0], *predicted))

    def _point(self, errors: States, states: States, prediction: Array) -> Point:
        pulled = pullback(self.network, states, self._cotangent(prediction), self._sources(states))
        return Point(errors, states, prediction, self.output_error(prediction), pulled)

    def _cotangent(self, prediction: Array) -> Array:
        """−γ_L output_error, what `Point.pulled` is the pullback of."""
        return -scaled(self.precisions[-1], self.output_error(prediction))

    def _sources(self, states: Any) -> Any:
        """α h_l, which activity decay adds on the way down; None without."""
        decay = self.activity_decay
        return None if decay is None else jax.tree.map(lambda h: decay * h, states)


def scaled(weight: Float[Array, "..."], array: Float[Array, "batch *units"]) -> Float[Array, "batch *units"]:
    """Every example's array times its weight; a scalar weight is everybody's."""
    weight = jnp.asarray(weight, array.dtype)
    return array * weight.reshape(weight.shape + (1,) * (array.ndim - 1 if weight.ndim else 0))


def over_precisions(problem: Problem, states: States) -> States:
    """Γ^-1 z, of every hidden layer's state."""
    return tuple(
        jax.tree.map(lambda leaf, p=precision: leaf / p, state)
        for precision, state in zip(problem.precisions[:-1], states, strict=True)
    )


def pushed(problem: Problem, point: Point, errors: States) -> Float[Array, "batch out"]:
    """J e: the prediction's change to first order; 0 where predictions are fixed."""
    if problem.fixed_prediction:
        return jnp.zeros_like(problem.y)
    first = jax.tree.map(lambda h, e: h[0] - e[0], point.states[0], point.errors[0])
    return jax.jvp(lambda e: perturbed(problem.network, first, e)[1], (point.errors,), (errors,))[1]
