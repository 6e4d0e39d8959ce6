"""How badly conditioned inference is: the Hessian of the energy in the hidden activities h_1 … h_{L-1}.

    F(h) = Σ_{l<L} (γ_l/2) |h_l − f_l(h_{l-1})|² + (γ_L/2) |y − f_L(h_{L-1})|²,   J_l = f_l'(h_{l-1})

Its Gauss-Newton form leaves out f'' times the errors: exact for linear networks, and at the forward pass, where
hidden errors vanish, exact but for the readout's f_L'' in the last layer's block:

    H = U^T Γ U + γ_L J_L^T J_L,   (U v)_l = v_l − J_l v_{l-1}

H is block tridiagonal. Eliminating layers from the readout down leaves, in every layer, γ_l plus a matrix of rank
out, so that H^-1 is two sweeps, and λ_min = 1 / λ_max(H^-1) keeps its digits where κ is 1e20:

    B_{L-1} = γ_L^{1/2} J_L,   Q_l = K_l^-1 B_l,   K_l K_l^T = I + γ_l^-1 B_l B_l^T,   B_{l-1} = Q_l J_l
    S_l = γ_l I + B_l^T B_l,   γ_l S_l^-1 = I − γ_l^-1 Q_l^T Q_l
    down:   c_l = b_l + J_{l+1}^T γ_{l+1} S_{l+1}^-1 c_{l+1}          up:   h_l = S_l^-1 (c_l + γ_l J_l h_{l-1})

This equals U^-1 [Γ^-1 − Γ^-1 P^T (γ_L^-1 I + P Γ^-1 P^T)^-1 P Γ^-1] U^-T, P_l = ∂f/∂h_l, whose sweeps grow as ‖C‖ and
cancel: nothing is left of that form where ‖C‖ > 1e16, as in a deep SP network.

Everything is per example; a `Problem` of one example is enough for a linear network. Source: docs/theory.md B1, E.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._errors import InputError
from .._loss import mse
from .._product import FULL
from ..inference import Point, Problem, activity_gradient, refuse_decay, scaled
from ..network import AbstractStage, State, States, above, pull, pullback, sweep
from ._linear_equilibrium import activity_hessian

# Dense eigenvalues below this fraction of the largest are rounding.
ROUNDING = 1e-14
# Lanczos needs more dimensions than basis vectors; up to here a dense matrix is as quick.
DENSE_SIZE = 64


class Spectrum(NamedTuple):
    """The ends of the activity Hessian's spectrum, one entry an example.

    **Fields:** `smallest`, `largest`: λ_min and λ_max; `curvature`: ‖C‖.
    """

    smallest: np.ndarray
    largest: np.ndarray
    curvature: np.ndarray

    @property
    def condition_number(self) -> np.ndarray:
        """κ = λ_max / λ_min: how many steps descent on the activities needs."""
        return self.largest / self.smallest

    @property
    def error_condition_number(self) -> np.ndarray:
        """1 + ‖C‖: how many steps descent on the errors needs."""
        return 1 + self.curvature


def hessian_product(problem: Problem, point: Point, vector: States) -> States:
    """The exact ∂²F/∂h² at a point, times a vector of activities: symmetric, but not always positive.

    **Arguments:** `problem`: the energy, with any loss; `point`: from `problem.start()` or a relaxation; `vector`:
    one state of every hidden layer.
    """

    def gradient(states: States) -> States:
        # f_1(x) shifts e_1 alone, and no second derivative: any point serves as the forward pass.
        return activity_gradient(problem, states, point)

    return jax.jvp(gradient, (point.states,), (vector,))[1]


def gauss_newton_product(problem: Problem, point: Point, vector: States) -> States:
    """The Gauss-Newton form of ∂²F/∂h², times a vector of activities.

        (H v)_l = γ_l u_l − J_{l+1}^T γ_{l+1} u_{l+1},   u_l = v_l − J_l v_{l-1},   u_L = −J_L v_{L-1}

    **Arguments:** as in `hessian_product`. **Raises:** `InputError` for another loss than mse and fixed predictions.
    """
    _check(problem)

    def errors(states: States) -> tuple[States, Array]:
        return problem.errors(states, point)

    u, u_top = jax.jvp(errors, (point.states,), (vector,))[1]
    *hidden, top = problem.precisions
    weighted = tuple(jax.tree.map(lambda e, p=p: p * e, error) for p, error in zip(hidden, u, strict=True))
    return jax.vjp(errors, point.states)[1]((weighted, scaled(top, u_top)))[0]


def gauss_newton_rows(problem: Problem, point: Point) -> States:
    """Q_l of every hidden layer, which `gauss_newton_solve` needs: leaves (depth, out, batch, ...).

    **Arguments, raises:** as in `gauss_newton_product`.
    """
    _check(problem)
    segments, seen = problem.network.segments, above(point.states)
    roots = jnp.broadcast_to(jnp.sqrt(problem.precisions[-1]), problem.y.shape[:1])
    top = jax.vmap(lambda unit: roots[:, None] * unit)(jnp.eye(problem.y.shape[-1], dtype=problem.y.dtype))
    below, _ = sweep(lambda b, stage, x: (_pull_rows(stage, x, b), None), top, segments[-1], seen[-1])
    rows = []
    for index in range(len(segments) - 2, 0, -1):

        def layer(b: State, stage: AbstractStage, x: State, p: Array = problem.precisions[index]) -> Any:
            q = _whitened(p, b)
            return _pull_rows(stage, x, q), q

        below, q = sweep(layer, below, segments[index], seen[index - 1], reverse=True)
        rows.append(q)
    rows.append(jax.tree.map(lambda leaf: leaf[None], _whitened(problem.precisions[0], below)))
    return tuple(reversed(rows))


def gauss_newton_solve(problem: Problem, point: Point, rows: States, vector: States) -> States:
    """H^-1 b, by one sweep down and one up.

    **Arguments:** as in `gauss_newton_product`; `rows`: of the same point, from `gauss_newton_rows`; `vector`: b.
    """
    segments, seen = problem.network.segments, above(point.states)
    carry = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[-1]), vector[-1])
    shrunk = []

    def down(carry: State, stage: AbstractStage, x: State, q: State, b: State, p: Array) -> Any:
        w = _shrunk(p, q, jax.tree.map(jnp.add, b, carry))
        return pull(stage, x, w), w

    for index in range(len(segments) - 2, 0, -1):
        precision = jnp.broadcast_to(problem.precisions[index], segments[index].depth)
        carry, w = sweep(
            down, carry, segments[index], seen[index - 1], rows[index], vector[index], precision, reverse=True
        )
        shrunk.append(w)
    first = jax.tree.map(lambda b, c: b[0] + c, vector[0], carry)
    w = _shrunk(problem.precisions[0], jax.tree.map(lambda leaf: leaf[0], rows[0]), first)
    h = jax.tree.map(lambda leaf: leaf / problem.precisions[0], w)
    solution = [jax.tree.map(lambda leaf: leaf[None], h)]

    def up(h: State, stage: AbstractStage, x: State, q: State, w: State, p: Array) -> Any:
        moved = _shrunk(p, q, jax.jvp(stage, (x,), (h,))[1])
        h = jax.tree.map(lambda own, m: own / p + m, w, moved)
        return h, h

    for index, w in zip(range(1, len(segments) - 1), reversed(shrunk), strict=True):
        precision = jnp.broadcast_to(problem.precisions[index], segments[index].depth)
        h, out = sweep(up, h, segments[index], seen[index - 1], rows[index], w, precision)
        solution.append(out)
    return tuple(solution)


def curvature_norm(problem: Problem, point: Point) -> Float[Array, " batch"]:
    """‖C‖ at a point, exactly: the largest eigenvalue of the out x out curvature.

        C = Σ_{l<L} (γ_L/γ_l) P_l P_l^T,   P_l = ∂f/∂h_l

    **Arguments:** as in `hessian_product`; any loss, whose own curvature is left out.
    """
    basis = jnp.eye(problem.y.shape[-1], dtype=problem.y.dtype)
    shape = problem.y.shape
    pulled = jax.vmap(lambda unit: pullback(problem.network, point.states, jnp.broadcast_to(unit, shape)))(basis)
    grams = [
        jnp.einsum("ilbu,jlbu->bij", flat, flat, precision=FULL) / precision
        for precision, state in zip(problem.precisions[:-1], pulled, strict=True)
        for leaf in jax.tree.leaves(state)
        for flat in [leaf.reshape(*leaf.shape[:3], -1)]
    ]
    return problem.precisions[-1] * jnp.linalg.eigvalsh(sum(grams))[..., -1]


def spectrum(problem: Problem, point: Point | None = None, *, tolerance: float = 1e-6) -> Spectrum:
    """λ_min and λ_max of the Gauss-Newton Hessian, by Lanczos on H^-1 and on H, and ‖C‖; per example.

    **Arguments:** `problem`; `point`: where, the forward pass unless given; `tolerance`: relative, of the
    eigenvalues. Use float64.

    **Returns:** a `Spectrum`; NaN where the point is not finite.

    **Raises:** `InputError` for another loss than mse and fixed predictions.

    >>> from widthwise.network import mlp
    >>> from widthwise.parameterization import parameterization
    >>> built = mlp(3, 8, 2, depth=4, table=parameterization("mup"), key=jax.random.key(0))
    >>> precisions = tuple(jnp.ones(()) for _ in built.network.segments)
    >>> problem = Problem(built.network, precisions, jnp.ones((1, 3)), jnp.zeros((1, 2)), mse)
    >>> bool(spectrum(problem).condition_number[0] > 1)
    True
    """
    _check(problem)
    point = _start(problem) if point is None else point
    rows, curvature = _prepared(problem, point)
    ends = [_ends(*_one(problem, point, rows, example), tolerance) for example in range(problem.y.shape[0])]
    smallest, largest = np.asarray(ends).T
    return Spectrum(smallest, largest, np.asarray(curvature))


def dense_spectrum(matrices: Sequence[Float[Array, "_ _"]], precisions: Any) -> np.ndarray:
    """All eigenvalues of a small linear network's Hessian, ascending.

    **Arguments:** `matrices`: A_1 … A_L; `precisions`: γ_1 … γ_L.

    **Raises:** `InputError` where the smallest are rounding: κ above 1e14.

    >>> one = jnp.ones((1, 1))
    >>> dense_spectrum([one, 2 * one, one], [1.0, 1.0, 1.0]).round(6).tolist()
    [1.0, 6.0]
    """
    eigenvalues = np.linalg.eigvalsh(np.asarray(activity_hessian(matrices, precisions), np.float64))
    if not eigenvalues[0] > ROUNDING * eigenvalues[-1]:
        raise InputError(
            f"matrices have eigenvalues from {eigenvalues[0]:.1e} to {eigenvalues[-1]:.1e}: the smallest are rounding "
            "above a condition number of 1e14",
            setting="matrices",
            value=eigenvalues[0],
            remedy="use `spectrum`, which inverts without loss",
        )
    return eigenvalues


def _check(problem: Problem) -> None:
    refuse_decay(problem, "the Gauss-Newton Hessian")
    if problem.loss is not mse or problem.fixed_prediction:
        kind = "fixed predictions" if problem.fixed_prediction else f"the loss {problem.loss.__name__}"
        raise InputError(
            f"problem has {kind}, which the Gauss-Newton Hessian does not cover",
            setting="problem",
            value=kind,
            remedy="use the loss mse and free predictions",
        )


def _pull_rows(stage: AbstractStage, x: State, rows: State) -> State:
    """J_l^T of every row of a matrix, for every example."""
    return jax.vmap(lambda row: pull(stage, x, row))(rows)


def _whitened(precision: Array, rows: State) -> State:
    """Q = K^-1 B, K K^T = I + γ^-1 B B^T; leaves (out, batch, ...)."""
    flats = [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(rows)]
    gram = sum(jnp.einsum("ibu,jbu->bij", flat, flat, precision=FULL) for flat in flats) / precision
    roots = jnp.linalg.cholesky(jnp.eye(gram.shape[-1], dtype=gram.dtype) + gram)

    def solve(leaf: Array) -> Array:
        flat = leaf.reshape(*leaf.shape[:2], -1).swapaxes(0, 1)
        solved = jax.lax.linalg.triangular_solve(roots, flat, left_side=True, lower=True)
        return solved.swapaxes(0, 1).reshape(leaf.shape)

    return jax.tree.map(solve, rows)


def _shrunk(precision: Array, rows: State, vector: State) -> State:
    """γ S^-1 v = v − γ^-1 Q^T Q v."""
    products = jax.tree.map(lambda q, v: jnp.sum(q * v, axis=tuple(range(2, q.ndim))), rows, vector)
    along = sum(jax.tree.leaves(products)) / precision
    return jax.tree.map(lambda q, v: v - jnp.einsum("ob,ob...->b...", along, q, precision=FULL), rows, vector)


@eqx.filter_jit
def _start(problem: Problem) -> Point:
    return problem.start()


@eqx.filter_jit
def _prepared(problem: Problem, point: Point) -> tuple[States, Array]:
    return gauss_newton_rows(problem, point), curvature_norm(problem, point)


@eqx.filter_jit
def _product(problem: Problem, point: Point, vector: Array) -> Array:
    _, unflat = ravel_pytree(point.states)
    return ravel_pytree(gauss_newton_product(problem, point, unflat(vector)))[0]


@eqx.filter_jit
def _solve(problem: Problem, point: Point, rows: States, vector: Array) -> Array:
    _, unflat = ravel_pytree(point.states)
    return ravel_pytree(gauss_newton_solve(problem, point, rows, unflat(vector)))[0]


def _one(problem: Problem, point: Point, rows: States, example: int) -> tuple[Problem, Point, States]:
    """One example's problem, point and rows."""
    own = slice(example, example + 1)
    *hidden, top = problem.precisions
    precisions = (*hidden, top[own] if top.ndim else top)
    problem = Problem(problem.network, precisions, problem.x[own], problem.y[own], problem.loss)
    errors, states, pulled = (
        jax.tree.map(lambda leaf: leaf[:, own], part) for part in (point.errors, point.states, point.pulled)
    )
    point = Point(errors, states, point.prediction[own], point.output_error[own], pulled)
    return problem, point, jax.tree.map(lambda leaf: leaf[:, :, own], rows)


def _ends(problem: Problem, point: Point, rows: States, tolerance: float) -> tuple[float, float]:
    """λ_min and λ_max of one example's Hessian."""
    leaves = jax.tree.leaves(point.states)
    size, dtype = sum(leaf.size for leaf in leaves), leaves[0].dtype
    inverse = _largest(lambda v: _solve(problem, point, rows, v), size, dtype, tolerance)
    return 1 / inverse, _largest(lambda v: _product(problem, point, v), size, dtype, tolerance)


def _largest(product: Callable[[Array], Array], size: int, dtype: Any, tolerance: float) -> float:
    """The largest eigenvalue of a symmetric positive operator."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    def applied(vector: np.ndarray) -> np.ndarray:
        return np.asarray(product(jnp.asarray(vector)))

    begin = np.random.default_rng(0).normal(size=size).astype(dtype)
    if not np.isfinite(applied(begin)).all():
        return float("nan")
    if size <= DENSE_SIZE:
        return float(np.linalg.eigvalsh([applied(unit) for unit in np.eye(size, dtype=dtype)])[-1])
    operator = LinearOperator((size, size), matvec=applied, dtype=dtype)
    return float(eigsh(operator, k=1, which="LA", v0=begin, tol=tolerance, return_eigenvectors=False)[0])
