"""γ_0, the prefactor of the richness: f / γ_0 and rates γ_0² (SGD) or γ_0 (Adam) times as large, by definition."""

from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refused

import widthwise as ww
from widthwise.parameterizations import Role, from_json, parameterization, to_json
from widthwise.training import make_step, optimizer, start

X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)))
Y = jnp.asarray(np.random.default_rng(1).normal(size=(6, 2)))
KEY = jax.random.key(0)
CASES = [("mup", {}, 0.5), ("ntp", {}, 3.0), ("richness", {"richness": "1/4"}, 3.0), ("mupc", {}, 3.0)]


def built_of(name, settings, *, optimizer="sgd", width=24):
    table = parameterization(name, optimizer=optimizer, base_width=16, **settings)
    maker = ww.residual_mlp if name == "mupc" else ww.mlp
    return maker(4, width, 2, depth=4, table=table, key=KEY, bias=True)


def weights_of(built):
    """The trainable arrays as a list, and the network again from such a list."""
    weights, fixed = eqx.partition(built.network, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(weights)
    return leaves, lambda leaves: eqx.combine(jax.tree.unflatten(tree, leaves), fixed)


def stepped(built, *, rate, steps, epsilon=1e-8):
    """The network after some steps of backprop."""
    transform = optimizer(built, epsilon=epsilon)
    state = start(ww.Backprop().init(built, key=KEY), transform, jnp.asarray(rate))
    step = make_step(ww.Backprop(), transform, ww.mse)
    for _ in range(steps):
        state, _ = step(state, ww.Batch(X, Y), KEY)
    return state.learner.network


@pytest.mark.parametrize(("name", "settings", "gamma_0"), CASES)
def test_sgd_is_the_network_over_gamma_0_at_rates_times_its_square(name, settings, gamma_0):
    """theory.md's table: out / γ, lr = η γ²; here on the network of prefactor 1, by plain differentiation."""
    built, rate = built_of(name, settings), 0.02
    (leaves, whole), scales = weights_of(built), jax.tree.leaves(built.scalings)

    def loss(leaves):
        return jnp.mean(ww.mse(whole(leaves)(X) / gamma_0, Y))

    for _ in range(3):
        slopes = jax.grad(loss)(leaves)
        leaves = [w - rate * gamma_0**2 * one.rate * g for w, g, one in zip(leaves, slopes, scales, strict=True)]
    found = stepped(built_of(name, settings | {"gamma_0": gamma_0}), rate=rate, steps=3)
    np.testing.assert_allclose(found(X), whole(leaves)(X) / gamma_0, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("kind", "power"), [("sgd", 2), ("adam", 1)])
def test_features_move_gamma_0_times_as_much_and_the_output_as_before(kind, power):
    """A small first step, from predictions that miss their targets alike."""

    def moves(gamma_0):
        built = built_of("mup", {"gamma_0": gamma_0}, optimizer=kind)
        before = built.network
        target = before(X) + Y
        transform = optimizer(built, epsilon=1e-30)
        state = start(ww.Backprop().init(built, key=KEY), transform, jnp.asarray(1e-7))
        state, _ = make_step(ww.Backprop(), transform, ww.mse)(state, ww.Batch(X, target), KEY)
        after = state.learner.network
        hidden = [ww.network.forward(net, X)[-2] for net in (before, after)]
        return np.asarray(hidden[1] - hidden[0]), np.asarray(after(X) - before(X))

    (features, output), (more, same) = moves(1.0), moves(4.0)
    np.testing.assert_allclose(more, 4 * features, rtol=1e-4, atol=1e-14)
    np.testing.assert_allclose(same, output, rtol=1e-3, atol=1e-12)
    rates = [parameterization("mup", optimizer=kind, gamma_0=g).scalings[Role.HIDDEN].rate for g in (1.0, 4.0)]
    assert (rates[1] / rates[0]).prefactor == power


def test_adams_epsilon_and_decay_follow():
    table = parameterization("mup", optimizer="adam", gamma_0=2.0, weight_decay_kind="coupled")
    assert table.scalings[Role.HIDDEN].epsilon.prefactor == -1
    assert table.scalings[Role.OUTPUT].epsilon.prefactor == 0
    # Where Adam normalizes gradient plus λ w, λ std follows the gradient's entries.
    assert table.scalings[Role.HIDDEN].decay.prefactor == -1
    assert table.scalings[Role.OUTPUT].decay.prefactor == 1
    # λ times rate stays.
    table = parameterization("mup", gamma_0=2.0)
    for role in (Role.INPUT, Role.HIDDEN, Role.OUTPUT):
        row = table.scalings[role]
        assert (row.rate * row.decay).prefactor == 0


def test_of_one_it_changes_nothing_and_files_keep_it():
    assert parameterization("mup", gamma_0=1) == parameterization("mup")
    table = parameterization("richness", richness="1/4", gamma_0=0.5)
    assert from_json(to_json(table)) == table
    older = to_json(parameterization("mup"))
    del older["gamma_0"]
    assert from_json(older) == parameterization("mup")
    moved = table.gauged({"hidden": Fraction(1, 2), "output": -1})
    assert moved.scalings[Role.OUTPUT].init.prefactor == -1
    assert moved.gamma_0 == 0.5


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), True])
def test_refuses_what_is_no_positive_number(value):
    with refused("gamma_0", value):
        parameterization("mup", gamma_0=value)


def test_a_file_whose_powers_do_not_see_it_is_refused():
    payload = to_json(parameterization("mup"))
    with refused("gamma_0", 4.0):
        from_json(payload | {"gamma_0": 4.0})
    with refused("gamma_0", "x"):
        from_json(payload | {"gamma_0": "x"})


@pytest.mark.parametrize("settings", [{"name": "sp"}, {"name": "mup", "algorithm": "dtp"}])
def test_refuses_what_has_no_richness(settings):
    with refused("gamma_0", 2.0):
        parameterization(**settings, gamma_0=2.0)


def test_optax_agrees_on_adam():
    """Adam on f / γ_0 with γ_0 times the rates, and ε over γ_0, is Adam here: its steps know no scale of gradients."""
    gamma_0, rate, epsilon = 3.0, 1e-3, 1e-6
    built = built_of("mup", {}, optimizer="adam")
    leaves, whole = weights_of(built)
    labels = jax.tree.leaves(built.scalings)
    rules = [optax.adam(rate * gamma_0 * one.rate, eps=epsilon * one.epsilon / gamma_0) for one in labels]
    memories = [rule.init(leaf) for rule, leaf in zip(rules, leaves, strict=True)]
    slope = jax.grad(lambda leaves: jnp.mean(ww.mse(whole(leaves)(X) / gamma_0, Y)))
    for _ in range(3):
        slopes = slope(leaves)
        with jax.numpy_dtype_promotion("standard"):
            pairs = [rule.update(g, m) for rule, g, m in zip(rules, slopes, memories, strict=True)]
        memories = [memory for _, memory in pairs]
        leaves = [leaf + update for leaf, (update, _) in zip(leaves, pairs, strict=True)]
    expected = whole(leaves)(X) / gamma_0
    found = stepped(built_of("mup", {"gamma_0": gamma_0}, optimizer="adam"), rate=rate, steps=3, epsilon=epsilon)
    np.testing.assert_allclose(found(X), expected, rtol=1e-9, atol=1e-11)
