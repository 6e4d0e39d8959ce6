"""Networks of one's own: roles by hand, init and rates as the table has them, ambiguity refused, training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.network import mlp, own_network
from widthwise.parameterizations import parameterization

MUP = parameterization("mup", base_width=16)


class TwoLayers(eqx.Module):
    """A user's module: two linear maps and a skip around them."""

    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, width, key):
        keys = jax.random.split(key)
        self.up = eqx.nn.Linear(width, 2 * width, key=keys[0])
        self.down = eqx.nn.Linear(2 * width, width, key=keys[1])

    def __call__(self, x):
        return x + self.down(jnp.tanh(self.up(x)))


def make(width, key, in_size=8, out_size=3, blocks=2):
    keys = jax.random.split(key, blocks + 2)
    middle = [TwoLayers(width, one) for one in keys[1:-1]]
    ends = eqx.nn.Linear(in_size, width, key=keys[0]), eqx.nn.Linear(width, out_size, key=keys[-1])
    return [ends[0], *middle, ends[1]]


def built(width=32, table=MUP, **settings):
    return own_network(make, 8, width, table=table, key=jax.random.key(0), **settings)


def test_roles_and_equal_neighbours():
    found = built()
    assert [segment.depth for segment in found.network.segments] == [1, 2, 1]
    roles = [str(leaf.role) for leaf in jax.tree.leaves(found.scalings)]
    inner = ["hidden", "hidden_bias"] * 2
    assert roles == ["input", "hidden_bias", *inner, "output", "output_bias"]
    assert found.table == MUP
    assert (found.network.in_size, found.network.out_size) == (8, 3)


def test_it_computes_what_the_modules_compute():
    x = jax.random.normal(jax.random.key(1), (5, 8))
    modules = make(16, jax.random.key(0))
    expected = x
    for module in modules:
        expected = jnp.stack([module(row) for row in expected])
    # At the base width nothing is rescaled.
    found = built(16).network(x)
    assert np.abs(found - expected).max() < 1e-14


@pytest.mark.parametrize(("gauge", "optimizer"), [("stp", "sgd"), ("mup", "sgd"), ("rescaling", "adam")])
def test_rates_and_scales_follow_the_table_in_any_gauge(gauge, optimizer):
    """theory.md A1, muP: b = (0, 1/2, 1), c = (-1, 0, 1) for SGD, (0, 1, 1) for Adam; at four times the base."""
    table = parameterization("mup", base_width=16, gauge=gauge, optimizer=optimizer)
    wide, base = (built(width, table) for width in (64, 16))
    labels = {leaf.role: leaf for leaf in jax.tree.leaves(wide.scalings)}
    rates = (
        {"input": 4, "hidden": 1, "output": 1 / 4}
        if optimizer == "sgd"
        else {"input": 1, "hidden": 1 / 4, "output": 1 / 4}
    )
    assert {role: labels[role].rate for role in rates} == pytest.approx(rates)

    def scale(network, index):
        weight = jax.tree.leaves(network.segments[index])[0]
        return float(jnp.sqrt(jnp.mean(weight**2)))

    ratios = [scale(wide.network, index) / scale(base.network, index) for index in range(3)]
    # Random draws of at least 48 entries each, and a reference draw: their RMS is known to about a tenth.
    assert ratios == pytest.approx([1, 1 / 2, 1 / 4], rel=0.25)


def test_a_chain_of_linear_modules_is_an_mlp():
    """The same weights, the same gradient: the stage is only another way to say it."""

    def linear(width, key):
        keys = jax.random.split(key, 3)
        sizes = [(8, width), (width, width), (width, 3)]
        return [eqx.nn.Linear(*size, use_bias=False, key=one) for size, one in zip(sizes, keys, strict=True)]

    key = jax.random.key(0)
    own = own_network(linear, 8, 16, table=MUP, key=key)
    ours = mlp(8, 16, 3, depth=3, activation="linear", table=MUP, key=key)
    leaves = jax.tree.leaves(eqx.filter(own.network, eqx.is_inexact_array))
    arrays, static = eqx.partition(ours.network, eqx.is_inexact_array)
    network = eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), static)
    batch = ww.Batch(jax.random.normal(key, (6, 8)), jnp.ones((6, 3)))
    rule = ww.PredictiveCoding(ww.ErrorDescent(iterations=3))
    gradient = eqx.filter_jit(lambda held: rule.grads(ww.Learner(held), batch, ww.mse, key=key)[0])
    pairs = [jax.tree.leaves(gradient(held)) for held in (own.network, network)]
    assert max(float(jnp.abs(a - b).max()) for a, b in zip(*pairs, strict=True)) < 1e-12


def embedding(width, key):
    return [eqx.nn.Lambda(lambda x: x), *make(width, key)[1:]]


def bottleneck(width, key):
    sizes = [(8, width), (width, 5), (5, width), (width, 3)]
    return [eqx.nn.Linear(*size, key=key) for size in sizes]


def uneven(width, key):
    return [eqx.nn.Linear(8, width + 1, key=key), eqx.nn.Linear(width + 1, 3, key=key)]


def growing(width, key):
    return [eqx.nn.Linear(8, width, key=key), eqx.nn.Linear(width, width, key=key)]


class Pair(TwoLayers):
    """Two states, where one is asked for."""

    def __call__(self, x):
        return x, super().__call__(x)


class Dropped(TwoLayers):
    """What draws noise needs a key, which no stage is given."""

    def __call__(self, x):
        return eqx.nn.Dropout()(super().__call__(x))


def between(kind):
    """Networks with one module of a kind between their ends."""

    def make_it(width, key):
        first, _, last = make(width, key, blocks=1)
        return [first, kind(width, key), last]

    return make_it


@pytest.mark.parametrize(
    ("make", "setting", "value"),
    [
        (between(Pair), "stage", "Pair"),
        (between(Dropped), "stage", "Dropped"),
        (
            between(lambda width, key: eqx.nn.BatchNorm(width, "batch", mode="ema")),
            "stage",
            "BatchNorm",
        ),
        (
            bottleneck,
            "array",
            "1.weight",
        ),
        (uneven, "array", "0.weight"),
        (embedding, "stage", "Lambda"),
        (growing, "make", [(32,), (64,)]),
        (lambda width, key: make(width, key)[:1], "make", 1),
        (lambda width, key: make(width, key, blocks=width // 16), "make", [4, 6]),
    ],
    ids=["pair", "dropout", "state", "bottleneck", "uneven", "no arrays", "growing", "one stage", "other stages"],
)
def test_what_is_ambiguous_is_refused(make, setting, value):
    with refused(setting, value):
        own_network(make, 8, 32, table=MUP, key=jax.random.key(0))


def test_roles_settle_what_is_ambiguous():
    roles = {"1.weight": "output", "1.bias": "output_bias"}
    found = own_network(bottleneck, 8, 32, table=MUP, key=jax.random.key(0), roles=roles)
    assert [str(leaf.role) for leaf in jax.tree.leaves(found.scalings)][2] == "output"
    with refused("array in roles", "0.wieght"):
        built(roles={"0.wieght": "output"})
    with refused("role", "outptu"):
        own_network(bottleneck, 8, 32, table=MUP, key=jax.random.key(0), roles={"1.weight": "outptu"})


def test_it_trains_and_transfers():
    """Issue: an Equinox model of a user, two linear maps in a module of theirs; in full in `examples/own_model.py`."""
    data = ww.data.load("digits", examples=64)
    table = parameterization("mup", base_width=16, optimizer="adam")

    def family(width, key):
        return own_network(lambda w, k: make(w, k, 64, 10, 1), 64, width, table=table, key=key)

    found = ww.transfer(
        family, ww.Backprop(), table, data=data, widths=[16, 32], log2_rates=(-12, -6, 6), seeds=1, steps=20
    )
    losses = {(row["width"], row["log2_rate"]): row["final_loss"] for row in found.curves}
    # Predicting zero has the loss 1/2; a rate 64 times too small learns nothing, at either width.
    for width in (16, 32):
        assert losses[width, -6] < 0.3 < 0.4 < losses[width, -12]
