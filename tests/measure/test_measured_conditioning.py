"""Conditioning during training: the networks are those that `train` makes, the numbers those of `theory`."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.algorithms import Batch
from widthwise.data import Dataset
from widthwise.measure import conditioning
from widthwise.theory import dense_spectrum, effective_matrices
from widthwise.training import streams

PRECISION = 1.6


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(24, 5)), draw.integers(0, 3, 24)
    return Dataset("toy", x, y, x[:8], y[:8], classes=3)


def pc():
    return ww.PredictiveCoding(ww.ErrorDescent(iterations=40), output_precision=PRECISION)


def builder(name="mupc", activation="linear", depth=4):
    table = ww.parameterization(name, algorithm="pc", optimizer="adam")
    return lambda key: ww.residual_mlp(5, 6, 3, depth=depth, activation=activation, table=table, key=key)


def test_every_step_is_one_of_training(data):
    build = builder()
    # Out of order, one twice; their greatest common divisor is 2, an epoch has 3 batches.
    found = conditioning(build, pc(), data, steps=(6, 0, 2, 6), rate=0.1, batch_size=8)
    assert [(one.seed, one.step) for one in found] == [(0, 0), (0, 2), (0, 6)]
    x, y = jnp.asarray(data.x_train[:8]), jnp.asarray(data.targets("train")[:8], float)
    built = build(streams(0).init)
    trained = ww.train(built, pc(), data, rate=0.1, steps=6, batch_size=8).network
    for one, network in ((found[0], built.network), (found[2], trained)):
        eigenvalues = dense_spectrum(effective_matrices(network), [1.0, 1.0, 1.0, PRECISION])
        np.testing.assert_allclose([one.smallest, one.largest], eigenvalues[[0, -1]], rtol=1e-9)
        np.testing.assert_allclose(one.condition_number, eigenvalues[-1] / eigenvalues[0], rtol=1e-9)
        np.testing.assert_allclose(one.loss, jnp.mean(jnp.sum((y - network(x)) ** 2, axis=1)) / 2, rtol=1e-9)
        assert 1 <= one.iterations <= 40
        assert one.converged == 1
    assert len({one.condition_number for one in found}) == 3


def test_seeds_are_networks_of_their_own(data):
    found = conditioning(builder(depth=2), pc(), data, seeds=2, batch_size=8)
    assert [one.seed for one in found] == [0, 1]
    for one in found:
        # Two layers: H = I + γ A^T A and C = γ A A^T share the eigenvalues that are not 1.
        A = np.asarray(effective_matrices(builder(depth=2)(streams(one.seed).init).network)[-1])
        largest = 1 + PRECISION * np.linalg.norm(A, 2) ** 2
        np.testing.assert_allclose([one.smallest, one.largest], [1, largest], rtol=1e-12)
        np.testing.assert_allclose([one.condition_number, one.error_condition_number], largest, rtol=1e-12)


def test_what_has_not_settled_says_so(data):
    slow = eqx.tree_at(lambda rule: rule.relaxation, pc(), ww.ErrorDescent(iterations=1, tolerance=1e-9))
    (found,) = conditioning(builder("sp", "tanh"), slow, data, batch_size=8)
    assert (found.iterations, found.converged) == (1, 0)


def test_a_network_that_diverges(data):
    build = builder("sp", depth=2)
    found = conditioning(build, pc(), data, steps=(0, 2), rate=1e200, batch_size=8)
    assert math.isfinite(found[0].condition_number)
    assert all(math.isnan(value) for value in (found[1].loss, found[1].condition_number, found[1].iterations))
    assert found[1].converged == 0


@pytest.mark.parametrize(
    ("settings", "setting", "value"),
    [
        ({"seeds": 0}, "seeds", 0),
        ({"steps": ()}, "steps", []),
        ({"steps": (0, -1)}, "steps", [0, -1]),
        ({"steps": (0, 3)}, "rate", None),
        ({"steps": (0, 3), "rate": -0.1}, "rate", -0.1),
        ({"batch_size": 25}, "batch_size", 25),
    ],
)
def test_bad_settings(data, settings, setting, value):
    with refused(setting, value):
        conditioning(builder(), pc(), data, **settings)


def test_probe_is_the_first_batch(data):
    # Iterations are the median over the first batch of training examples, settled apart.
    found = conditioning(builder("sp", "tanh"), pc(), data, batch_size=5)[0]
    network = builder("sp", "tanh")(streams(0).init).network
    probe = Batch(jnp.asarray(data.x_train[:5]), jnp.asarray(data.targets("train")[:5], float))
    problem = pc().problem(ww.Learner(network), probe, ww.mse)
    settled = jax.jit(lambda: pc().relaxation(problem, problem.start())[1])()
    assert found.iterations == np.median(settled.iterations)
