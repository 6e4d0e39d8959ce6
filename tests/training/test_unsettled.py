"""A run that was promised to settle says once where it did not."""

import warnings

import jax
import pytest

import widthwise as ww
from widthwise.training import UnsettledWarning


def run(iterations, precision):
    table = ww.parameterization("mup", algorithm="pc")
    built = ww.mlp(64, 8, 10, depth=4, activation="tanh", table=table, key=jax.random.key(0))
    pc = ww.PredictiveCoding(ww.Automatic(iterations=iterations), output_precision=precision)
    return ww.train(built, pc, ww.data.digits(), rate=1e-3, steps=3, batch_size=16)


def test_one_warning_where_examples_stay_unsettled():
    # At this precision one step leaves every example far from equilibrium.
    with pytest.warns(UnsettledWarning, match="above the tolerance 0.01.*more iterations than 1") as caught:
        trained = run(1, 1000.0)
    assert len(caught) == 1
    assert max(trained.history["settled"]) < 0.95


def test_none_where_they_settle():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = run(40, 0.1)
    assert min(trained.history["settled"]) == 1
    assert max(trained.history["residual_max"]) <= 1e-2
