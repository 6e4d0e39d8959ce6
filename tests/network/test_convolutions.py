"""Convolutional networks against plain loops in NumPy, XLA's own convolution, and the rules of docs/theory.md F."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused

from widthwise import mse
from widthwise.algorithms import (
    Backprop,
    Batch,
    PredictiveCoding,
    RidgeFeedback,
    TargetPropagation,
    TiedFeedback,
    TrainedFeedback,
    local_gradients,
)
from widthwise.inference import ErrorDescent
from widthwise.network import (
    Convolution,
    Network,
    Norm,
    Segment,
    calibrated,
    cnn,
    forward,
    gathered,
    mlp,
    pooled,
    residual_cnn,
    stage_at,
    vgg,
)
from widthwise.parameterizations import Role, parameterization
from widthwise.training import init_learner, prepared

KEY = jax.random.key(5)
TABLE = parameterization("mup", base_width=4)
SHAPE = (9, 8, 2)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def plain(x, weight, stride):
    """Every output pixel in turn: its neighbours, zeros beyond the edges, as "SAME" places them."""
    batch, height, width, _ = x.shape
    taps = weight.shape[0]
    outs = [-(-size // stride) for size in (height, width)]
    first = [max((out - 1) * stride + taps - size, 0) // 2 for out, size in zip(outs, (height, width), strict=True)]
    found = np.zeros((batch, *outs, weight.shape[-1]))
    for row in range(outs[0]):
        for column in range(outs[1]):
            for i in range(taps):
                for j in range(taps):
                    r, c = row * stride + i - first[0], column * stride + j - first[1]
                    if 0 <= r < height and 0 <= c < width:
                        found[:, row, column] += x[:, r, c] @ weight[i, j]
    return found


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(5, 4), (7, 7), (1, 2)])
def test_a_convolution_equals_a_loop_over_pixels(stride, size):
    x, weight, bias = draw(3, *size, 2), draw(3, 3, 2, 4, seed=1), draw(4, seed=2)
    found = Convolution(weight, bias, 0.5, 2.0, stride=stride)(x)
    expected = 0.5 * plain(np.asarray(x), np.asarray(weight), stride) + 2.0 * np.asarray(bias)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_both_ways_to_convolve_are_one(monkeypatch, backend):
    """Patches on a CPU, XLA's convolution elsewhere: values and gradients."""
    x, convolution = draw(2, 6, 5, 3), Convolution(draw(3, 3, 3, 4, seed=1), None, stride=2)

    def answer(weight, x):
        return jnp.sum(jnp.sin(dataclasses.replace(convolution, weight=weight)(x)))

    expected = jax.value_and_grad(answer, (0, 1))(convolution.weight, x)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    found = jax.value_and_grad(answer, (0, 1))(convolution.weight, x)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_pooling_and_gathering_by_hand():
    x = np.arange(2 * 3 * 5 * 1.0).reshape(2, 3, 5, 1)
    # Of 3 x 5 pixels, a row and a column are left over.
    np.testing.assert_array_equal(pooled(jnp.asarray(x), "max")[0, :, :, 0], [[6, 8]])
    np.testing.assert_array_equal(pooled(jnp.asarray(x), "avg")[0, :, :, 0], [[3, 5]])
    np.testing.assert_array_equal(gathered(jnp.asarray(x), "flatten"), x.reshape(2, 15))
    np.testing.assert_array_equal(gathered(jnp.asarray(x), "gap"), [[7.0], [22.0]])


def test_norms_by_their_formula():
    x, gain, offset = np.asarray(draw(4, 3, 2, 5)), np.asarray(draw(5, seed=1)), np.asarray(draw(5, seed=2))
    layer = Norm(jnp.asarray(gain), jnp.asarray(offset))(jnp.asarray(x))
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(layer, gain * (x - mean) / np.sqrt(variance + 1e-5) + offset, rtol=1e-12)
    batch = Norm(jnp.asarray(gain), jnp.asarray(offset), jnp.zeros(5), jnp.ones(5)).measured(jnp.asarray(x))
    expected = gain * (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) + offset
    np.testing.assert_allclose(batch(jnp.asarray(x)), expected, rtol=1e-12)
    # Frozen: what another batch gives depends on nothing but itself, and no gradient sees the statistics.
    one = batch(jnp.asarray(x[:1]))
    np.testing.assert_allclose(one, expected[:1], rtol=1e-12)
    slope = eqx.filter_grad(lambda norm: jnp.sum(norm(jnp.asarray(x)) ** 2))(batch)
    assert not np.any(slope.mean)
    assert not np.any(slope.variance)
    assert np.any(slope.gain)


def network_of(kind, **settings):
    own = {"table": TABLE, "key": KEY} | settings
    if kind == "residual":
        table = parameterization("mupc", base_width=4, base_depth=4)
        return residual_cnn(SHAPE, 4, 3, **({"depth": 5, "table": table, "key": KEY} | settings))
    return (
        vgg(SHAPE, [3, "M", 5, 5, "M"], 3, **own)
        if kind == "vgg"
        else cnn(SHAPE, 4, 3, **({"depth": 4, "stride": 1} | own))
    )


def batch_of(count=4):
    return Batch(draw(count, *SHAPE), draw(count, 3, seed=1))


CASES = [
    ("cnn", {}),
    ("cnn", {"stride": 2, "readout": "gap", "bias": True, "state": "post"}),
    ("vgg", {"norm": "layer", "pool": "avg", "bias": True}),
    ("vgg", {"norm": "batch", "state": "post"}),
    ("residual", {"norm": "batch", "bias": True}),
    ("residual", {"pool": "max", "readout": "flatten"}),
]


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_backprop_is_local_regression_on_images_too(kind, settings):
    built, batch = network_of(kind, **settings), batch_of()
    built = eqx.tree_at(lambda b: b.network, built, calibrated(built.network, batch.x))

    @eqx.filter_jit
    def both(learner):
        found = Backprop().infer(learner, batch, mse, key=KEY)
        slope = local_gradients(learner.network, found.precisions, found.inputs, found.errors)
        return Backprop().grads(learner, batch, mse, key=KEY)[0], slope

    expected, slope = both(Backprop().init(built, key=KEY))
    size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * size)


@pytest.mark.parametrize("kind", ["cnn", "residual"])
def test_stacked_equals_unrolled(kind):
    """A segment of several stages against one segment a stage: forward pass and predictive coding's gradient."""
    built, batch = network_of(kind, norm="layer"), batch_of()
    whole = built.network
    segments = tuple(
        Segment(jax.tree.map(lambda leaf: leaf[None], stage_at(segment, row)), 1, segment.precision)
        for segment in whole.segments
        for row in range(segment.depth)
    )
    assert len(segments) > len(whole.segments)
    unrolled = Network(segments, whole.in_size, whole.out_size, whole.image_shape)
    expected = np.asarray(whole(batch.x))
    # Of the largest output: one that nearly cancels has as large an error as the others.
    np.testing.assert_allclose(unrolled(batch.x), expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    rule = PredictiveCoding(ErrorDescent(iterations=4, tolerance=1e-12))
    found = []
    for network in (whole, unrolled):
        learner = eqx.tree_at(lambda held: held.network, rule.init(built, key=KEY), network)
        gradients, metrics = eqx.filter_jit(rule.grads)(learner, batch, mse, key=KEY)
        rows = [np.asarray(jax.tree.leaves(s)[0]) for s in gradients.segments]
        found.append((np.concatenate([row.ravel() for row in rows]), metrics["energy"]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_rates_follow_each_layers_own_channels(optimizer):
    """docs/theory.md F at base 4: SGD fan_out/4, fan_out/fan_in, 4/fan_in; Adam 1, 4/fan_in, 4/fan_in; what is
    finite, 3 x 3 taps and 4 x 4 pixels, divides variances, and rates above the first layer."""
    table = parameterization("mup", optimizer=optimizer, base_width=4)
    built = vgg((8, 8, 2), [8, "M", 16, 32], 3, table=table, key=KEY, bias=True, norm="layer")
    rates = [segment.stages.linear.weight.rate for segment in built.scalings.segments]
    sgd = optimizer == "sgd"
    hidden = (2, 2) if sgd else (4 / 8, 4 / 16)
    assert rates == pytest.approx([8 / 4 if sgd else 1, hidden[0] / 9, hidden[1] / 9, 4 / 32 / 16])
    vectors = [built.scalings.segments[i].stages.linear.bias.rate for i in range(3)]
    assert vectors == pytest.approx([c / 4 if sgd else 1 for c in (8, 16, 32)])
    norm = built.scalings.segments[1].stages.before.norm
    assert (norm.gain.role, norm.gain.rate) == (Role.NORM, pytest.approx(2 if sgd else 1))
    large = vgg((8, 8, 2), [200, 300], 3, table=parameterization("mup", base_width=300), key=KEY)
    spread = [float(jnp.std(segment.stages.linear.weight)) for segment in large.network.segments]
    expected = [1 / np.sqrt(9 * 2), 1 / np.sqrt(9 * 200), 1 / np.sqrt(300 * 64)]
    assert spread[:2] == pytest.approx(expected[:2], rel=0.02)
    assert spread[2] == pytest.approx(expected[2], rel=0.02)


def test_a_branchs_norm_carries_depth_in_its_rate_alone():
    """Its gradient meets the branch's 1/sqrt(L): L branches of change 1/L need rates 1 (SGD) and L^-1/2 (Adam)."""
    for optimizer, expected in (("sgd", 1.0), ("adam", 0.5)):
        table = parameterization("mupc", optimizer=optimizer, base_width=4, base_depth=4)
        built = residual_cnn(SHAPE, 4, 3, depth=16, table=table, key=KEY, norm="layer")
        held = built.scalings.segments[1].stages.before.norm.gain
        assert (held.role, held.rate) == (Role.BRANCH_NORM, pytest.approx(expected))
        norm = built.network.segments[1].stages.before.norm
        np.testing.assert_array_equal(norm.multiplier.value[:, None] * norm.gain, 1.0)


def test_batch_statistics_are_measured_and_never_learned():
    built = network_of("vgg", norm="batch")
    fixed = built.scalings.segments[1].stages.before.norm
    assert (fixed.mean.rate, fixed.variance.rate, fixed.variance.decay) == (0, 0, 0)
    batch = batch_of(16)
    states = forward(calibrated(built.network, batch.x), batch.x)
    seen = np.asarray(states[0][0])
    norm = calibrated(built.network, batch.x).segments[1].stages.before.norm
    np.testing.assert_allclose(norm.mean[0], seen.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(norm.variance[0], seen.var((0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "settings", "state", "difference"),
    [
        *(("cnn", {"stride": 2, "pool": "none"}, state, both) for state in ("pre", "post") for both in (True, False)),
        ("vgg", {"norm": "layer"}, "post", True),
        ("vgg", {}, "pre", False),
    ],
)
def test_targets_come_down_through_images(kind, settings, state, difference):
    """Flattened states, ridge regressions, a loop over layers: plain NumPy."""
    built, batch = network_of(kind, state=state, **settings), batch_of(5)
    rule = TargetPropagation(RidgeFeedback(0.05), difference=difference, target_step=0.5)
    found = eqx.filter_jit(rule.infer)(rule.init(built, key=KEY), batch, mse, key=KEY)
    states = [np.asarray(s[row]) for s in forward(built.network, batch.x) for row in range(s.shape[0])]
    shift = 0.5 * np.asarray(found.errors[-1][0])
    for level in range(len(states) - 1, 0, -1):
        z, x = states[level].reshape(5, -1), states[level - 1].reshape(5, -1)
        # μ' B fan-in, the channels of every pixel.
        ridge = 0.05 * 5 * z.shape[1]
        q = x.T @ z @ np.linalg.inv(z.T @ z + ridge * np.eye(z.shape[1]))
        shift = shift @ q.T if difference else (z + shift) @ q.T - x
        rows = found.errors[level - 1][0] if len(found.errors) == len(states) else None
        assert rows is not None
        np.testing.assert_allclose(np.asarray(rows).reshape(5, -1), shift, rtol=1e-8, atol=1e-10)
    pixels = [np.prod(s.shape[1:3]) for s in states[:-1]]
    np.testing.assert_allclose([float(p) for p in found.precisions[:-1]], [1 / (0.5 * p) for p in pixels])


@pytest.mark.parametrize("settings", [{"pool": "avg", "depth": 3}, {"stride": 2, "readout": "gap", "state": "post"}])
def test_tied_feedback_is_the_transpose(settings):
    """⟨A x, z⟩ = ⟨x, A^T z⟩ of every stage's linear map."""
    built = network_of("cnn", activation="linear", **settings)
    states = [draw(2, *SHAPE), *(s[-1] for s in forward(built.network, draw(2, *SHAPE)))]
    for index, segment in enumerate(built.network.segments):
        stage = stage_at(segment, 0)
        x, z = draw(*states[index].shape, seed=3), draw(*states[index + 1].shape, seed=4)
        up, down = eqx.filter_jit(lambda f, x, z: (jnp.sum(f(x) * z), jnp.sum(x * f.transposed(z, x))))(stage, x, z)
        assert float(up) == pytest.approx(float(down), rel=1e-11)


@pytest.mark.parametrize("settings", [{"stride": 2}, {"pool": "max", "depth": 3, "readout": "gap"}, {"state": "post"}])
def test_trained_feedback_undoes_stride_and_pooling(settings):
    """Its states have the shape of the layer below, and reconstruct it better as it learns."""
    built, batch = network_of("cnn", **settings), batch_of(4)
    rule = TargetPropagation(TrainedFeedback(optimizer="adam", rate=0.01, steps=150, noise=0.0))
    learner = init_learner(rule, built, key=KEY)
    trained = eqx.filter_jit(prepared)(rule, learner, batch, key=KEY)
    infer = eqx.filter_jit(rule.infer)
    missed = [float(infer(held, batch, mse, key=KEY).metrics["reconstruction"]) for held in (learner, trained)]
    # A map to nothing misses by 1.
    assert missed[1] < min(1.0, missed[0])


def test_the_way_back_from_an_image_by_hand():
    """Every pixel repeated twice each way, then the kernel: what undoes 2 x 2 pooling and stride 1."""
    built = network_of("cnn", depth=3, pool="avg", state="post")
    learner = TargetPropagation(TrainedFeedback()).init(built, key=KEY)
    way = stage_at(learner.feedback.segments[0], 0)
    z = draw(2, 2, 2, 4)
    enlarged = np.repeat(np.repeat(np.asarray(z), 2, axis=1), 2, axis=2)
    weight = np.asarray(way.linear.weight)
    np.testing.assert_allclose(way(z), way.linear.multiplier.value * plain(enlarged, weight, 1), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: cnn(SHAPE, 0, 3, table=TABLE, key=KEY), ("channels", 0)),
        (lambda: cnn((0, 8, 1), 4, 3, table=TABLE, key=KEY), ("image height", 0)),
        (lambda: cnn((8, 8), 4, 3, table=TABLE, key=KEY), ("image_shape", (8, 8))),
        (lambda: cnn(SHAPE, 4, 3, depth=1, table=TABLE, key=KEY), ("depth", 1)),
        (lambda: cnn(SHAPE, 4, 3, stride=0, table=TABLE, key=KEY), ("stride", 0)),
        (lambda: cnn(SHAPE, 4, 3, depth=6, pool="max", table=TABLE, key=KEY), ("image", "1 x 1")),
        (
            lambda: cnn(SHAPE, 4, 3, depth=6, stride=2, table=TABLE, key=KEY),
            ("stride", 2),
        ),
        (lambda: vgg(SHAPE, 4, 3, depth=6, table=TABLE, key=KEY), ("depth", 6)),
        (lambda: vgg((8, 8, 1), 4, 3, depth=9, table=TABLE, key=KEY), ("image", "1 x 1")),
        (lambda: vgg(SHAPE, ["M", 4], 3, table=TABLE, key=KEY), ("channels", ["M", 4])),
        (lambda: vgg(SHAPE, [4, "P"], 3, table=TABLE, key=KEY), ("channels", [4, "P"])),
        (lambda: vgg(SHAPE, [], 3, table=TABLE, key=KEY), ("channels", [])),
        (lambda: vgg(SHAPE, [4, -1], 3, table=TABLE, key=KEY), ("channels", -1)),
        (lambda: vgg(SHAPE, [4, "M"], 3, pool="none", table=TABLE, key=KEY), ("pool", "none")),
        (lambda: vgg(SHAPE, [4, 4], 3, pool="avg", table=TABLE, key=KEY), ("pool", "avg")),
        (lambda: vgg(SHAPE, [4, 4], 3, depth=5, table=TABLE, key=KEY), ("depth", 5)),
        (lambda: cnn(SHAPE, 4, 3, pool="mean", table=TABLE, key=KEY), ("pooling", "mean")),
        (lambda: cnn(SHAPE, 4, 3, readout="flat", table=TABLE, key=KEY), ("readout", "flat")),
        (lambda: cnn(SHAPE, 4, 3, norm="bach", table=TABLE, key=KEY), ("normalization", "bach")),
        (lambda: residual_cnn(SHAPE, 4, 3, depth=4, state="post", table=TABLE, key=KEY), ("state", "post")),
        (lambda: network_of("cnn").network(draw(2, 144)), ("input", (2, 144))),
        (lambda: network_of("cnn").network(draw(2, 8, 9, 2)), ("input", (2, 8, 9, 2))),
        (
            lambda: mlp(144, 4, 3, depth=3, table=TABLE, key=KEY).network(draw(2, *SHAPE)),
            ("input", (2, 9, 8, 2)),
        ),
    ],
)
def test_what_is_refused(make, expected):
    with refused(*expected):
        make()


def test_feedback_that_has_no_way_down_is_refused():
    batch = batch_of(2)
    for kind, settings, feedback, expected in [
        ("residual", {}, TrainedFeedback(), ("feedback", "residual")),
        ("residual", {}, TiedFeedback(), ("stage", "Convolved")),
        ("vgg", {}, TiedFeedback(), ("pool", "max")),
        ("vgg", {"pool": "avg", "norm": "layer"}, TiedFeedback(), ("stage", "Readout")),
    ]:
        rule = TargetPropagation(feedback)
        with refused(*expected):
            eqx.filter_eval_shape(
                lambda rule=rule, kind=kind, settings=settings: (
                    rule.infer(rule.init(network_of(kind, **settings), key=KEY), batch, mse, key=KEY).prediction
                )
            )
