"""Convolutional networks under predictive coding and target propagation, trained for a few real steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise import mse
from widthwise.algorithms import Batch, PredictiveCoding, TargetPropagation
from widthwise.inference import ErrorDescent
from widthwise.network import residual_cnn, vgg
from widthwise.parameterizations import parameterization
from widthwise.training import make_step, optimizer, start

KEY = jax.random.key(0)


def built(kind, algorithm, norm):
    name = "mupc" if kind == "residual_cnn" and algorithm == "pc" else "mup"
    settings = {"table": parameterization(name, algorithm=algorithm, base_width=2, base_depth=4), "key": KEY}
    if kind == "vgg":
        return vgg((8, 8, 1), [2, "M", 3], 2, norm=norm, **settings)
    return residual_cnn((8, 8, 1), 2, 2, depth=4, norm=norm, **settings)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("kind", ["vgg", "residual_cnn"])
@pytest.mark.parametrize("algorithm", ["pc", "dtp"])
def test_every_layer_learns(algorithm, kind, norm):
    """Forty steps on one small batch: all is finite, every layer's weights move, the loss falls."""
    made = built(kind, algorithm, norm)
    rule = TargetPropagation() if algorithm == "dtp" else PredictiveCoding(ErrorDescent(iterations=6))
    draw = np.random.default_rng(0).normal
    batch = Batch(jnp.asarray(draw(size=(6, 8, 8, 1))), jnp.asarray(draw(size=(6, 2))))
    transform = optimizer(made)
    step, state = make_step(rule, transform, mse), start(rule.init(made, key=KEY), transform, jnp.asarray(0.1))
    arrays, static = eqx.partition(state, eqx.is_array)

    @jax.jit
    def trained(arrays):
        def one(arrays, _):
            after, metrics = step(eqx.combine(arrays, static), batch, KEY)
            return eqx.filter(after, eqx.is_array), metrics["loss"]

        return jax.lax.scan(one, arrays, length=40)

    after, losses = trained(arrays)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(after))
    old, new = (
        [segment.stages.linear.weight[row] for segment in network.segments for row in range(segment.depth)]
        for network in (made.network, after.learner.network)
    )
    assert len(old) == (3 if kind == "vgg" else 4)
    for layer, (before, moved) in enumerate(zip(old, new, strict=True), start=1):
        # Far above rounding: a layer that gets no error at all stays where it is to the last bit.
        assert float(jnp.linalg.norm(moved - before) / jnp.linalg.norm(before)) > 1e-4, layer
    assert float(losses[-1]) < 0.95 * float(losses[0])
