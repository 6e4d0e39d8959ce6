"""The chain: a depth axis changes nothing, and its sweeps are the plain loops that they stand for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from science.oracles import PHI, build, distance, stacked, unrolled, walk
from science.pairs import pair_network, plain_walk, unstacked
from science.programs import every_equation

from widthwise.network import (
    ACTIVATIONS,
    Dense,
    Linear,
    Network,
    Segment,
    above,
    activation,
    each,
    forward,
    head,
    inputs,
    perturbed,
    pullback,
    pulled_at_both,
    square_norm,
    sweep,
)

# Equal sums in another order of at most a dozen terms: a few roundings.
EXACT = 1e-14

NETWORKS = {
    "mlp_pre": {},
    "mlp_post": {"state": "post"},
    "mlp_no_bias": {"bias": False, "depth": 6},
    "mlp_two_layers": {"depth": 2},
    "mlp_three_layers": {"depth": 3, "activation": "silu"},
    "residual": {"residual": True, "depth": 6},
    "residual_relu": {"residual": True, "activation": "relu", "bias": False, "depth": 3},
}


def x_of(batch=6, size=5):
    return jnp.asarray(np.random.default_rng(11).normal(size=(batch, size)))


def random_like(states, seed):
    draw = np.random.default_rng(seed).normal
    return jax.tree.map(lambda leaf: jnp.asarray(draw(size=leaf.shape)), states)


def plain_perturbed(layers, x, errors):
    """Hidden states h_l = f_l(h_{l-1}) + e_l and the prediction, in a loop."""
    states = []
    for layer, error in zip(layers[:-1], errors, strict=True):
        x = jax.tree.map(jnp.add, layer(x), error)
        states.append(x)
    return states, layers[-1](x)


def at_both(network, layers, x, moved, hidden, errors, c):
    """Found and expected: predictions and pullbacks at two points with sources, and without any."""
    sources = random_like(moved, 9), random_like(hidden, 10)
    walked = partial(plain_perturbed, layers, x)
    none = [jnp.zeros_like(e) for e in errors]

    def found(sources):
        # A cotangent that depends on the prediction, as the output error does.
        predicted, f, here, there = pulled_at_both(network, (moved, hidden), lambda f: c * f, c, sources)
        return (stacked(predicted), f, stacked(here)), stacked(there)

    def expected(errors, cotangent, source):
        (states, f), pull = jax.vjp(walked, errors)
        return [h - e for h, e in zip(states, errors, strict=True)][1:], f, pull((source, cotangent(f)))[0]

    here, there = found(sources)
    plain_here = expected(errors, lambda f: c * f, stacked(sources[0]))
    plain_there = expected(none, lambda f: c, stacked(sources[1]))[-1]
    bare = expected(errors, lambda f: c * f, none), expected(none, lambda f: c, none)[-1]
    return (here, plain_here), (there, plain_there), (found(None), bare)


@pytest.fixture(scope="module", params=NETWORKS)
def case(request):
    """For one network, by name: what the library finds and what the plain loop gives, in one program."""
    network = build(**NETWORKS[request.param]).network
    layers = unrolled(network)

    @jax.jit
    def compute(x):
        states = forward(network, x)
        plain = walk(layers, x)
        hidden = states[:-1]
        errors = random_like(hidden, 5)
        first = head(network, x)
        moved = perturbed(network, first, errors)
        moved_plain = plain_perturbed(layers, x, stacked(errors))
        unmoved = perturbed(network, first, jax.tree.map(jnp.zeros_like, errors))
        c = random_like(plain[-1], 6)
        _, pull = jax.vjp(lambda e: plain_perturbed(layers, x, e)[1], stacked(errors))
        at_moved, at_start, bare = at_both(network, layers, x, moved[0], hidden, stacked(errors), c)
        return {
            "at_moved": at_moved,
            "at_start": at_start,
            "without_sources": bare,
            "forward": (stacked(states), plain),
            "call": (network(x), plain[-1]),
            "head": (first, plain[0]),
            "perturbed": ((stacked(moved[0]), moved[1]), moved_plain),
            "unperturbed": ((stacked(unmoved[0]), unmoved[1]), (plain[:-1], plain[-1])),
            "pullback": (stacked(pullback(network, moved[0], c)), pull(c)[0]),
            "inputs": (stacked(inputs(x, hidden)), [x, *plain[:-1]]),
            "above": (stacked(above(hidden)), plain[:-1]),
        }

    return compute(x_of()) | {"depth": network.depth}


PARTS = ["forward", "call", "head", "perturbed", "unperturbed", "pullback", "inputs", "above"]


@pytest.mark.parametrize("part", [*PARTS, "at_moved", "at_start", "without_sources"])
def test_the_chain_is_the_plain_loop(case, part):
    assert distance(*case[part]) < EXACT


def test_depth_is_the_number_of_layers(case):
    assert case["depth"] == len(case["forward"][1])


def test_square_norm_weighs_segments():
    states = tuple(np.random.default_rng(0).normal(size=(depth, 6, 4)) for depth in (1, 3, 1))
    rows = [np.sum(state**2, axis=(0, 2)) for state in states]
    states = jax.tree.map(jnp.asarray, states)
    weights = (jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(4.0))
    assert distance(square_norm(states, weights), rows[0] + 2 * rows[1] + 4 * rows[2]) < EXACT
    assert distance(square_norm(states), sum(rows)) < EXACT
    # A weight of its own for every example.
    own = np.arange(1.0, 7.0)
    expected = rows[0] + 2 * rows[1] + own * rows[2]
    assert distance(square_norm(states, (*weights[:2], jnp.asarray(own))), expected) < EXACT


@pytest.mark.parametrize("depth", [1, 4])
def test_each_and_sweep_agree_where_layers_do_not_wait(depth):
    key = jax.random.key(0)
    segment = Segment(Dense(Linear(jax.random.normal(key, (depth, 3, 3)), None)), depth)
    rows = jax.random.normal(jax.random.key(1), (depth, 5, 3))
    expected = jnp.stack([row @ w.T for row, w in zip(rows, segment.stages.linear.weight, strict=True)])
    assert distance(each(lambda stage, row: stage(row), segment, rows), expected) < EXACT
    for reverse in (False, True):
        start = jnp.zeros((), int)
        count, out = sweep(lambda c, stage, row: (c + 1, (stage(row), c)), start, segment, rows, reverse=reverse)
        assert int(count) == depth
        assert distance(out[0], expected) < EXACT
        order = list(range(depth))
        assert out[1].tolist() == (order[::-1] if reverse else order)


def test_widths_may_differ_between_segments():
    widths, keys = (5, 8, 4, 6, 3), jax.random.split(jax.random.key(0), 4)
    segments = tuple(
        Segment(Dense(Linear(jax.random.normal(k, (1, out, into)), None), before="tanh"), 1)
        for k, into, out in zip(keys, widths[:-1], widths[1:], strict=True)
    )
    network = Network(segments, 5, 3)
    layers = unrolled(network)

    @jax.jit
    def compute(x):
        *hidden, prediction = forward(network, x)
        plain = walk(layers, x)
        c = random_like(prediction[0], 2)
        errors = [jnp.zeros_like(h) for h in plain[:-1]]
        _, pull = jax.vjp(lambda e: plain_perturbed(layers, x, e)[1], errors)
        seen = stacked(inputs(x, tuple(hidden)))
        pulled = stacked(pullback(network, tuple(hidden), c))
        return [*stacked(hidden), prediction[0], *seen, *pulled], [*plain, x, *plain[:-1], *pull(c)[0]]

    assert distance(*compute(x_of())) < EXACT


@pytest.mark.parametrize("depth", [1, 3])
def test_states_may_be_pairs(depth):
    network, stages = pair_network(depth=depth)

    @jax.jit
    def compute(x):
        states, plain = forward(network, x), plain_walk(stages, x)
        hidden = states[:-1]
        errors = random_like(hidden, 7)
        own = unstacked(errors)
        moved, f = perturbed(network, head(network, x), errors)
        c = random_like(f, 8)
        _, pull = jax.vjp(lambda e: plain_perturbed(stages, x, e)[1], own)
        squares = sum(jnp.sum(leaf**2, axis=-1) for leaf in jax.tree.leaves(own))
        return [
            (unstacked(states), plain),
            ((unstacked(moved), f), plain_perturbed(stages, x, own)),
            (unstacked(inputs(x, hidden)), [x, *plain[:-1]]),
            (unstacked(pullback(network, moved, c)), pull(c)[0]),
            (unstacked(pulled_at_both(network, (moved, hidden), lambda _: c, c)[2]), pull(c)[0]),
            (square_norm(errors), squares),
        ]

    for found, expected in compute(x_of()):
        assert distance(found, expected) < EXACT


def test_programs_do_not_grow_with_depth():
    def size(depth):
        network, x = build(residual=True, depth=depth).network, x_of()
        *hidden, prediction = forward(network, x)
        return [
            len(list(every_equation(jax.make_jaxpr(traced)(value).jaxpr)))
            for traced, value in (
                (lambda x: forward(network, x), x),
                (lambda c: pullback(network, tuple(hidden), c), prediction[0]),
            )
        ]

    assert size(8) == size(128)
    assert min(size(8)) > 5


def test_a_chain_has_two_ends():
    segment = build().network.segments
    with refused("segments", [1]):
        Network(segment[:1], 5, 3)
    with refused("segments", [1, 2]):
        Network(segment[:2], 5, 3)
    with refused("segments", [2, 1]):
        Network(segment[1:], 5, 3)


def test_linearity():
    assert build(activation="linear").network.is_linear
    assert build(activation="linear", state="post").network.is_linear
    assert build(activation="linear", residual=True).network.is_linear
    assert not build().network.is_linear
    assert not build(state="post").network.is_linear
    # Two layers in pre-activations still have an activation between them.
    assert not build(depth=2).network.is_linear


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    z = jnp.linspace(-3, 3, 13)
    assert distance(activation(name)(z), PHI[name](z)) < 1e-15
    with refused("activation", name + "x"):
        activation(name + "x")


def test_dense_stage_by_hand():
    w, b = jnp.array([[1.0, 2.0], [3.0, -4.0]]), jnp.array([0.5, -0.5])
    stage = Dense(Linear(w, b, multiplier=0.25, bias_multiplier=2.0), before="relu", residual=True)
    # relu (1, 0) -> W (1, 3) / 4 + 2 b = (1.25, -0.25), plus the skip around all of it.
    assert stage(jnp.array([[1.0, -2.0]])).tolist() == [[2.25, -2.25]]
    assert stage(jnp.array([[1.0, -2.0]]), key=jax.random.key(0), train=False).tolist() == [[2.25, -2.25]]


@pytest.mark.parametrize(("backend", "block"), [("cpu", 1), ("gpu", 4)])
@pytest.mark.parametrize("depth", [4, 6, 11])
def test_a_turn_of_the_loop_visits_a_block(monkeypatch, backend, block, depth):
    """Fewer stages than a block, as many, and a number that no block divides, against the plain loop."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    built, x = build(residual=True, depth=depth), x_of()
    network, layers = built.network, unrolled(built.network)
    program = jax.make_jaxpr(lambda x: forward(network, x))(x)
    loops = [equation.params["unroll"] for equation in program.eqns if equation.primitive.name == "scan"]
    assert loops == [block]
    *hidden, prediction = forward(network, x)
    plain = walk(layers, x)
    assert distance([*stacked(tuple(hidden)), prediction[0]], plain) < EXACT
    c = random_like(prediction[0], 3)
    errors = [jnp.zeros_like(h) for h in plain[:-1]]
    _, pull = jax.vjp(lambda e: plain_perturbed(layers, x, e)[1], errors)
    assert distance(stacked(pullback(network, tuple(hidden), c)), pull(c)[0]) < EXACT
