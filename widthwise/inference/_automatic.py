"""The ladder climbed for you: the cheapest relaxation that settles each example, one compiled program.

    activity decay             safeguarded L-BFGS
    linear, squared error      the exact solve in the output space; examples that rounding spoils go on by L-BFGS
    else                       a few descent steps; examples still unsettled go on by safeguarded L-BFGS

An example whose energy the solve or the descent raised, or made NaN, starts its search from the forward pass instead.
Where predictions are fixed the first descent step is the equilibrium.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._arguments import at_least_one, positive
from .._loss import mse
from ._base import AbstractRelaxation, Settled
from ._error_descent import ErrorDescent
from ._output_space_solve import OutputSpaceSolve
from ._problem import Point, Problem
from ._quasi_newton import QuasiNewton
from ._safeguarded_search import chosen_point

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

    @property
    def promises(self) -> bool:
        """It does."""
        return True

    def __call__(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """Settle from the forward pass."""
        if problem.activity_decay is not None:
            return QuasiNewton(iterations=self.iterations, tolerance=self.tolerance)(problem, start)
        if problem.network.is_linear and problem.loss is mse and not problem.fixed_prediction:
            return self._exact(problem, start)
        quick = min(DESCENT, self.iterations)
        point, settled = ErrorDescent(iterations=quick, tolerance=self.tolerance)(problem, start)
        lower = _is_lower(problem, point, start)
        point = chosen_point(lower, point, start)
        if quick == self.iterations:
            return point, self.settled(problem, start, point, settled.iterations)
        search = QuasiNewton(iterations=self.iterations - quick, tolerance=self.tolerance)
        # Where all have settled not even the search's memory is laid out.
        point, made = jax.lax.cond(
            jnp.all(settled.converged & lower),
            lambda point: (point, jnp.zeros_like(settled.iterations)),
            lambda point: search.search(problem, start, point),
            point,
        )
        return point, self.settled(problem, start, point, jnp.add(settled.iterations, made))

    def _exact(self, problem: Problem, start: Point) -> tuple[Point, Settled]:
        """The exact solve; where rounding kept an example from it, the search."""
        exact = OutputSpaceSolve(tolerance=self.tolerance)(problem, start)

        def search(exact: tuple[Point, Settled]) -> tuple[Point, Settled]:
            point, settled = exact
            # Made again: its pullback, which the solve does without, is a sweep that every batch would pay for.
            start = problem.start()
            # The solve's prediction was never computed from its errors, and a search compares energies that are.
            point = problem.at(point.errors, start)
            point = chosen_point(_is_lower(problem, point, start), point, start)
            searcher = QuasiNewton(iterations=self.iterations, tolerance=self.tolerance)
            found, made = searcher.search(problem, start, point)
            searched = self.settled(problem, start, found, jnp.add(settled.iterations, made))
            # What one example needs changes nothing for the others.
            done = settled.converged
            merged = jax.tree.map(lambda old, new: jnp.where(done, old, new), settled, searched)
            return chosen_point(done, exact[0], found), merged

        # Deep networks outside muP overflow the solve's products long before their own forward pass.
        return jax.lax.cond(jnp.all(exact[1].converged), lambda exact: exact, search, exact)


def _is_lower(problem: Problem, point: Point, start: Point) -> Bool[Array, " batch"]:
    """Whether a point's energy is the forward pass's or lower, per example; NaN is not.

    At a small curvature the fall is below rounding: that speaks against nothing.
    """
    energy = problem.descended(start)
    return problem.descended(point) <= energy + problem.rounding(start, energy)
