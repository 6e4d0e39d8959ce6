"""The two limits of predictive coding, and single sweeps, against simulated inference and against each other."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

from widthwise import mse
from widthwise.algorithms import Backprop, Batch, PredictiveCoding, cosine
from widthwise.inference import ActivityDescent, ErrorDescent, OutputSpaceSolve, Problem, SequentialSweep
from widthwise.network import mlp, residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.theory import (
    clamped_output_errors,
    curvature_matrix,
    effective_matrices,
    equilibrated_energy,
    equilibrium_weight_gradients,
    expected_curvature,
    fixed_point_errors,
    forward_growth,
    gauss_newton_errors,
    gradient_descent_errors,
    limit_cosines,
    single_sweep_errors,
    wide_limit_cosines,
)

SIZES, BATCH = (4, 9, 7, 8, 3), 6
HIDDEN = [0.6, 1.7, 1.1]


@functools.cache
def chain(seed=0):
    """Matrices, inputs, targets."""
    draw = np.random.default_rng(seed).normal
    matrices = [jnp.asarray(draw(size=(o, i)) / np.sqrt(i)) for i, o in itertools.pairwise(SIZES)]
    return matrices, jnp.asarray(draw(size=(BATCH, SIZES[0]))), jnp.asarray(draw(size=(BATCH, SIZES[-1])))


def simulated(relaxation, precisions, *, fixed_prediction=False):
    """A built network's inference: its effective matrices, data, and every layer's error once it has ended.

    Segments have one precision each, so the chain's two middle layers share theirs.
    """
    table = parameterization("mup", algorithm="pc", base_width=8)
    built = mlp(4, 8, 3, depth=4, activation="linear", table=table, key=jax.random.key(3))
    _, x, y = chain()
    one, middle, top = precisions
    problem = Problem(built.network, tuple(map(jnp.asarray, (one, middle, top))), x, y, mse, fixed_prediction)
    point = eqx.filter_jit(lambda problem: relaxation(problem, problem.start())[0])(problem)
    errors = [leaf for state in point.errors for leaf in state]
    settled = problem.errors(point.states, problem.start())[1]
    return effective_matrices(built.network), [one, middle, middle, top], x, y, [*errors, y - settled]


def assert_all_close(found, expected, tolerance=1e-10):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("precisions", [(1.0, 1.0, 1.0), (0.5, 2.0, 30.0)])
@pytest.mark.parametrize(
    "relaxation",
    [ErrorDescent(iterations=5000, tolerance=1e-13), ActivityDescent(iterations=20000, rate=0.03, tolerance=1e-13)],
    ids=["errors", "activities"],
)
def test_inference_ends_at_the_closed_form(relaxation, precisions):
    matrices, layers, x, y, errors = simulated(relaxation, precisions)
    assert_all_close(errors, fixed_point_errors(matrices, layers, x, y))
    energy = sum(0.5 * g * np.sum(np.asarray(e) ** 2, axis=-1) for g, e in zip(layers, errors, strict=True))
    np.testing.assert_allclose(equilibrated_energy(matrices, layers, x, y), energy, rtol=1e-10)
    states = [x]
    for A, error in zip(matrices, errors, strict=True):
        states.append(states[-1] @ A.T + error)
    np.testing.assert_allclose(states[-1], y, atol=1e-10)
    simulated_gradients = [-g * e.T @ z / BATCH for g, e, z in zip(layers, errors, states[:-1], strict=True)]
    assert_all_close(simulated_gradients, equilibrium_weight_gradients(matrices, layers, x, y))


@pytest.mark.parametrize("fixed_prediction", [False, True])
@pytest.mark.parametrize(
    ("precisions", "step"), [((1.0, 1.0, 0.8), None), ((0.5, 2.0, 1.5), 0.3), ((0.5, 2.0, 1.5), None)]
)
def test_one_sweep_ends_at_its_closed_form(precisions, step, fixed_prediction):
    sweep = SequentialSweep(sweeps=1, step=step)
    matrices, layers, x, y, errors = simulated(sweep, precisions, fixed_prediction=fixed_prediction)
    steps = [1 / g if step is None else step for g in layers[:-1]]
    found = single_sweep_errors(matrices, layers, steps, x, y, fixed_prediction=fixed_prediction)
    assert_all_close(found, errors)
    if fixed_prediction:
        # Three axes: step sizes and hidden precisions multiply from the layer up, the output precision scales all.
        backprop = gradient_descent_errors(matrices, [1.0] * 4, x, y)
        for l in range(3):
            factor = layers[-1] * np.prod([s * g for s, g in zip(steps[l:], layers[l:-1], strict=True)])
            np.testing.assert_allclose(layers[l] * np.asarray(errors[l]), factor * backprop[l], atol=1e-12)


def test_a_vanishing_output_precision_is_gradient_descent():
    matrices, x, y = chain()
    found = fixed_point_errors(matrices, [*HIDDEN, 1e-14], x, y)
    expected = gradient_descent_errors(matrices, [*HIDDEN, 1e-14], x, y)
    assert_all_close([e * 1e14 for e in found[:-1]], [e * 1e14 for e in expected[:-1]])

    # The same by differentiation: hidden errors are the loss's gradient in the activities, each over its precision.
    def loss(h, layer):
        for A in matrices[layer:]:
            h = h @ A.T
        return 0.5 * jnp.sum((y - h) ** 2)

    h = x
    for layer, precision in enumerate(HIDDEN, start=1):
        h = h @ matrices[layer - 1].T
        gradient = jax.grad(loss)(h, layer)
        np.testing.assert_allclose(found[layer - 1] * 1e14, -gradient / precision, atol=1e-10)


def test_a_growing_output_precision_clamps_the_output():
    matrices, x, y = chain()
    expected = clamped_output_errors(matrices, [*HIDDEN, 1.0], x, y)
    assert_all_close(fixed_point_errors(matrices, [*HIDDEN, 1e12], x, y), expected)
    # It is the least weighted change that reaches the target: any other that does is larger.
    reached, draw = x, np.random.default_rng(1).normal
    for A, error in zip(matrices, expected, strict=True):
        reached = reached @ A.T + error
    np.testing.assert_allclose(reached, y, atol=1e-10)
    away = jnp.asarray(draw(size=expected[0].shape))
    to_output = matrices[3] @ matrices[2] @ matrices[1]
    away = away - away @ to_output.T @ jnp.linalg.pinv(to_output).T
    other = [expected[0] + away, *expected[1:]]

    def weight(errors):
        return sum(g * jnp.sum(e**2) for g, e in zip(HIDDEN, errors[:-1], strict=True))

    np.testing.assert_allclose(weight(other), weight(expected) + HIDDEN[0] * jnp.sum(away**2), rtol=1e-10)


@pytest.mark.parametrize("loose", [0, 1, 2])
def test_a_layer_that_alone_may_err_takes_the_gauss_newton_step(loose):
    matrices, x, y = chain()
    precisions = [1.0 if layer == loose else 1e13 for layer in range(3)]
    expected = gauss_newton_errors(matrices, x, y)[loose]
    np.testing.assert_allclose(clamped_output_errors(matrices, [*precisions, 1.0], x, y)[loose], expected, atol=1e-10)


def orthogonal(readout=(1.5, 0.7, 0.3)):
    """A chain whose hidden layers keep every length, below a readout of given singular values."""
    draw = np.random.default_rng(2).normal
    turns = [np.linalg.qr(draw(size=(8, 8)))[0] for _ in range(2)]
    top = np.diag(readout) @ np.linalg.qr(draw(size=(8, 3)))[0].T
    return [jnp.asarray(A) for A in (draw(size=(8, 4)), *turns, top)]


@pytest.mark.parametrize("output_precision", [1e-3, 1.0, 40.0])
@pytest.mark.parametrize("hidden", [[1.0, 1.0, 1.0], HIDDEN])
def test_interpolation_depends_on_one_number(output_precision, hidden):
    matrices, (_, x, y) = orthogonal(), chain()
    found = limit_cosines(matrices, [*hidden, output_precision], x, y)
    f = x
    for A in matrices:
        f = f @ A.T
    strength = output_precision * sum(1 / g for g in hidden)
    descent, newton = wide_limit_cosines(matrices[-1] @ matrices[-1].T, strength, y - f)
    for layer in range(3):
        np.testing.assert_allclose(found.gradient_descent[layer], descent, atol=1e-10)
        np.testing.assert_allclose(found.gauss_newton[layer], newton, atol=1e-10)
    assert (np.asarray(descent) < 1).all()
    assert (np.asarray(newton) < 1).all()


def test_an_isotropic_readout_has_one_limit():
    matrices, (_, x, y) = orthogonal((0.8, 0.8, 0.8)), chain()
    for cosines in limit_cosines(matrices, [1.0, 1.0, 1.0, 5.0], x, y):
        np.testing.assert_allclose(cosines, 1, atol=1e-12)


def test_every_hidden_layer_needs_a_step():
    matrices, x, y = chain()
    with refused("steps", 2):
        single_sweep_errors(matrices, [1.0] * 4, [1.0, 1.0], x, y)


@pytest.mark.parametrize("residual", [True, False])
def test_expectations_at_initialization(residual):
    # Means of many draws of a small network: exact expectations hold at every size.
    depth, width, seeds = 5, 6, 4000
    table = parameterization("mupc", algorithm="pc")
    make = residual_mlp if residual else mlp

    @jax.jit
    @jax.vmap
    def drawn(key):
        network = make(4, width, 3, depth=depth, activation="linear", table=table, key=key).network
        matrices = effective_matrices(network)
        first = last = jnp.ones((1, 4)) @ matrices[0].T
        for A in matrices[1:-1]:
            last = last @ A.T
        return jnp.sum(first**2), jnp.sum(last**2), jnp.trace(curvature_matrix(matrices, [1.0] * (depth - 1) + [0.7]))

    first, last, trace = (np.asarray(v) for v in drawn(jax.random.split(jax.random.key(5), seeds)))
    growth = forward_growth(depth, residual=residual)
    expected = expected_curvature(depth, width, residual=residual, output_precision=0.7)
    for values, mean in ((last - growth * first, 0.0), (trace / 3, expected)):
        error = values.std() / np.sqrt(seeds)
        assert abs(values.mean() - mean) < 4 * error
        # The error is small enough for a factor of 1 + 1/L, or one layer more, to be seen.
        assert error < 0.04 * (growth * first.mean() if mean == 0 else expected)


@pytest.mark.parametrize(("width", "energy", "least"), [(16, 0.85, 0.95), (256, 0.986, 0.9995)])
def test_settled_predictive_coding_becomes_backprop(width, energy, least):
    """F*/loss and the least layer's cosine at L = 4, L/N = 1/4 and 1/64: the table in docs/theory.md E.

    How far predictive coding is from backprop depends on the targets' size too: data are the probe of B3.
    """
    table, seeds = parameterization("mupc", algorithm="pc"), 8
    pc, backprop = PredictiveCoding(OutputSpaceSolve(), output_precision=1.0), Backprop()

    def probe(seed):
        draw = np.random.default_rng(seed).normal
        x = draw(size=(8, 8))
        return x, np.tanh(2 * x @ draw(size=(8, 3)) / np.sqrt(8))

    @eqx.filter_jit
    @eqx.filter_vmap
    def measured(seed, batch):
        key = jax.random.key(seed)
        built = residual_mlp(8, width, 3, depth=4, activation="linear", table=table, key=key)
        settled, metrics = pc.grads(pc.init(built, key=key), batch, mse, key=key)
        reference, _ = backprop.grads(backprop.init(built, key=key), batch, mse, key=key)
        layers = cosine(settled, reference)[1]
        return metrics["residual_max"], metrics["energy"] / metrics["loss"], jnp.min(layers)

    batches = Batch(*(jnp.asarray(np.stack(part)) for part in zip(*map(probe, range(seeds)), strict=True)))
    residual, ratio, cosines = (np.asarray(v) for v in measured(jnp.arange(seeds), batches))
    assert residual.max() < 1e-10
    assert abs(ratio.mean() - energy) < 0.05
    assert abs(cosines.mean() - least) < 0.05
    # 1/(1 + c) is what eigenvalues that are all alike would give, and convexity makes it the least.
    alike = 1 / (1 + expected_curvature(4, width))
    assert alike - 3 * ratio.std() / np.sqrt(seeds) < ratio.mean() < 1
    if width == 256:
        assert abs(ratio.mean() - alike) < 0.01
