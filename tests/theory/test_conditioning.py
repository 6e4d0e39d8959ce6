"""The activity Hessian and its ends: against `jax.hessian` of an energy written by hand, numpy, closed forms and exact
counts of eigenvalues in a hundred decimal digits."""

import functools
import itertools
import math
from decimal import Decimal, localcontext

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from science.oracles import LOSSES, batch_of, build, energy, error_energy, per_layer, stacked, unrolled

from widthwise import mse
from widthwise.inference import Problem
from widthwise.network import mlp, residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.theory import (
    curvature_matrix,
    curvature_norm,
    dense_spectrum,
    effective_matrices,
    gauss_newton_product,
    gauss_newton_rows,
    gauss_newton_solve,
    hessian_product,
    spectrum,
)

CASES = {
    "linear_skip": {"activation": "linear", "bias": False, "residual": True, "depth": 5},
    "silu_skip": {"activation": "silu", "residual": True, "depth": 5},
    "post": {"activation": "tanh", "state": "post"},
    "two_layers": {"activation": "tanh", "depth": 2},
}
each_case = pytest.mark.parametrize("name", CASES)
BATCH = 2


def network_of(name, **changes):
    return build(**CASES[name] | changes).network


@functools.cache
def setup(name, loss="mse"):
    """A problem with unequal precisions, one of its own for each example; the forward pass and another point."""
    network = network_of(name)
    x, y = batch_of(loss, batch=BATCH)
    gammas = [0.7, 1.9][: len(network.segments) - 1]
    precisions = tuple(jnp.asarray(gamma) for gamma in (*gammas, [2.3, 0.4]))
    problem = Problem(network, precisions, x, y, LOSSES[loss][0])
    draw = np.random.default_rng(3).normal

    @eqx.filter_jit
    def points(problem):
        start = problem.start()
        states = tuple(state + jnp.asarray(0.5 * draw(size=state.shape)) for state in start.states)
        return start, problem.at_states(states, start)

    return problem, *points(problem)


def columns(product, like, example):
    """The matrix of a product, by its effect on every unit vector of one example."""
    sizes = [leaf.shape[0] * leaf.shape[2] for leaf in like]

    def of(vector):
        parts = jnp.split(vector, np.cumsum(sizes)[:-1])
        rows = [part.reshape(leaf.shape[0], leaf.shape[2]) for part, leaf in zip(parts, like, strict=True)]
        whole = tuple(jnp.zeros_like(leaf).at[:, example].set(row) for leaf, row in zip(like, rows, strict=True))
        return jnp.concatenate([leaf[:, example].ravel() for leaf in product(whole)])

    return jax.vmap(of)(jnp.eye(sum(sizes)))


@eqx.filter_jit
def products(problem, point, example):
    """Three matrices: the exact product, the Gauss-Newton product and that followed by the solve."""
    exact = columns(lambda v: hessian_product(problem, point, v), point.states, example)
    if problem.loss is not mse:
        return exact, exact, exact
    rows = gauss_newton_rows(problem, point)
    product = functools.partial(gauss_newton_product, problem, point)
    solved = columns(lambda v: gauss_newton_solve(problem, point, rows, product(v)), point.states, example)
    return exact, columns(product, point.states, example), solved


@functools.cache
def found(name, loss="mse", forward=False):
    problem, start, point = setup(name, loss)
    return [np.asarray(matrix) for matrix in products(problem, start if forward else point, 1)]


def split(layers, vector):
    """The activities of every hidden layer of one example."""
    ends = np.cumsum([layer.matrix.shape[0] for layer in layers[:-1]])
    return jnp.split(vector, ends[:-1])


def gammas_of(problem, example):
    *hidden, top = per_layer(problem.network, problem.precisions)
    return [*hidden, top[example]]


def by_hand(problem, loss):
    """A function of one example: `jax.hessian` of the energy written out; and U^T Γ U + γ_L J_L^T J_L from the Jacobian
    of all errors."""
    layers, gammas = unrolled(problem.network), per_layer(problem.network, problem.precisions)[:-1]

    def of_one(vector, x, y, top):
        return energy(layers, [*gammas, top], split(layers, vector), x, y, loss)

    def errors(vector, x, y):
        below, seen = x, []
        for layer, h in zip(layers, [*split(layers, vector), y], strict=True):
            seen.append(h - layer(below))
            below = h
        return jnp.concatenate(seen)

    both = jax.jit(lambda h, x, y, top: (jax.hessian(of_one)(h, x, y, top), jax.jacobian(errors)(h, x, y)))

    def matrices(point, example):
        here = jnp.concatenate([jnp.asarray(h[example]) for h in stacked(point.states)])
        top = problem.precisions[-1][example]
        hessian, jacobian = map(np.asarray, both(here, problem.x[example], problem.y[example], top))
        gamma = np.repeat([*gammas, top], [layer.matrix.shape[0] for layer in layers])
        return hessian, jacobian.T @ (gamma[:, None] * jacobian)

    return matrices


@functools.cache
def compiled(name, loss):
    return by_hand(setup(name, loss)[0], LOSSES[loss][1])


@functools.cache
def expected(name, loss="mse", forward=False):
    _, start, point = setup(name, loss)
    return compiled(name, loss)(start if forward else point, 1)


@pytest.mark.parametrize(("name", "loss"), [*((name, "mse") for name in CASES), ("silu_skip", "ce")])
def test_exact_product(name, loss):
    np.testing.assert_allclose(found(name, loss)[0], expected(name, loss)[0], atol=1e-12, rtol=1e-12)


@each_case
def test_gauss_newton_product(name):
    np.testing.assert_allclose(found(name)[1], expected(name)[1], atol=1e-12, rtol=1e-12)


def test_gauss_newton_is_exact_for_linear_networks():
    np.testing.assert_allclose(found("linear_skip")[1], expected("linear_skip")[0], atol=1e-12, rtol=1e-12)


def test_at_the_forward_pass_only_the_readout_curves():
    difference = expected("silu_skip", forward=True)[0] - found("silu_skip", forward=True)[1]
    width = unrolled(setup("silu_skip")[0].network)[-2].matrix.shape[0]
    assert np.abs(difference[-width:, -width:]).max() > 1e-3
    difference[-width:, -width:] = 0
    np.testing.assert_allclose(difference, 0, atol=1e-12)


@each_case
def test_the_inverse_inverts(name):
    solved = found(name)[2]
    np.testing.assert_allclose(solved, np.eye(len(solved)), atol=1e-12)


@pytest.mark.parametrize(("name", "width"), [("silu_skip", 20), ("two_layers", 7)])
def test_ends_of_the_spectrum(name, width):
    # Lanczos for 80 units, a dense matrix for 7.
    network = network_of(name, width=width)
    x, y = batch_of("mse", batch=BATCH)
    gammas = ([0.7, 1.9][: len(network.segments) - 1], [2.3, 0.4])
    problem = Problem(network, tuple(map(jnp.asarray, (*gammas[0], gammas[1]))), x, y, mse)
    ends = spectrum(problem)
    matrices, start = by_hand(problem, LOSSES["mse"][1]), eqx.filter_jit(Problem.start)(problem)
    dense = [np.linalg.eigvalsh(matrices(start, example)[1]) for example in range(BATCH)]
    np.testing.assert_allclose(ends.smallest, [values[0] for values in dense], rtol=1e-6)
    np.testing.assert_allclose(ends.largest, [values[-1] for values in dense], rtol=1e-6)
    np.testing.assert_allclose(ends.condition_number, [values[-1] / values[0] for values in dense], rtol=2e-6)


def linear_problem(network, top=1.0):
    precisions = (*(jnp.ones(()) for _ in network.segments[:-1]), jnp.asarray(top))
    return Problem(network, precisions, jnp.ones((1, network.in_size)), jnp.zeros((1, network.out_size)), mse)


def weighted_chain(weight, readout, depth):
    """h_l = a h_{l-1} with one unit a layer."""
    built = mlp(1, 1, 1, depth=depth, activation="linear", table=parameterization("sp"), key=jax.random.key(0))
    values = [weight, weight, readout]
    return eqx.tree_at(
        lambda n: [s.stages.linear.weight for s in n.segments],
        built.network,
        [jnp.full_like(s.stages.linear.weight, a) for s, a in zip(built.network.segments, values, strict=True)],
    )


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_a_chain_of_single_units(weight):
    # A tridiagonal Toeplitz matrix: λ_k = 1 + a² − 2 a cos(π k / L). At a = 2 the sweeps of U^-1 grow to ‖C‖ = 1e38.
    depth = 64
    measured = spectrum(linear_problem(weighted_chain(weight, weight, depth)))
    ends = [1 + weight**2 - 2 * weight * math.cos(math.pi * k / depth) for k in (1, depth - 1)]
    np.testing.assert_allclose([measured.smallest[0], measured.largest[0]], ends, rtol=1e-12)
    powers = sum(weight ** (2 * k) for k in range(1, depth))
    np.testing.assert_allclose(measured.curvature, powers, rtol=1e-12)


def eigenvalues_below(matrices, precisions, shift):
    """How many eigenvalues of H lie below a number: negative pivots of H − s, in a hundred digits (Sylvester)."""
    with localcontext() as context:
        context.prec = 100
        numbers = [[[Decimal(float(v)) for v in row] for row in np.asarray(A)] for A in matrices]
        gammas = [Decimal(float(g)) for g in precisions]
        ends = [0, *itertools.accumulate(len(A) for A in numbers[:-1])]
        rows = [{} for _ in range(ends[-1])]
        for l, A in enumerate(numbers[1:]):
            for i, j in itertools.product(range(len(A[0])), repeat=2):
                square = gammas[l + 1] * sum(row[i] * row[j] for row in A)
                rows[ends[l] + i][ends[l] + j] = square + (gammas[l] - Decimal(float(shift)) if i == j else 0)
            if l + 2 < len(ends):
                for i, j in itertools.product(range(len(A)), range(len(A[0]))):
                    rows[ends[l] + j][ends[l + 1] + i] = -gammas[l + 1] * A[i][j]
        negative = 0
        for k, row in enumerate(rows):
            negative += row[k] < 0
            right = [j for j in row if j > k]
            for i in right:
                factor = row[i] / row[k]
                for j in right:
                    if j >= i:
                        rows[i][j] = rows[i].get(j, Decimal(0)) - factor * row[j]
        return negative


def test_a_condition_number_beyond_float64():
    # SP with skips, each block adding to what it sees: activities grow exponentially with depth.
    table = parameterization("sp")
    built = residual_mlp(4, 8, 1, depth=64, activation="linear", table=table, key=jax.random.key(2))
    matrices = effective_matrices(built.network)
    ends = spectrum(linear_problem(built.network))
    assert ends.condition_number[0] > 1e14
    size = 8 * 63
    for value, counts in ((ends.smallest[0], [0, 1]), (ends.largest[0], [size - 1, size])):
        assert [eigenvalues_below(matrices, [1.0] * 64, value * (1 + 1e-6 * side)) for side in (-1, 1)] == counts


def test_eigenvalues_that_are_rounding_are_refused():
    # λ_min λ_max = det H = 1, λ_max = 2 + 1e16.
    one = jnp.ones((1, 1))
    with refused("matrices") as error:
        dense_spectrum([one, 1e8 * one, 0 * one], [1.0, 1.0, 1.0])
    assert abs(error.value.value) < 1


def test_curvature_and_error_space():
    # At unit hidden precisions κ of the error-space Hessian Γ + γ_L J^T J is 1 + ‖C‖ (theory.md E).
    problem = linear_problem(network_of("linear_skip"), 1.7)
    layers, gammas = unrolled(problem.network), per_layer(problem.network, problem.precisions)

    def of_errors(vector):
        return error_energy(layers, gammas, split(layers, vector), problem.x[0], problem.y[0], LOSSES["mse"][1])

    size = sum(layer.matrix.shape[0] for layer in layers[:-1])
    eigenvalues = np.linalg.eigvalsh(jax.jit(jax.hessian(of_errors))(jnp.zeros(size)))
    ends = spectrum(problem)
    np.testing.assert_allclose(ends.error_condition_number, eigenvalues[-1] / eigenvalues[0], rtol=1e-12)
    C = curvature_matrix(effective_matrices(problem.network), [float(gamma) for gamma in gammas])
    np.testing.assert_allclose(ends.curvature, np.linalg.norm(C, 2), rtol=1e-12)


def test_curvature_of_a_nonlinear_network():
    # Unequal precisions: the largest eigenvalue of γ_L J Γ^-1 J^T, J the Jacobian of f in all hidden errors.
    problem, start, _ = setup("silu_skip")
    layers, gammas = unrolled(problem.network), gammas_of(problem, 1)

    def predicted(vector):
        below = problem.x[1]
        for layer, error in zip(layers[:-1], split(layers, vector), strict=True):
            below = layer(below) + error
        return layers[-1](below)

    sizes = [layer.matrix.shape[0] for layer in layers[:-1]]
    J = np.asarray(jax.jit(jax.jacobian(predicted))(jnp.zeros(sum(sizes))))
    C = gammas[-1] * (J / np.repeat(gammas[:-1], sizes)) @ J.T
    norms = eqx.filter_jit(curvature_norm)(problem, start)
    np.testing.assert_allclose(norms[1], np.linalg.norm(C, 2), rtol=1e-12)


def test_all_eigenvalues_of_a_small_network():
    problem, _, _ = setup("linear_skip")
    eigenvalues = dense_spectrum(effective_matrices(problem.network), [float(g) for g in gammas_of(problem, 1)])
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(expected("linear_skip")[0]), rtol=1e-11)


def test_a_network_that_has_diverged():
    ends = spectrum(linear_problem(weighted_chain(math.inf, 1.0, 64)))
    assert all(np.isnan(value).all() for value in (ends.smallest, ends.largest, ends.condition_number))


@pytest.mark.parametrize(
    ("change", "kind"), [({"loss": "ce"}, "the loss cross_entropy"), ({"fixed": True}, "fixed predictions")]
)
def test_what_has_no_gauss_newton_form_is_refused(change, kind):
    problem, _, point = setup("two_layers", change.get("loss", "mse"))
    if "fixed" in change:
        problem = Problem(problem.network, problem.precisions, problem.x, problem.y, problem.loss, True)
    for asked in (
        lambda: gauss_newton_product(problem, point, point.states),
        lambda: gauss_newton_rows(problem, point),
        lambda: spectrum(problem, point),
    ):
        with refused("problem", kind):
            asked()
