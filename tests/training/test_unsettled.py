"""A run says once where inference did not settle."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.config import RELAXATIONS, found
from widthwise.inference import Problem
from widthwise.training import UnsettledWarning


def run(iterations, precision, relaxation=ww.Automatic):
    table = ww.parameterization("mup", algorithm="pc")
    built = ww.mlp(64, 8, 10, depth=4, activation="tanh", table=table, key=jax.random.key(0))
    pc = ww.PredictiveCoding(relaxation(iterations=iterations), output_precision=precision)
    return ww.train(built, pc, ww.data.digits(), rate=1e-3, steps=3, batch_size=16)


def test_one_warning_where_examples_stay_unsettled():
    # At this precision one step leaves every example far from equilibrium.
    with pytest.warns(UnsettledWarning, match="above the tolerance 0.01.*more iterations than 1") as caught:
        trained = run(1, 1000.0)
    assert len(caught) == 1
    assert max(trained.history["settled"]) < 0.95


def test_the_default_relaxation_warns_too_and_names_the_one_that_settles():
    with pytest.warns(UnsettledWarning, match="above the tolerance 0.01.*auto, more iterations than 1") as caught:
        trained = run(1, 1.0, ww.ErrorDescent)
    assert len(caught) == 1
    assert max(trained.history["settled"]) < 0.95
    assert max(trained.history["residual_median"]) < 1


def test_one_warning_where_the_loss_diverges():
    table = ww.parameterization("mup", algorithm="pc")
    built = ww.mlp(64, 8, 10, depth=3, activation="linear", table=table, key=jax.random.key(0))
    # Far beyond 2 over the largest curvature of the activity Hessian.
    pc = ww.PredictiveCoding(ww.ActivityDescent(iterations=200, rate=1e3))
    with pytest.warns(ww.DivergedWarning, match="not finite from step 2 on.*activity rate") as caught:
        trained = ww.train(built, pc, ww.data.digits(), rate=1e-3, steps=3, batch_size=16)
    assert len(caught) == 1
    assert trained.history["settled"] == [0.0, 0.0, 0.0]


def descended(depth, rate):
    table = ww.parameterization("mup", algorithm="pc")
    built = ww.mlp(64, 8, 10, depth=depth, activation="tanh", table=table, key=jax.random.key(0))
    pc = ww.PredictiveCoding(ww.ActivityDescent(iterations=20, rate=rate))
    return ww.train(built, pc, ww.data.digits(), rate=1e-3, steps=3, batch_size=16)


def test_one_warning_where_activities_leave_equilibrium():
    # Above 2 over the largest curvature, at least 1 + |W|^2: tanh keeps the activities finite, and saturates.
    with pytest.warns(UnsettledWarning, match="farther from equilibrium.*first at step 1 .*activity rate") as caught:
        trained = descended(4, 3.0)
    assert len(caught) == 1
    assert np.isfinite(trained.history["loss"]).all()
    assert trained.history["residual_median"][0] > 1


@pytest.mark.parametrize("name", RELAXATIONS)
def test_nan_weights_end_inference_and_are_not_called_settled(name):
    table = ww.parameterization("mup", algorithm="pc")
    activation = "linear" if name == "exact" else "tanh"
    built = ww.mlp(3, 2, 2, depth=3, activation=activation, table=table, key=jax.random.key(0))
    spoilt = jax.tree.map(lambda leaf: jnp.nan * leaf, eqx.filter(built.network, eqx.is_inexact_array))
    network = eqx.combine(spoilt, eqx.filter(built.network, eqx.is_inexact_array, inverse=True))
    problem = Problem(network, (jnp.ones(()),) * 3, jnp.ones((1, 3)), jnp.ones((1, 2)), ww.mse)
    _, settled = jax.jit(lambda p: found(name, RELAXATIONS)()(p, p.start()))(problem)
    assert settled.converged.tolist() == [False]
    assert bool(jnp.isnan(settled.residual[0]))


def test_none_where_they_settle():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = run(40, 0.1)
    assert min(trained.history["settled"]) == 1
    assert max(trained.history["residual_max"]) <= 1e-2
