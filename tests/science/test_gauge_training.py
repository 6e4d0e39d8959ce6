"""Gauge moves leave training unchanged to rounding; wrong moves, and another richness, do not.

The optimizers are written out here: SGD, momentum and Adam with epsilon, each with the three kinds of weight decay,
reading nothing of the library but the rate, epsilon and decay factors beside every array.
"""

import dataclasses
import functools
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from science.oracles import LOSSES, batch_of

from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.inference import ErrorDescent
from widthwise.network import LeafScaling, mlp, residual_mlp
from widthwise.parameterizations import Power, Role, parameterization

STEPS, RATE, EPSILON, DECAY = 8, 0.05, 1e-3, 0.1
WIDTH, DEPTH, BASE_WIDTH, BASE_DEPTH = 24, 4, 6, 2
KEY = jax.random.key(0)
BATCH, PROBE = batch_of("mse", batch=8), batch_of("mse", batch=5, seed=8).x
ALGORITHMS = {
    "bp": Backprop(),
    # A fixed number of iterations: stopping would compare roundings with a threshold.
    "pc": PredictiveCoding(ErrorDescent(iterations=4, tolerance=1e-30), output_precision=0.8),
}


@functools.cache
def compiled(algorithm):
    @eqx.filter_jit
    def grads(learner):
        return ALGORITHMS[algorithm].grads(learner, BATCH, LOSSES["mse"][0], key=KEY)[0], learner.network(PROBE)

    return grads


def train(table, optimizer, *, residual=False, steps=STEPS):
    """Predictions on the probe before every step and after the last."""
    make = residual_mlp if residual else mlp
    built = make(5, WIDTH, 3, depth=DEPTH, table=table, key=KEY, bias=True)
    algorithm = ALGORITHMS[table.algorithm]
    learner = algorithm.init(built, key=KEY)
    labels = jax.tree.leaves(built.scalings, is_leaf=lambda leaf: isinstance(leaf, LeafScaling))
    leaves, tree = jax.tree.flatten(eqx.filter(learner.network, eqx.is_inexact_array))
    static = eqx.filter(learner.network, eqx.is_inexact_array, inverse=True)
    w = [np.asarray(leaf) for leaf in leaves]
    m, v = ([np.zeros_like(leaf) for leaf in w] for _ in range(2))
    kind = table.weight_decay_kind
    history = []
    for step in range(steps + 1):
        network = eqx.combine(jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in w]), static)
        gradients, f = compiled(table.algorithm)(eqx.tree_at(lambda one: one.network, learner, network))
        history.append(np.asarray(f))
        for index, (gradient, label) in enumerate(zip(jax.tree.leaves(gradients), labels, strict=True)):
            g, rate = np.asarray(gradient), RATE * label.rate
            decay = DECAY * label.decay
            if kind == "coupled":
                g = g + decay * w[index]
            if optimizer == "adam":
                m[index] = 0.9 * m[index] + 0.1 * g
                v[index] = 0.99 * v[index] + 0.01 * g**2
                first, second = m[index] / (1 - 0.9 ** (step + 1)), v[index] / (1 - 0.99 ** (step + 1))
                direction = first / (np.sqrt(second) + EPSILON * label.epsilon)
            else:
                m[index] = (0.9 if optimizer == "momentum" else 0.0) * m[index] + g
                direction = m[index]
            shrink = {"coupled": 0.0, "lr": rate * decay, "independent": decay * 0.1}[kind]
            w[index] = w[index] - rate * direction - shrink * w[index]
    return np.stack(history)


def table_of(algorithm, optimizer, *, name="mup", kind="lr", **options):
    return parameterization(
        name,
        algorithm=algorithm,
        optimizer="adam" if optimizer == "adam" else "sgd",
        gamma_bar="-1/2" if algorithm == "pc" else 0,
        base_width=BASE_WIDTH,
        base_depth=BASE_DEPTH,
        weight_decay_kind=kind,
        **options,
    )


def difference(one, two):
    return np.abs(one - two).max() / np.abs(two).max()


@functools.cache
def reference(algorithm, optimizer, **options):
    return train(table_of(algorithm, optimizer, **options), optimizer)


# t of width and depth for every role on its own.
MOVES = {
    Role.INPUT: ("1/3", "-1/2"),
    Role.HIDDEN: ("-1/2", "1/4"),
    Role.OUTPUT: ("3/4", "1"),
    Role.HIDDEN_BIAS: ("-2/3", "0"),
    Role.OUTPUT_BIAS: ("1", "-1/3"),
    Role.BRANCH: ("2/5", "-1"),
    Role.BRANCH_BIAS: ("-1/4", "3/4"),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("gauge", ["moved", "mup", "rescaling"])
def test_gauges_train_alike(algorithm, optimizer, gauge):
    base = table_of(algorithm, optimizer)
    moved = base.gauged(MOVES) if gauge == "moved" else base.in_gauge(gauge)
    expected = reference(algorithm, optimizer)
    # Something was learned: the comparison is of training, not of initializations.
    assert difference(expected[-1:], expected[:1]) > 0.05
    assert difference(train(moved, optimizer), expected) < 1e-12


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("kind", ["coupled", "independent"])
def test_all_kinds_of_weight_decay_move_along(optimizer, kind):
    base = table_of("bp", optimizer, kind=kind)
    expected = reference("bp", optimizer, kind=kind)
    assert difference(expected, reference("bp", optimizer)) > 1e-4
    assert difference(train(base.gauged(MOVES), optimizer), expected) < 1e-12


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_residual_networks_move_along_width_and_depth(optimizer):
    base = table_of("pc", optimizer, name="mupc")
    expected = train(base, optimizer, residual=True)
    assert difference(expected[-1:], expected[:1]) > 0.05
    assert difference(train(base.gauged(MOVES), optimizer, residual=True), expected) < 1e-12


def spoiled(table, **powers):
    """Every weight row with some entries multiplied by a power of width."""
    rows = tuple(
        (
            role,
            dataclasses.replace(
                scaling,
                **{field: getattr(scaling, field) * power for field, power in powers.items()},
            ),
        )
        for role, scaling in table.rows
    )
    return dataclasses.replace(table, rows=rows)


def test_wrong_moves_change_training():
    def width(t):
        return Power(width=Fraction(t))

    moves = dict.fromkeys(Role, "1/2")
    for optimizer, wrong in (("adam", width("1/2")), ("sgd", width("-1/2"))):
        # Adam by c - 2t, SGD by c - t: half a power of 4 too much or too little in every rate.
        moved = table_of("bp", optimizer).gauged(moves)
        expected = reference("bp", optimizer)
        assert difference(train(moved, optimizer), expected) < 1e-12
        assert difference(train(spoiled(moved, rate=wrong), optimizer), expected) > 1e-2
    # Adam with epsilon left behind; decay left behind.
    moved, expected = table_of("bp", "adam").gauged(moves), reference("bp", "adam")
    assert difference(train(spoiled(moved, epsilon=width("1/2")), "adam"), expected) > 1e-5
    assert difference(train(spoiled(moved, decay=width("1/2")), "adam"), expected) > 1e-4


def test_richness_is_not_a_gauge():
    lazy = train(table_of("bp", "sgd", name="richness", richness=0), "sgd")
    rich = reference("bp", "sgd")
    assert difference(lazy, rich) > 1e-2


def test_parameterizations_differ_away_from_the_base_only():
    # Base size equal to the network's: SP, NTP and muP train alike; else they do not.
    def at(name, base_width):
        table = parameterization(name, base_width=base_width, weight_decay_kind="independent")
        return train(table, "sgd", steps=4)

    assert difference(at("mup", WIDTH), at("sp", WIDTH)) < 1e-12
    assert difference(at("ntp", WIDTH), at("sp", WIDTH)) < 1e-12
    assert difference(at("mup", BASE_WIDTH), at("sp", BASE_WIDTH)) > 1e-2
