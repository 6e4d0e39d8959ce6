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
    leaves = [leaf for leaf in jax.tree.leaves(wide.scalings) if leaf.role in ("input", "hidden", "output")]
    # SGD's rate of a hidden array takes its own fan-out over its own fan-in: 2 on the way up, 1/2 on the way down.
    rates = [4, 2, 1 / 2, 1 / 4] if optimizer == "sgd" else [1, 1 / 4, 1 / 4, 1 / 4]
    assert [leaf.rate for leaf in leaves] == pytest.approx(rates)

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


class Row(eqx.Module):
    """x W: fan-in first, as Flax, Haiku and plain JAX have it."""

    w: jax.Array

    def __init__(self, fan_in, fan_out, key):
        self.w = jax.random.normal(key, (fan_in, fan_out)) / np.sqrt(fan_in)

    def __call__(self, x):
        return x @ self.w


class Column(Row):
    """W x: fan-out first, as Equinox has it."""

    def __init__(self, fan_in, fan_out, key):
        super().__init__(fan_in, fan_out, key)
        self.w = self.w.T

    def __call__(self, x):
        return self.w @ x


class Several(eqx.Module):
    """Layers one after the other in one stage, with tanh between."""

    layers: list

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


@pytest.mark.parametrize("kind", [Row, Column])
@pytest.mark.parametrize("out_size", [1, 3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_every_array_has_its_own_size_whatever_its_order(kind, out_size, optimizer):
    """An encoder of two layers, a hidden one and a head of two: the same rates as those layers have in `mlp`."""

    def family(width, key):
        keys = jax.random.split(key, 5)
        first = Several([kind(8, width, keys[0]), kind(width, width, keys[1])])
        head = Several([kind(width, width, keys[3]), kind(width, out_size, keys[4])])
        return [first, kind(width, width, keys[2]), head]

    table = parameterization("mup", base_width=16, optimizer=optimizer)
    for width in (16, 64):
        found = jax.tree.leaves(own_network(family, 8, width, table=table, key=jax.random.key(0)).scalings)
        ours = jax.tree.leaves(mlp(8, width, out_size, depth=5, table=table, key=jax.random.key(0)).scalings)
        first, hidden, last = ours
        assert [leaf.role for leaf in found] == [one.role for one in (first, hidden, hidden, hidden, last)]
        assert [leaf.rate for leaf in found] == pytest.approx([one.rate for one in (first, *[hidden] * 3, last)])
        # Of one output no cotangent tells which side of the head's square matrix is which, and nothing asks.
        if out_size > 1:
            assert [leaf.fan_out_axis for leaf in found] == [int(kind is Row)] * 5


class LowRank(eqx.Module):
    """x + U V x with U (width, 4) and V (4, width): which of both reads, only the product says."""

    up: jax.Array
    down: jax.Array

    def __call__(self, x):
        return x + self.up @ jnp.tanh(self.down @ x)


class Tied(eqx.Module):
    w: jax.Array

    def __call__(self, x):
        return self.w.T @ jnp.tanh(self.w @ x)


class VectorReadout(eqx.Module):
    w: jax.Array

    def __call__(self, x):
        return jnp.sum(self.w * x, keepdims=True)


class Gained(eqx.Module):
    """A gain before a readout of one output: both vectors grow, and only one of them is the readout."""

    gain: jax.Array
    w: jax.Array

    def __call__(self, x):
        return self.w @ (self.gain * x)


class Kernel(eqx.Module):
    """A convolution of a signal with taps first, (taps, in, out)."""

    w: jax.Array

    def __call__(self, x):
        return jnp.einsum("kio,i->o", self.w, x)


def ended_by(make_last, out_size=1):
    def family(width, key):
        return [Column(8, width, key), make_last(width)]

    return family


def test_a_vector_readout_is_a_readout():
    found = own_network(ended_by(lambda n: VectorReadout(jnp.ones(n))), 8, 64, table=MUP, key=jax.random.key(0))
    ours = mlp(8, 64, 1, depth=2, table=MUP, key=jax.random.key(0))
    assert [leaf.role for leaf in jax.tree.leaves(found.scalings)] == ["input", "output"]
    assert [leaf.rate for leaf in jax.tree.leaves(found.scalings)] == pytest.approx(
        [leaf.rate for leaf in jax.tree.leaves(ours.scalings)]
    )


def test_a_gain_beside_a_readout_stays_a_gain():
    family = ended_by(lambda n: Gained(jnp.ones(n), jnp.ones((1, n))))
    found = own_network(family, 8, 64, table=MUP, key=jax.random.key(0))
    assert [leaf.role for leaf in jax.tree.leaves(found.scalings)] == ["input", "hidden_bias", "output"]


@pytest.mark.parametrize(
    ("middle", "value"),
    [
        (lambda n: LowRank(jnp.ones((n, 4)), jnp.ones((4, n))), "1.down"),
        (lambda n: Tied(jnp.ones((2 * n, n))), "1.w"),
        (lambda n: Kernel(jnp.ones((3, n, n))), "1.w"),
    ],
    ids=["low rank", "tied", "taps first"],
)
def test_what_neither_widths_nor_a_derivative_tell_is_asked(middle, value):
    def family(width, key):
        return [Column(8, width, key), middle(width), Column(width, 3, key)]

    with refused("array", value):
        own_network(family, 8, 32, table=MUP, key=jax.random.key(0))


class Stopped(eqx.Module):
    w: jax.Array
    fixed: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.w @ x) + jax.lax.stop_gradient(self.fixed) @ x


class Asleep(eqx.Module):
    """A unit that no example of the probe wakes: its gradient is zero there, and it learns all the same."""

    w: jax.Array
    gate: jax.Array

    def __call__(self, x):
        return self.w @ x * (1 + jax.nn.relu(self.gate - 1e6 + jnp.sum(x**2)))


def test_a_unit_that_sleeps_is_not_frozen():
    def family(width, key):
        return [Column(8, width, key), Asleep(jnp.eye(width), jnp.zeros(())), Column(width, 3, key)]

    found = own_network(family, 8, 32, table=MUP, key=jax.random.key(0))
    assert [leaf.rate > 0 for leaf in jax.tree.leaves(found.scalings)] == [True] * 4


def test_a_kernel_with_taps_first_is_settled_by_its_role():
    """(taps, in, out) as Flax has it: fan-in is taps times in, as of our own convolutions, fan-out the last axis."""

    def family(width, key):
        return [Column(8, width, key), Kernel(jnp.ones((3, width, width))), Column(width, 3, key)]

    found = own_network(family, 8, 32, table=MUP, key=jax.random.key(0), roles={"1.w": "hidden"})
    hidden = jax.tree.leaves(found.scalings)[1]
    assert (hidden.rate, hidden.fan_out_axis) == (pytest.approx(1 / 3), 2)


def test_frozen_arrays_neither_learn_nor_decay():
    def family(width, key):
        keys = jax.random.split(key, 3)
        w, fixed = (jax.random.normal(one, (width, width)) / np.sqrt(width) for one in keys[:2])
        return [Column(8, width, keys[0]), Stopped(w, fixed), Column(width, 3, keys[2])]

    table = parameterization("mup", base_width=16, optimizer="adam")
    for frozen in ((), ("0.w",)):
        made = own_network(family, 8, 32, table=table, key=jax.random.key(0), frozen=frozen)
        x = np.random.default_rng(0).normal(size=(32, 8))
        data = ww.data.Dataset("toy", x, x[:, :3].copy(), x, x[:, :3].copy())
        trained = ww.train(made, ww.Backprop(), data, rate=0.01, steps=3, batch_size=8, weight_decay=0.1)
        before, after = (
            jax.tree.leaves(eqx.filter(net, eqx.is_inexact_array)) for net in (made.network, trained.network)
        )
        moved = [bool((a != b).any()) for a, b in zip(before, after, strict=True)]
        assert moved == [not frozen, True, False, True]
    with refused("array in frozen", "0.wieght"):
        own_network(family, 8, 32, table=table, key=jax.random.key(0), frozen=["0.wieght"])


def test_a_law_of_depth_without_branches_is_refused():
    with refused("table", "mupc"):
        built(table=parameterization("mupc"))
    roles = {f"{stage}.{name}.weight": "branch" for stage in (1, 2) for name in ("up", "down")}
    assert "branch" in [
        leaf.role for leaf in jax.tree.leaves(built(table=parameterization("mupc"), roles=roles).scalings)
    ]
