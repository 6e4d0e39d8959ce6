"""One update at a time: against plain optax at the base size, against the formulas of theory.md away from it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refused
from training.toys import gap, made, weights

from widthwise.network import residual_mlp
from widthwise.parameterizations import parameterization
from widthwise.training import optimizer, schedule

RATE, EPSILON, DECAY = 0.3, 0.05, 0.02
KINDS = ("coupled", "lr", "independent")


def parameters_of(built, seed=3):
    """The network's arrays, biases too, replaced by random numbers: zeros would hide a decay."""
    draw = np.random.default_rng(seed)
    arrays = eqx.filter(built.network, eqx.is_inexact_array)
    return jax.tree.map(lambda array: jnp.asarray(draw.normal(size=array.shape)), arrays)


def gradients_of(parameters, steps, seed=5):
    draw = np.random.default_rng(seed)
    return [jax.tree.map(lambda leaf: jnp.asarray(draw.normal(size=leaf.shape)), parameters) for _ in range(steps)]


def ours(built, parameters, gradients, **settings):
    transform = optimizer(built, **settings)
    memory = transform.init(parameters)
    for gradient in gradients:
        updates, memory = transform.update(gradient, memory, parameters, rate=jnp.asarray(RATE))
        parameters = optax.apply_updates(parameters, updates)
    return weights(parameters)


def theirs(transform, parameters, gradients):
    memory = transform.init(parameters)
    for gradient in gradients:
        with jax.numpy_dtype_promotion("standard"):  # optax's own code is not strict
            updates, memory = transform.update(gradient, memory, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return weights(parameters)


def plain(kind, decay_kind, momentum):
    """The same rule from optax's own parts, with one rate for all."""
    core = optax.scale_by_adam(eps=EPSILON) if kind == "adam" else optax.trace(momentum)
    decay = optax.add_decayed_weights(DECAY)
    step = optax.scale(-RATE)
    if decay_kind is None:
        return optax.adam(RATE, eps=EPSILON) if kind == "adam" else optax.sgd(RATE, momentum=momentum or None)
    if decay_kind == "coupled":
        return optax.chain(decay, core, step)
    if decay_kind == "lr":
        return optax.adamw(RATE, eps=EPSILON, weight_decay=DECAY) if kind == "adam" else optax.chain(core, decay, step)
    return optax.chain(core, step, optax.add_decayed_weights(-DECAY))


@pytest.mark.parametrize("name", ["sp", "ntp", "mup", "mupc"])
@pytest.mark.parametrize("decay_kind", [None, *KINDS])
@pytest.mark.parametrize(("kind", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0)])
def test_at_the_base_size_it_is_plain_optax(name, decay_kind, kind, momentum):
    table = parameterization(name, optimizer=kind, weight_decay_kind=decay_kind or "lr", base_width=16, base_depth=4)
    built = residual_mlp(6, 16, 3, depth=4, table=table, key=jax.random.key(0), bias=True)
    parameters = parameters_of(built)
    gradients = gradients_of(parameters, 3)
    settings = {"momentum": momentum, "epsilon": EPSILON, "weight_decay": DECAY if decay_kind else 0.0}
    found = ours(built, parameters, gradients, **settings)
    expected = theirs(plain(kind, decay_kind, momentum), parameters, gradients)
    assert gap(found, expected) < 1e-14  # the same few operations in float64, in another order


# theory.md, exponent table: c and g of (input, its bias, hidden, its bias, output, its bias), and b of the weights.
C = {
    ("mup", "sgd"): (-1, -1, 0, -1, 1, 0),
    ("mup", "adam"): (0, 0, 1, 0, 1, 0),
    ("ntp", "sgd"): (0, 0, 1, 0, 1, 0),
    ("ntp", "adam"): (0.5, 0.5, 1.5, 0.5, 1, 0),
}
G = {"mup": (1, 1, 1, 1, 0, 0), "ntp": (0.5, 0.5, 0.5, 0.5, 0, 0)}
B = {"mup": (0, 0, 0.5, 0, 1, 0), "ntp": (0, 0, 0.5, 0, 0.5, 0)}
M = 4.0  # width 16 over the base width 4


@pytest.mark.parametrize("decay_kind", [None, *KINDS])
@pytest.mark.parametrize(("name", "kind"), list(C))
def test_away_from_it_every_leaf_has_its_own_rate_epsilon_and_decay(name, kind, decay_kind):
    built = made(name, optimizer=kind, weight_decay_kind=decay_kind or "lr")
    parameters = parameters_of(built)
    gradients = gradients_of(parameters, 1)
    found = ours(built, parameters, gradients, epsilon=EPSILON, weight_decay=DECAY if decay_kind else 0.0)
    rows = zip(weights(parameters), weights(gradients[0]), C[name, kind], G[name], B[name], strict=True)
    expected = []
    for w, g, c, epsilon, std in rows:
        rate = RATE * M**-c
        # Where decay is multiplied by the rate their product stays; under Adam coupled decay follows g / w (A5).
        decay = {
            None: 0.0,
            "lr": M**c,
            "independent": 1.0,
            "coupled": M ** (std - epsilon if kind == "adam" else c),
        }
        lam = DECAY * decay[decay_kind] if decay_kind else 0.0
        g = g + lam * w if decay_kind == "coupled" else g
        direction = g / (np.abs(g) + EPSILON * M**-epsilon) if kind == "adam" else g
        expected.append(w - rate * (direction + (lam * w if decay_kind == "lr" else 0)))
        if decay_kind == "independent":
            expected[-1] -= lam * w
    assert gap(found, expected) < 1e-13


@pytest.mark.parametrize(
    "settings",
    [
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": float("nan")},
        {"epsilon": 0.0},
        {"epsilon": float("nan")},
        {"weight_decay": -1e-3},
        {"weight_decay": float("nan")},
    ],
)
def test_refuses(settings):
    (setting, value), *_ = settings.items()
    with refused(setting, value):
        optimizer(made(), **settings)


def test_refuses_momentum_under_adam():
    with refused("momentum", 0.9):
        optimizer(made(optimizer="adam"), momentum=0.9)


@pytest.mark.usefixtures("float32")  # optax's schedules are not strict
def test_schedules_by_hand():
    steps = jnp.arange(11)
    assert np.allclose([schedule("constant", 10)(t) for t in steps], 1.0, atol=0)
    assert np.allclose([schedule("linear", 10)(t) for t in steps], 1 - np.arange(11) / 10, atol=1e-7)
    cosine = (1 + np.cos(np.pi * np.arange(11) / 10)) / 2
    assert np.allclose([schedule("cosine", 10)(t) for t in steps], cosine, atol=1e-7)


def test_unknown_schedule_names_the_nearest():
    with refused("schedule", "cosin") as error:
        schedule("cosin", 10)
    assert "'cosine'" in error.value.remedy
