"""Closed forms of linear predictive coding against a dense solve, differentiation and symmetry."""

import functools
import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

from widthwise.network import mlp, residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.theory import (
    activity_hessian,
    curvature_matrix,
    dense_equilibrium,
    effective_matrices,
    equilibrated_energy,
    equilibrium_weight_gradients,
    fixed_point_errors,
    rescaling,
)

BATCH, SHAPES = (
    7,
    {"chain": (6, 9, 9, 9, 3), "skips": (6, 9, 9, 9, 3), "two": (6, 9, 3), "uneven": (4, 7, 2, 5, 3)},
)
each_problem = pytest.mark.parametrize("name", SHAPES)


@functools.cache
def problem(name):
    """Matrices, precisions drawn layer by layer, inputs and targets."""
    draw = np.random.default_rng(list(SHAPES).index(name))
    sizes = SHAPES[name]
    matrices = [draw.normal(size=(o, i)) / np.sqrt(i) for i, o in itertools.pairwise(sizes)]
    if name == "skips":
        matrices[1:-1] = [np.eye(9) + A / 2 for A in matrices[1:-1]]
    rest = (
        np.exp(draw.normal(size=len(matrices))),
        draw.normal(size=(BATCH, sizes[0])),
        draw.normal(size=(BATCH, 3)),
    )
    return jax.tree.map(jnp.asarray, (matrices, *rest))


def energy(hidden, matrices, precisions, x, y):
    """F of one example or of a batch, written out."""
    errors = [above - below @ A.T for A, (below, above) in zip(matrices, pairs(hidden, x, y), strict=True)]
    return sum(0.5 * g * jnp.sum(e**2, axis=-1) for g, e in zip(precisions, errors, strict=True))


def pairs(hidden, x, y):
    return list(itertools.pairwise([x, *hidden, y]))


def mean_equilibrated_energy(*problem):
    return jnp.mean(equilibrated_energy(*problem))


@functools.cache
def dense(name):
    return jax.jit(dense_equilibrium)(*problem(name))


@functools.cache
def gradients(name):
    return jax.jit(equilibrium_weight_gradients)(*problem(name))


def assert_all_close(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


@each_problem
def test_errors_equal_the_dense_solve(name):
    matrices, _, x, y = problem(name)
    states = [np.asarray(h) for h in (x, *dense(name), y)]
    errors = jax.jit(fixed_point_errors)(*problem(name))
    expected = [above - below @ A.T for A, (below, above) in zip(matrices, itertools.pairwise(states), strict=True)]
    assert_all_close(errors, expected, atol=1e-10, rtol=0)


@each_problem
def test_energy_equals_that_of_the_dense_solve(name):
    found = jax.jit(equilibrated_energy)(*problem(name))
    assert found.shape == (BATCH,)
    np.testing.assert_allclose(found, jax.jit(energy)(dense(name), *problem(name)), rtol=1e-10)


@each_problem
def test_dense_solve_is_a_minimum(name):
    def total(hidden):
        return jnp.sum(energy(hidden, *problem(name)))

    for slope in jax.jit(jax.grad(total))(dense(name)):
        np.testing.assert_allclose(slope, 0, atol=1e-11)


@each_problem
def test_hessian_equals_automatic_differentiation(name):
    matrices, precisions, x, y = problem(name)
    ends = np.cumsum(SHAPES[name][1:-1])

    def of_one(units):
        return energy(jnp.split(units, ends[:-1]), matrices, precisions, x[0], y[0])

    expected = jax.jit(jax.hessian(of_one))(jnp.zeros(ends[-1]))
    found = jax.jit(activity_hessian)(matrices, precisions)
    np.testing.assert_allclose(found, expected, atol=1e-12, rtol=1e-12)


@each_problem
def test_weight_gradients_are_those_of_the_equilibrated_energy(name):
    matrices, *rest = problem(name)
    value_and_gradient = jax.jit(jax.value_and_grad(mean_equilibrated_energy))
    assert_all_close(gradients(name), value_and_gradient(matrices, *rest)[1], atol=1e-10)
    draw = np.random.default_rng(9)
    direction = [draw.normal(size=A.shape) for A in matrices]
    moved = [
        [jnp.asarray(np.asarray(A) + step * d) for A, d in zip(matrices, direction, strict=True)]
        for step in (1e-5, -1e-5)
    ]
    plus, minus = (value_and_gradient(m, *rest)[0] for m in moved)
    along = sum(np.sum(np.asarray(g) * d) for g, d in zip(gradients(name), direction, strict=True))
    np.testing.assert_allclose(along, (plus - minus) / 2e-5, rtol=1e-7)


@each_problem
def test_weight_gradients_are_partial_derivatives_at_the_settled_activities(name):
    def mean_energy(matrices, *rest):
        return jnp.mean(energy(dense(name), matrices, *rest))

    assert_all_close(gradients(name), jax.jit(jax.grad(mean_energy))(*problem(name)), atol=1e-10)


@each_problem
def test_only_ratios_of_precisions_move_activities(name):
    matrices, precisions, x, y = problem(name)
    errors, energies = jax.jit(fixed_point_errors), jax.jit(equilibrated_energy)
    assert_all_close(errors(matrices, 3.7 * precisions, x, y), errors(matrices, precisions, x, y), atol=1e-13)
    scaled, plain = (energies(matrices, k * precisions, x, y) for k in (3.7, 1.0))
    np.testing.assert_allclose(scaled, 3.7 * plain, rtol=1e-12)


@each_problem
def test_rescaling_is_the_curvature_in_other_units(name):
    matrices, precisions, *_ = problem(name)
    curvature = np.asarray(jax.jit(curvature_matrix)(matrices, precisions))
    expected = (np.eye(3) + curvature) / np.asarray(precisions)[-1]
    np.testing.assert_allclose(jax.jit(rescaling)(matrices, precisions), expected, rtol=1e-12)


def test_small_output_precision_is_backprop():
    matrices, _, x, y = problem("chain")

    def loss(matrices):
        f = x
        for A in matrices:
            f = f @ A.T
        return 0.5 * jnp.mean(jnp.sum((y - f) ** 2, axis=-1))

    found = jax.jit(equilibrium_weight_gradients)(matrices, jnp.array([1.0, 1.0, 1.0, 1e-9]), x, y)
    expected = jax.jit(jax.grad(loss))(matrices)
    assert_all_close([np.asarray(g) / 1e-9 for g in found], expected, rtol=1e-6, atol=1e-8)


# One shape for all networks of a width: they share their compiled draws.
NETWORK = {"in_size": 8, "out_size": 3, "depth": 3}


@pytest.mark.parametrize("build", [mlp, residual_mlp])
def test_effective_matrices_reproduce_the_network(build):
    table = parameterization("mupc")
    network = build(width=64, activation="linear", table=table, key=jax.random.key(0), **NETWORK).network
    x = np.random.default_rng(0).normal(size=(BATCH, 8))
    f = x
    for A in effective_matrices(network):
        f = f @ np.asarray(A).T
    np.testing.assert_allclose(f, network(jnp.asarray(x)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", [{"activation": "tanh"}, {"activation": "linear", "bias": True}])
def test_networks_without_a_closed_form_are_refused(options):
    built = mlp(width=64, table=parameterization("mup"), key=jax.random.key(0), **NETWORK, **options)
    with refused("network", "Dense"):
        effective_matrices(built.network)


@functools.cache
def mean_curvature(name, gamma_bar, width, seeds=8):
    """The trace of C, whose mean over draws is a pure power of width; its norm has a transient."""
    table = parameterization(name, algorithm="pc", gamma_bar=gamma_bar)
    traces = []
    for seed in range(seeds):
        key = jax.random.fold_in(jax.random.key(seed), width)
        network = mlp(width=width, activation="linear", table=table, key=key, **NETWORK).network
        curvature = curvature_matrix(effective_matrices(network), [float(s.precision.value) for s in network.segments])
        traces.append(np.trace(curvature))
    return np.mean(traces)


@pytest.mark.parametrize(
    ("name", "gamma_bar", "slope"),
    [
        ("mup", "0", "-1"),
        ("mup", "-1/2", "-1/2"),
        ("mup", "-1", "0"),
        ("mup", "-3/2", "1/2"),
        ("sp", "-1", "1"),
    ],
)
def test_width_slope_of_the_curvature(name, gamma_bar, slope):
    narrow, wide = (mean_curvature(name, gamma_bar, width) for width in (64, 256))
    assert np.log(wide / narrow) / np.log(4) == pytest.approx(float(Fraction(slope)), abs=0.05)


def test_standard_parameterization_sits_at_the_gauss_newton_end():
    for width in (64, 256):
        np.testing.assert_allclose(mean_curvature("sp", "0", width), mean_curvature("mup", "-1", width), rtol=1e-12)
