"""What a relaxation settles, and how far it got.

Activities are written as errors e_l = h_l − f_l(h_{l-1}): the same stationary points, no cancellation in float32,
and a Hessian Γ + γ_L J^T J whose condition number is 1 + ‖C‖ instead of about 8 L² (docs/theory.md E).
"""

import abc
import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._errors import InputError
from .._fact import fact
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
    """A way to settle activities: from the forward pass towards the equilibrium.

        e -> e*,   ∇_e F(e*) = 0

    A subclass says its `tolerance` (a field: the residual that counts as settled) and `__call__`. Facts, which a field,
    an attribute or a property overrides: `promises`, `iterations`, `passes`.

    **Raises:** whatever a subclass raises; `InputError` for what a user can mend.

    >>> import jax, widthwise as ww
    >>> class Once(ww.AbstractRelaxation):
    ...     tolerance: float = 1e-2
    ...     def __call__(self, problem, start):
    ...         step = lambda e, g: e - 0.1 * g
    ...         point = problem.at(jax.tree.map(step, start.errors, problem.gradient(start)), start)
    ...         return point, self.settled(problem, start, point, jnp.ones(len(problem.y), jnp.int32))
    >>> ww.PredictiveCoding(Once()).passes
    1
    """

    tolerance: eqx.AbstractVar[Float[Array, ""]]

    @fact
    def promises(self) -> bool:
        """Whether it is meant to settle every example, so that each that is left unsettled is worth a warning."""
        return False

    @fact
    def iterations(self) -> int | None:
        """At most so many; None: it has no such setting."""
        return None

    @fact
    def passes(self) -> int:
        """Passes up and down that it makes at most, by which the work of a run is estimated."""
        return 1 if self.iterations is None else self.iterations

    @property
    def has_rate(self) -> bool:
        """Whether it makes steps of a size that a sweep may vary: a field `rate` that is no static one."""
        return any(field.name == "rate" and not field.metadata.get("static") for field in dataclasses.fields(self))

    @abc.abstractmethod
    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """The settled point, and how settled it is."""

    def settled(self, problem: Problem, start: Point, point: Point, iterations: Int[Array, " batch"]) -> Settled:
        """The one definition of how settled a point is."""
        return self.judged(relative_residual(problem, start, point), iterations, problem.energy(point))

    def judged(self, residual: Array, iterations: Int[Array, " batch"], energy: Array) -> Settled:
        """A residual, known already, against the tolerance."""
        return Settled(residual, iterations, residual <= jnp.asarray(self.tolerance, residual.dtype), energy)


def refuse_decay(problem: Problem, name: str) -> None:
    """For relaxations whose formula has no term for it.

    **Raises:** `InputError` where the energy has activity decay.
    """
    if problem.activity_decay is not None:
        # Of a traced value only the type is known.
        traced = isinstance(problem.activity_decay, jax.core.Tracer)
        value = None if traced else float(problem.activity_decay)
        given = "activity_decay" if traced else f"activity_decay {value}"
        raise InputError(
            f"{given} is not taken into account by {name}",
            setting="activity_decay",
            value=value,
            remedy="use the relaxation auto, quasi_newton, anderson, ode or descent",
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
