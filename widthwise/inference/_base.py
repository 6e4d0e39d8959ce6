"""What a relaxation settles, and how far it got.

Activities are written as errors e_l = h_l − f_l(h_{l-1}): the same stationary points, no cancellation in float32,
and a Hessian Γ + γ_L J^T J whose condition number is 1 + ‖C‖ instead of about 8 L² (docs/theory.md E).
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._errors import InputError
from ..network import square_norm
from ._problem import Point, Problem


class Settled(NamedTuple):
    """How far inference is from equilibrium, per example.

    **Fields:** `residual`: ‖∇_e F‖ over its value at the forward pass, 0/0 = 0; `iterations`: updates made;
    `converged`: residual at or below the tolerance; `energy`: F.
    """

    residual: Float[Array, " batch"]
    iterations: Int[Array, " batch"]
    converged: Bool[Array, " batch"]
    energy: Float[Array, " batch"]


class AbstractRelaxation(eqx.Module):
    """A way to settle activities: from the forward pass towards the equilibrium."""

    tolerance: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """The settled point, and how settled it is."""

    def settled(self, problem: Problem, start: Point, point: Point, iterations: Int[Array, " batch"]) -> Settled:
        """The one definition of how settled a point is."""
        return self.judged(relative_residual(problem, start, point), iterations, problem.energy(point))

    def judged(self, residual: Array, iterations: Int[Array, " batch"], energy: Array) -> Settled:
        """A residual, known already, against the tolerance."""
        return Settled(residual, iterations, residual <= self.tolerance.astype(residual.dtype), energy)


def refuse_decay(problem: Problem, name: str) -> None:
    """For relaxations whose formula has no term for it.

    **Raises:** `InputError` where the energy has activity decay.
    """
    if problem.activity_decay is not None:
        raise InputError(
            f"{name} does not take activity_decay into account: use the relaxation auto, quasi_newton, anderson, ode "
            f"or descent"
        )


def relative_residual(problem: Problem, start: Point, point: Point) -> Float[Array, " batch"]:
    """‖∇_e F‖ / ‖∇_e F at the forward pass‖ in error space, per example; 0/0 = 0."""
    here, there = (square_norm(problem.gradient(at)) for at in (point, start))
    # A prediction computed twice may differ in its last place, beside a gradient of 0 infinitely far.
    energy, before = problem.descended(point), problem.descended(start)
    still = (there == 0) & (jnp.abs(energy - before) <= problem.rounding(point, energy))
    return relative(jnp.where(still, 0.0, here), there)


def relative(here: Float[Array, " batch"], there: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """The ratio of two norms, from their squares; 0/0 = 0, and NaN over a norm that overflows."""
    # Anything finite over infinity is 0, which would call settled what nobody has measured.
    known = jnp.where(jnp.isinf(there), jnp.nan, there)
    return jnp.sqrt(jnp.where(here == 0, 0.0, here / jnp.where(here == 0, 1.0, known)))
