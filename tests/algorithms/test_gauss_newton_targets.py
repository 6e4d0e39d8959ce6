"""Gauss-Newton targets against pseudo-inverses in NumPy, inverses of square layers, and target propagation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

from widthwise import mse
from widthwise.algorithms import Backprop, Batch, GaussNewtonTargets, RidgeFeedback, TargetPropagation
from widthwise.measure import directions
from widthwise.network import mlp
from widthwise.parameterizations import parameterization

KEY = jax.random.key(2)
TABLE = parameterization("mup", base_width=4)


def made(width=7, sizes=(6, 3), activation="tanh", depth=4, count=5):
    draw = np.random.default_rng(0)
    built = mlp(sizes[0], width, sizes[1], depth=depth, activation=activation, table=TABLE, key=KEY, state="post")
    batch = Batch(jnp.asarray(draw.normal(size=(count, sizes[0]))), jnp.asarray(draw.normal(size=(count, sizes[1]))))
    return built, batch


def test_errors_are_the_pseudo_inverse_of_each_layers_jacobian():
    built, batch = made()
    rule = GaussNewtonTargets(0.0)
    found = eqx.filter_jit(rule.infer)(rule.init(built, key=KEY), batch, mse, key=KEY)
    weights = [
        segment.stages.linear.multiplier.value[row] * np.asarray(segment.stages.linear.weight[row])
        for segment in built.network.segments
        for row in range(segment.depth)
    ]
    errors = [np.asarray(leaf[row]) for leaf in found.errors for row in range(leaf.shape[0])]
    z, states = np.asarray(batch.x), []
    for w in weights[:-1]:
        z = np.tanh(z @ w.T)
        states.append(z)
    missed = np.asarray(batch.y) - z @ weights[-1].T
    for example in range(len(z)):
        jacobian = weights[-1]
        for level in range(len(states) - 1, -1, -1):
            expected = np.linalg.pinv(jacobian) @ missed[example]
            np.testing.assert_allclose(errors[level][example], expected, rtol=1e-9, atol=1e-12)
            jacobian = jacobian @ np.diag(1 - states[level][example] ** 2) @ weights[level]


def test_square_linear_layers_give_target_propagations_inverses():
    """As many examples as units, ridge 0: feedback is the inverse, and so is every Jacobian's pseudo-inverse."""
    built, batch = made(width=4, sizes=(4, 4), activation="linear", count=9)
    found = {}
    for rule in (GaussNewtonTargets(0.0), TargetPropagation(RidgeFeedback(0.0), target_step=1.0)):
        learner = rule.init(built, key=KEY)
        found[rule.name] = eqx.filter_jit(rule.infer)(learner, batch, mse, key=KEY).errors
    for a, b in zip(found["gauss_newton"], found["dtp"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)
    measured = eqx.filter_jit(lambda held: directions(rule, held, batch, key=KEY, damping=0.0))
    angles = measured(learner)
    np.testing.assert_allclose(angles["gauss_newton"], 0, atol=1e-4)
    assert float(jnp.max(angles["backprop"])) > 10


@pytest.mark.parametrize("white", [True, False])
def test_at_its_ridge_optimum_dtp_is_a_damped_gauss_newton_step(white):
    """A readout that is not square, and states of Gram matrix S = Z^T Z: ridge regression from W z to z leads to

        argmin_e |W e − δ|² + μ e^T S^-1 e

    which is Gauss-Newton's step, damped by μ/c, where the states are white, S = c I, and only there.
    """
    table, draw = parameterization("mup", algorithm="dtp", base_width=4), np.random.default_rng(4).normal
    count, width, out, scale, ridge = 9, 5, 3, 4.0, 0.02
    built = mlp(7, width, out, depth=2, activation="linear", table=table, key=KEY, state="post")
    first, readout = (
        segment.stages.linear.multiplier.value[0] * np.asarray(segment.stages.linear.weight[0])
        for segment in built.network.segments
    )
    z = np.sqrt(scale) * np.linalg.qr(draw(size=(count, width)))[0] * (1.0 if white else np.arange(1, width + 1))
    # The first layer has more inputs than units: any states can be had.
    batch = Batch(jnp.asarray(z @ np.linalg.pinv(first).T), jnp.asarray(draw(size=(count, out))))
    missed = np.asarray(batch.y) - z @ readout.T
    # μ = μ' B fan-in, and the least squares of both terms at once.
    mu = ridge * count * out
    root = np.linalg.inv(np.linalg.cholesky(z.T @ z))
    tall = np.vstack([readout, np.sqrt(mu) * root])
    expected = np.linalg.lstsq(tall, np.vstack([missed.T, np.zeros((width, count))]), rcond=None)[0].T
    errors = []
    for rule in (TargetPropagation(RidgeFeedback(ridge), target_step=1.0), GaussNewtonTargets(mu / scale)):
        learner = rule.init(built, key=KEY)
        errors.append(np.asarray(eqx.filter_jit(rule.infer)(learner, batch, mse, key=KEY).errors[0][0]))
    np.testing.assert_allclose(errors[0], expected, rtol=1e-9, atol=1e-12)
    apart = np.abs(errors[1] - expected).max() / np.abs(expected).max()
    assert apart < 1e-9 if white else apart > 0.1


def test_large_damping_is_backprop():
    """(P P^T + δ)^-1 goes to 1/δ, and P^T e is the gradient."""
    built, batch = made()
    learner = Backprop().init(built, key=KEY)
    own, _ = eqx.filter_jit(GaussNewtonTargets(1e9).grads)(learner, batch, mse, key=KEY)
    reference, _ = eqx.filter_jit(Backprop().grads)(learner, batch, mse, key=KEY)
    for a, b in zip(jax.tree.leaves(own)[:-1], jax.tree.leaves(reference)[:-1], strict=True):
        np.testing.assert_allclose(1e9 * a, b, rtol=1e-6, atol=1e-10)


def test_a_negative_damping_is_refused():
    with refused("damping", -1.0):
        GaussNewtonTargets(-1.0)
