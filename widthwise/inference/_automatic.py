"""The ladder climbed for you: the cheapest relaxation that settles each example, one compiled program.

    activity decay             safeguarded L-BFGS
    linear, squared error      the exact solve in the output space
    else                       a few descent steps; examples still unsettled go on by safeguarded L-BFGS

An example whose energy the descent raised starts its search from the forward pass instead. Where predictions are fixed
the first descent step is the equilibrium.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._loss import mse
from ._base import AbstractRelaxation, Point, Problem, Settled
from ._checks import at_least_one, positive
from ._error import ErrorDescent
from ._exact import OutputSpaceSolve
from ._quasi_newton import QuasiNewton
from ._search import chosen_point

# Descent steps before the search, which costs more for each: at a small output precision nothing else is needed.
DESCENT = 3


class Automatic(AbstractRelaxation):
    """Settle by whatever is cheapest and settles: exact solve, descent, L-BFGS, in this order.

    **Arguments:** `iterations`: at most so many sweeps in all (the exact solve needs none); `tolerance`: of the
    residual.

    **Raises:** `InputError` for iterations below 1 and a tolerance that is not positive.

    >>> Automatic(iterations=40).iterations
    40

    Source: docs/theory.md E; docs/inference.md compares the rungs.
    """

    iterations: int = eqx.field(static=True, default=40, converter=at_least_one("iterations"))
    tolerance: Float[Array, ""] = eqx.field(default=1e-2, converter=positive("tolerance"))

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Settle from the forward pass."""
        if problem.activity_decay is not None:
            return QuasiNewton(iterations=self.iterations, tolerance=self.tolerance)(problem, start)
        if problem.network.is_linear and problem.loss is mse and not problem.fixed_prediction:
            return OutputSpaceSolve(tolerance=self.tolerance)(problem, start)
        quick = min(DESCENT, self.iterations)
        point, settled = ErrorDescent(iterations=quick, tolerance=self.tolerance)(problem, start)
        if quick == self.iterations:
            return point, settled
        # NaN is no fall either.
        point = chosen_point(problem.descended(point) <= problem.descended(start), point, start)
        search = QuasiNewton(iterations=self.iterations - quick, tolerance=self.tolerance)
        # Where all have settled not even the search's memory is laid out.
        point, made = jax.lax.cond(
            jnp.all(settled.converged),
            lambda point: (point, jnp.zeros_like(settled.iterations)),
            lambda point: search.search(problem, start, point),
            point,
        )
        return point, self.settled(problem, start, point, jnp.add(settled.iterations, made))
