"""Builders: what the parameterization says is what the network has."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from science.oracles import distance, unrolled

from widthwise.network import LeafScaling, mlp, residual_mlp
from widthwise.network import normals as drawn
from widthwise.parameterizations import GAUGES, Role, parameterization

KEY = jax.random.key(7)
D, N, L, OUT, N0, L0 = 6, 32, 5, 3, 8, 4


def table(name="mup", **options):
    return parameterization(name, **({"algorithm": "pc", "base_width": N0, "base_depth": L0} | options))


def made(table, *, residual=False, key=KEY, width=N, depth=L, **options):
    build = residual_mlp if residual else mlp
    return build(D, width, OUT, depth=depth, table=table, key=key, **options)


def matrices(built):
    return [np.asarray(layer.matrix) for layer in unrolled(built.network)]


def normals(built):
    """Effective matrices over their sizes: standard normals, up to a positive factor a layer."""
    return [matrix / matrix.std() for matrix in matrices(built)]


@pytest.mark.parametrize(
    "other",
    [
        table("sp"),
        table("ntp"),
        table("mupc"),
        table(gauge="rescaling"),
        table(optimizer="adam", gamma_bar=-1),
    ],
)
def test_all_parameterizations_draw_the_same_normals(other):
    # Two roundings of every factor.
    assert distance(normals(made(other)), normals(made(table()))) < 1e-14
    assert distance(normals(made(other, residual=True)), normals(made(table()))) < 1e-14
    assert distance(normals(made(other, bias=True, activation="relu")), normals(made(table()))) < 1e-14


@pytest.mark.parametrize("shape", [(4,), (2, 5, 3), (2, 3, 3, 4, 5)])
def test_normals_are_one_draw_of_their_shape(shape):
    key = jax.random.key(3)
    assert (drawn(key, shape, jnp.float32) == jax.random.normal(key, shape, jnp.float32)).all()


def test_keys_layers_and_depths_are_independent():
    one, two = (np.stack(normals(made(table(), key=jax.random.key(seed)))[1:-1]) for seed in (0, 1))
    flat = np.concatenate([one, two]).reshape(2 * (L - 2), -1)
    correlations = np.asarray(flat @ flat.T) / flat.shape[1] - np.eye(len(flat))
    # 1/sqrt(1024) = 0.03 each; 4.5 of them.
    assert np.abs(correlations).max() < 0.14


@pytest.mark.parametrize("residual", [False, True])
def test_width_parameterizations_coincide_at_the_base(residual):
    reference = made(table("sp"), width=N0, residual=residual)
    # LeCun: variance 1/fan_in, by the drawn numbers themselves.
    raw = jax.random.normal(jax.random.split(KEY, 3)[1], (L - 2, N0, N0))
    assert distance(matrices(reference)[1:-1], list(raw / math.sqrt(N0))) < 1e-15
    for name in ("mup", "ntp", "richness"):
        for gauge in (None, *GAUGES):
            r = "1/4" if name == "richness" else None
            built = made(table(name, richness=r, gauge=gauge), width=N0, residual=residual)
            assert distance(matrices(built), matrices(reference)) < 1e-14
            leaves = jax.tree.leaves(built.scalings, is_leaf=lambda leaf: isinstance(leaf, LeafScaling))
            assert {(leaf.rate, leaf.epsilon, leaf.decay) for leaf in leaves} == {(1.0, 1.0, 1.0)}


@pytest.mark.parametrize(("name", "r"), [("ntp", 0.0), ("mup", 0.5), ("sp", 0.0)])
@pytest.mark.parametrize("gauge", [None, *GAUGES])
def test_the_readout_shrinks_by_the_richness(name, r, gauge):
    # theory.md A1: W_L ~ M^(-1/2 - r) whatever the gauge; the others as at the base, 1/sqrt(fan_in).
    found = matrices(made(table(name, gauge=gauge)))
    first, middle, last = (
        jax.random.normal(k, s)
        for k, s in zip(jax.random.split(KEY, 3), [(1, N, D), (L - 2, N, N), (1, OUT, N)], strict=True)
    )
    expected = [*(first / math.sqrt(D)), *(middle / math.sqrt(N)), *(last / math.sqrt(N) * (N / N0) ** -r)]
    assert distance(found, expected) < 1e-14


@pytest.mark.parametrize("residual", [False, True])
def test_mupc_is_the_papers_unit_gaussians(residual):
    built = made(table("mupc"), residual=residual, bias=True)
    first, middle, last = (segment.stages.linear for segment in built.network.segments)
    for linear in (first, middle, last):
        # Unit Gaussians exactly as drawn, no factor.
        shape = linear.weight.shape
        draws = [jax.random.normal(k, shape) for k in jax.random.split(KEY, 3)]
        assert any(bool(jnp.array_equal(linear.weight, draw)) for draw in draws)
    found = [float(f.value[0]) for f in (first.multiplier, middle.multiplier, last.multiplier, middle.bias_multiplier)]
    hidden = 1 / math.sqrt(N * L) if residual else 1 / math.sqrt(N)
    expected = [1 / math.sqrt(D), hidden, 1 / N, 1 / math.sqrt(L) if residual else 1.0]
    assert found == pytest.approx(expected, rel=1e-15)
    assert (first.bias_multiplier.value, last.bias_multiplier.value) == (1.0, 1.0)


def labels(built):
    """(role, rate, epsilon, decay) of every array, in the order of the network's leaves."""
    leaves = jax.tree.leaves(built.scalings, is_leaf=lambda leaf: isinstance(leaf, LeafScaling))
    return [(leaf.role, leaf.rate, leaf.epsilon, leaf.decay) for leaf in leaves]


def test_labels_have_the_networks_structure():
    for residual in (False, True):
        for bias in (False, True):
            built = made(table(), residual=residual, bias=bias)
            arrays = eqx.filter(built.network, eqx.is_inexact_array)
            assert jax.tree.structure(built.scalings) == jax.tree.structure(arrays)
            assert built.roles == jax.tree.map(lambda label: label.role, built.scalings)
            paired = jax.tree.map(lambda leaf, label: label, arrays, built.scalings)
            assert all(isinstance(leaf, LeafScaling) for leaf in jax.tree.leaves(paired))
    weight_roles = [role for role, *_ in labels(made(table(), bias=True))]
    assert weight_roles == [
        Role.INPUT,
        Role.HIDDEN_BIAS,
        Role.HIDDEN,
        Role.HIDDEN_BIAS,
        Role.OUTPUT,
        Role.OUTPUT_BIAS,
    ]
    residual_roles = [role for role, *_ in labels(made(table(), bias=True, residual=True))]
    assert residual_roles == [
        Role.INPUT,
        Role.HIDDEN_BIAS,
        Role.BRANCH,
        Role.BRANCH_BIAS,
        Role.OUTPUT,
        Role.OUTPUT_BIAS,
    ]


def test_labels_by_hand():
    # PC muP, gamma_bar = -1, SGD, STP, four times the base width: c = (0, 1, 2), biases 0, 1;
    # g = 0 inside, -1 at the readout; decay against the rate.
    m = N / N0
    assert labels(made(table(gamma_bar=-1), bias=True)) == [
        (Role.INPUT, 1.0, 1.0, 1.0),
        (Role.HIDDEN_BIAS, 1.0, 1.0, 1.0),
        (Role.HIDDEN, 1 / m, 1.0, m),
        (Role.HIDDEN_BIAS, 1.0, 1.0, 1.0),
        (Role.OUTPUT, m**-2, m, m**2),
        (Role.OUTPUT_BIAS, 1 / m, m, m),
    ]


@pytest.mark.parametrize(("gamma_bar", "factor"), [("0", 1.0), ("-1/2", 2.0), ("-1", 4.0), ("1/2", 0.5)])
def test_output_precision_of_the_network(gamma_bar, factor):
    *hidden, last = made(table(gamma_bar=gamma_bar)).network.segments
    # gamma_L = gamma' (N/N_0)^-gamma_bar with N/N_0 = 4.
    assert [segment.precision.value for segment in hidden] == [1.0, 1.0]
    assert last.precision.value == factor


def test_output_precision_of_a_deep_network():
    # theory.md D3: gamma_L = gamma' N/L.
    last = made(table("mupc", gamma_bar=-1), residual=True, depth=16).network.segments[-1]
    assert last.precision.value == pytest.approx((N / N0) / (16 / L0), rel=1e-15)


def test_gain_scales_weights_that_see_activations():
    plain, more = made(table(), bias=True), made(table(), bias=True, gain=1.5)
    ratios = [float(np.mean(b / a)) for a, b in zip(matrices(plain), matrices(more), strict=True)]
    assert ratios == pytest.approx([1.0, *[1.5] * (L - 1)], rel=1e-14)


def test_biases_start_at_zero():
    built = made(table(), bias=True)
    shapes = []
    for segment in built.network.segments:
        shapes.append(segment.stages.linear.bias.shape)
        assert not segment.stages.linear.bias.any()
    assert shapes == [(1, N), (L - 2, N), (1, OUT)]
    assert all(segment.stages.linear.bias is None for segment in made(table()).network.segments)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_dtype(dtype):
    built = made(table(), bias=True, dtype=dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(built.network, eqx.is_inexact_array))} == {
        jnp.dtype(dtype)
    }
    assert built.network(jnp.ones((2, D), dtype)).dtype == dtype


def test_default_dtype_of_a_user(float32):
    built = made(table(), bias=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(built.network, eqx.is_inexact_array))} == {
        jnp.dtype("float32")
    }


@pytest.mark.parametrize(("depth", "segments"), [(2, [1, 1]), (3, [1, 1, 1]), (9, [1, 7, 1])])
@pytest.mark.parametrize("residual", [False, True])
def test_depth_counts_weight_layers(depth, segments, residual):
    network = made(table(), depth=depth, residual=residual).network
    assert [segment.depth for segment in network.segments] == segments
    assert network.depth == depth
    assert (network.in_size, network.out_size) == (D, OUT)


def test_the_table_is_kept():
    assert made(table("mupc")).table == table("mupc")


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ({"in_size": 0}, "1 to"),
        ({"width": -1}, "1 to"),
        ({"width": True}, "1 to"),
        ({"out_size": 0}, "1 to"),
        ({"depth": 1}, "2 to"),
        ({"activation": "tahn"}, "'tanh'"),
        ({"state": "poste"}, "'post'"),
    ],
)
def test_refusals(arguments, near):
    (setting, value), *_ = arguments.items()
    sizes = {"in_size": D, "width": N, "out_size": OUT, "depth": L} | arguments
    with refused(setting, value) as error:
        mlp(**sizes, table=table(), key=KEY)
    assert near in error.value.remedy


def test_residual_states_are_pre_activations():
    with refused("state", "post"):
        made(table(), residual=True, state="post")


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_moments_of_a_moved_table_stay(optimizer):
    moves = {"input": "1/3", "hidden": "-1/2", "output": ("1", "1/2"), "branch": ("1/4", "-1/2")}
    for residual in (False, True):
        for name in ("mup", "mupc"):
            plain = table(name, optimizer=optimizer)
            one, two = (made(t, residual=residual) for t in (plain, plain.gauged(moves)))
            assert distance(matrices(two), matrices(one)) < 1e-14
            first, second = (held.network.segments[0].stages.linear.multiplier for held in (one, two))
            assert first.value != second.value


def test_a_factor_that_was_cast_is_refused():
    network = made(table()).network
    everything = jax.tree.map(lambda leaf: leaf.astype("float32"), network)
    with refused("network", "float32"):
        everything(jnp.ones((1, D), "float32"))


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_a_multiplier_times_an_array_in_either_order(kind):
    """theory.md A1, muP at four times the base: what is multiplied is the effective matrix, layer by layer."""
    built = made(table("mupc"), residual=True)
    for segment in built.network.segments:
        linear = segment.stages.linear
        weight, numbers = kind(linear.weight), np.asarray(linear.multiplier.value)
        by_hand = np.stack([one * np.asarray(w) for one, w in zip(np.atleast_1d(numbers), weight, strict=True)])
        for product in (linear.multiplier * weight, weight * linear.multiplier):
            assert product.dtype == weight.dtype
            np.testing.assert_allclose(product, by_hand, rtol=1e-15)
    inner = built.network.segments[1].stages.linear
    with refused("array", inner.weight[0, 0].shape):
        inner.multiplier * inner.weight[0, 0]
