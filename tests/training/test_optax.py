"""Optax as users write it: chains, partitions, schedules and loops, over a network's trainable arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refused

import widthwise as ww
from widthwise.network import Factor
from widthwise.parameterizations import Role
from widthwise.training import examples, run_order, streams

STEPS = 6


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Optax mixes floats with integer counts, which the suite's strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def made(optimizer="adam", *, name="mup", depth=4, width=24, **settings):
    table = ww.parameterization(name, optimizer=optimizer, gauge="rescaling", **settings)
    return ww.mlp(64, width, 10, depth=depth, table=table, key=jax.random.key(0), bias=True)


def batch():
    data = ww.data.digits()
    y = np.eye(10)[np.asarray(data.y_train[:32])]
    return jnp.asarray(data.x_train[:32], float), jnp.asarray(y)


def gradient(network, x, y):
    return eqx.filter_grad(lambda held: jnp.mean(ww.mse(held(x), y)))(network)


def looped(network, transform, steps=STEPS):
    """A user's own loop."""
    parameters, static = eqx.partition(network, eqx.is_inexact_array)
    state = transform.init(parameters)
    for _ in range(steps):
        gradients = gradient(eqx.combine(parameters, static), *batch())
        updates, state = transform.update(gradients, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return eqx.combine(parameters, static)


def trainable(network):
    return jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))


def factors(network):
    found = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, Factor))
    return [np.asarray(node.value) for node in found if isinstance(node, Factor)]


def same(one, other, rtol=1e-6):
    for a, b in zip(trainable(one), trainable(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


def test_trainable_arrays_are_weights_and_biases_alone():
    network = made().network
    assert sorted(leaf.shape for leaf in trainable(network)) == sorted(
        [(1, 24, 64), (2, 24, 24), (1, 10, 24), (1, 24), (2, 24), (1, 10)]
    )
    # Of each stage a multiplier and that of its bias, of each segment a precision.
    assert len(factors(network)) == 9
    assert any(np.any(value != 1) for value in factors(network))


def test_a_chain_with_clipping_lion_and_a_schedule():
    built, schedule = made("lion"), optax.cosine_decay_schedule(0.01, STEPS)
    chain = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_lion(),
        ww.scale_by_parameterization(built),
        optax.scale_by_learning_rate(schedule),
    )
    after = looped(built.network, chain)
    # By hand: the sign of Lion's mean, each array at its own rate.
    weights, means = trainable(built.network), None
    network = built.network
    for step in range(STEPS):
        gradients = jax.tree.leaves(gradient(network, *batch()))
        norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in gradients))
        gradients = [g * min(1.0, 1.0 / norm) for g in gradients]
        means = means or [np.zeros(g.shape) for g in gradients]
        signs = [np.sign(0.9 * m + 0.1 * np.asarray(g)) for m, g in zip(means, gradients, strict=True)]
        means = [0.99 * m + 0.01 * np.asarray(g) for m, g in zip(means, gradients, strict=True)]
        rates = [float(schedule(step)) * label.rate for label in jax.tree.leaves(built.scalings)]
        weights = [w - rate * s for w, rate, s in zip(weights, rates, signs, strict=True)]
        structure = jax.tree.structure(eqx.filter(network, eqx.is_inexact_array))
        network = eqx.combine(jax.tree.unflatten(structure, weights), network)
    same(after, network)
    for before, now in zip(factors(built.network), factors(after), strict=True):
        np.testing.assert_array_equal(before, now)


def test_decay_finds_no_factor():
    built = made()
    chain = optax.chain(optax.add_decayed_weights(0.5), ww.scale_by_parameterization(built), optax.scale(-0.1))
    for before, now in zip(factors(built.network), factors(looped(built.network, chain)), strict=True):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_partition_by_roles(wrapped):
    muon, adam = made("muon"), made("adam")
    by_role = {role: ww.optimizer(muon if role in (Role.HIDDEN, Role.BRANCH) else adam, 0.01) for role in Role}
    labels = (lambda _: adam.roles) if wrapped else adam.roles
    after = looped(adam.network, optax.partition(by_role, labels), 1)
    whole = {name: looped(adam.network, ww.optimizer(held, 0.01), 1) for name, held in (("muon", muon), ("adam", adam))}
    roles = jax.tree.leaves(adam.roles)
    for index, role in enumerate(roles):
        right = whole["muon" if role is Role.HIDDEN else "adam"]
        np.testing.assert_allclose(trainable(after)[index], trainable(right)[index], rtol=1e-9)
    assert not np.allclose(trainable(whole["muon"])[roles.index(Role.HIDDEN)], trainable(after)[0].mean())


def test_hyperparameters_are_injected():
    built = made("sgd")
    transform = optax.inject_hyperparams(ww.optimizer, static_args=("built",))(built, learning_rate=0.1)
    parameters = eqx.filter(built.network, eqx.is_inexact_array)
    gradients, state = gradient(built.network, *batch()), transform.init(parameters)
    first, state = transform.update(gradients, state, parameters)
    state.hyperparams["learning_rate"] = jnp.asarray(0.3)
    second, _ = transform.update(gradients, state, parameters)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(3 * a, b, rtol=1e-6)


def test_several_batches_make_one_update():
    built = made("adam")
    every = optax.MultiSteps(ww.optimizer(built, 0.01), every_k_schedule=2)
    # Both batches of a pair are the same here, and so is their mean.
    same(looped(built.network, every, 4), looped(built.network, ww.optimizer(built, 0.01), 2))


def chain_of(built):
    return optax.chain(optax.clip_by_global_norm(0.5), optax.scale_by_lion(), ww.scale_by_parameterization(built))


def test_train_takes_an_optimizer_and_equals_a_loop_by_hand():
    built, data, rate = made("lion"), ww.data.digits().first(256), 0.01
    trained = ww.train(
        built, ww.Backprop(), data, rate=rate, steps=STEPS, batch_size=32, decay="cosine", optimizer=("lion", chain_of)
    )
    held = examples(data, "train", built.network.dtype, built.network)
    order = run_order(streams(0).order, STEPS, held.count, 32)
    transform = optax.chain(chain_of(built), optax.scale_by_learning_rate(optax.cosine_decay_schedule(rate, STEPS)))
    parameters, static = eqx.partition(built.network, eqx.is_inexact_array)
    state = transform.init(parameters)
    for row in order:
        one = held.batch(row)
        updates, state = transform.update(gradient(eqx.combine(parameters, static), *one), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    same(trained.network, eqx.combine(parameters, static))


@pytest.mark.parametrize("optimizer", ["lion", ww.UpdateRule("lion", 0, 0, ("1/2", 1, "1/2"))])
def test_an_optimizer_by_its_name_or_row_is_the_tables(optimizer):
    built, data = made("lion"), ww.data.digits().first(64)
    runs = [
        ww.train(built, ww.Backprop(), data, rate=0.01, steps=2, batch_size=32, **given)
        for given in ({}, {"optimizer": optimizer})
    ]
    same(runs[0].network, runs[1].network)


def test_warmup_rises_from_its_first_step():
    built, data = made("sgd"), ww.data.digits().first(64)
    runs = {}
    for warmup in (0, 4):
        on = ww.train(built, ww.Backprop(), data, rate=1e-4, steps=8, batch_size=64, warmup=warmup)
        runs[warmup] = on.history["loss"]
    moved = [loss[0] - loss[1] for loss in runs.values()]
    # To first order a step of a quarter of the rate lowers the loss by a quarter.
    assert moved[1] == pytest.approx(moved[0] / 4, rel=0.05)


def test_clipping_bounds_the_same_share_at_every_width():
    """At the base size the norm is optax's; at others gradients are measured by how the table lets them grow."""
    table = ww.parameterization("mup", optimizer="sgd", base_width=32, base_depth=3)
    x, y = batch()
    found = {}
    for width in (32, 512):
        ratios = []
        for seed in range(4):
            built = ww.mlp(64, width, 10, depth=3, table=table, key=jax.random.key(seed))
            parameters = eqx.filter(built.network, eqx.is_inexact_array)
            plain, clipped = (ww.optimizer(built, 1.0, clip=clip) for clip in (None, 1e-3))
            # The same residual at every width: that of a random prediction is not.
            gradients = gradient(built.network, x, built.network(x) + y)
            updates = [t.update(gradients, t.init(parameters), parameters)[0] for t in (plain, clipped)]
            ratios.append(float(np.divide(*(np.linalg.norm(jax.tree.leaves(u)[0]) for u in updates[::-1]))))
            if width == 32:
                assert ratios[-1] == pytest.approx(1e-3 / float(optax.tree.norm(gradients)), rel=1e-6)
        found[width] = np.mean(ratios)
    assert found[512] == pytest.approx(found[32], rel=0.25)


def test_optimizers_that_cannot_be_used():
    built, data = made("adam"), ww.data.digits().first(64)
    settings = {"rate": 0.1, "steps": 2, "batch_size": 32}

    def train(**own):
        ww.train(built, ww.Backprop(), data, **settings | own)

    with refused("optimizer", "sgd"):
        train(optimizer="sgd")
    # Lion's row is Adam's, and records would call it Adam.
    with refused("optimizer", "lion"):
        train(optimizer="lion")
    with refused("optimizer", "mine"):
        train(optimizer="mine")
    with refused("optimizer"):
        train(optimizer=optax.adam(0.1))
    with refused("momentum", 0.9):
        train(momentum=0.9)
    with refused("weight_decay", 0.1):
        train(optimizer=("adam", lambda built: optax.scale_by_adam()), weight_decay=0.1)
    with refused("clip", 0.0):
        train(clip=0.0)
    with refused("warmup", 2):
        train(warmup=2)
    with refused("transform"):
        ww.optimizer(made(ww.UpdateRule("mine", 0, 0, ("1/2", 1, "1/2"))), 0.1)
    with refused("weight_decay", 0.1):
        ww.scale_by_parameterization(made("adam", weight_decay_kind="independent"), weight_decay=0.1)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_muon_orthogonalizes_each_layers_matrix(network):
    """Newton and Schulz's polynomial leaves singular values near 1, times the rate, at every depth."""
    table = ww.parameterization("mup", optimizer="muon")
    settings = {"table": table, "key": jax.random.key(0)}
    if network == "mlp":
        built = ww.mlp(64, 24, 10, depth=5, **settings)
    else:
        built = ww.cnn((8, 8, 1), 12, 10, depth=4, stride=1, readout="gap", **settings)
    parameters = eqx.filter(built.network, eqx.is_inexact_array)
    draws = [
        jax.random.normal(jax.random.key(index), leaf.shape) for index, leaf in enumerate(trainable(built.network))
    ]
    gradients = jax.tree.unflatten(jax.tree.structure(parameters), draws)
    transform = ww.optimizer(built, 1.0)
    updates = jax.tree.leaves(transform.update(gradients, transform.init(parameters), parameters)[0])
    for update, label in zip(updates, jax.tree.leaves(built.scalings), strict=True):
        for layer in np.asarray(update):
            # Fan-out first: of a convolution (k, k, in, out) it is the last axis.
            matrix = np.moveaxis(layer, -1, 0).reshape(layer.shape[-1], -1) if layer.ndim == 4 else layer
            values = np.linalg.svd(matrix / label.rate, compute_uv=False)
            assert 0.6 < values.min() <= values.max() < 1.3


def test_a_given_direction_meets_the_tables_epsilon():
    """Adam handed over is Adam by its name: gradients divided by the table's epsilon meet the one epsilon of both."""
    built = made("adam", width=96)
    given = ww.optimizer(built, 0.01, direction=optax.scale_by_adam(eps=0.05))
    same(looped(built.network, given), looped(built.network, ww.optimizer(built, 0.01, epsilon=0.05)), rtol=1e-12)
