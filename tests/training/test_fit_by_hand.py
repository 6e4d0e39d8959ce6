"""`train` against a loop written by hand, gauges and base sizes in real runs, and where its randomness comes from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refused
from training.toys import effective, from_table, gap, made, one_hot, toy, weights

from widthwise import cross_entropy, mse
from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.inference import ErrorDescent
from widthwise.network import cast
from widthwise.parameterizations import parameterization
from widthwise.training import DivergedWarning, train

BATCH = 8


def inputs_of(x):
    return (x.astype(float) - 128.0) / 75.0


def by_hand(built, data, transform, steps, order, loss=lambda f, y: 0.5 * jnp.sum((f - y) ** 2, axis=-1)):
    """Plain backprop with an optax transformation, over batches named by their indices."""
    network, losses = built.network, []
    parameters = eqx.filter(network, eqx.is_inexact_array)
    memory = transform.init(parameters)

    @eqx.filter_jit
    def step(network, memory, x, y):
        value, gradient = eqx.filter_value_and_grad(lambda n: jnp.mean(loss(n(x), y)))(network)
        with jax.numpy_dtype_promotion("standard"):  # optax's own code is not strict
            updates, memory = transform.update(gradient, memory, eqx.filter(network, eqx.is_inexact_array))
        return eqx.apply_updates(network, updates), memory, value

    for indices in order[:steps]:
        x, y = inputs_of(data.x_train[indices]), one_hot(data.y_train[indices])
        network, memory, value = step(network, memory, jnp.asarray(x), jnp.asarray(y))
        losses.append(float(value))
    return network, losses


def order_of(seed, epochs, count=40):
    """The documented order: stream 1 of the seed, folded with the epoch, permuted."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    epoch = [jax.random.permutation(jax.random.fold_in(key, e), count)[: count // BATCH * BATCH] for e in range(epochs)]
    return np.concatenate([np.asarray(order).reshape(-1, BATCH) for order in epoch])


CASES = {
    "momentum": ({}, {"momentum": 0.9}, lambda: optax.sgd(0.2, momentum=0.9)),
    "adam": ({"optimizer": "adam"}, {"epsilon": 1e-3}, lambda: optax.adam(0.2, eps=1e-3)),
    "linear": ({}, {"decay": "linear"}, lambda: optax.sgd(lambda t: 0.2 * (1 - t / 10))),
    "cosine": ({}, {"decay": "cosine"}, lambda: optax.sgd(lambda t: 0.1 * (1 + jnp.cos(jnp.pi * t / 10)))),
}


@pytest.mark.parametrize("case", CASES)
def test_is_plain_training_at_the_base_size(case):
    # Two epochs of 5 batches; in each, 3 of the 43 examples wait.
    settings, given, transform = CASES[case]
    data, built = toy(43), made(base_width=16, **settings)
    trained = train(built, Backprop(), data, rate=0.2, steps=10, batch_size=BATCH, seed=7, **given)
    network, losses = by_hand(built, data, transform(), 10, order_of(7, 2, 43))
    # float64 throughout, but optax's schedules count in float32.
    tolerance = 1e-6 if case in ("linear", "cosine") else 1e-12
    assert gap(weights(trained.network), weights(network)) < tolerance
    assert np.allclose(trained.history["loss"], losses, rtol=tolerance, atol=0)


def test_cross_entropy_epochs_and_the_test_set():
    data, built = toy(), made(base_width=16)
    trained = train(built, Backprop(), data, rate=0.5, epochs=2, batch_size=BATCH, loss=cross_entropy)

    def entropy(f, y):
        return jnp.log(jnp.sum(jnp.exp(f), axis=-1)) - jnp.sum(y * f, axis=-1)

    network, losses = by_hand(built, data, optax.sgd(0.5), 10, order_of(0, 2), entropy)
    assert np.allclose(trained.history["loss"], losses, rtol=1e-12, atol=0)
    prediction = np.asarray(network(jnp.asarray(inputs_of(data.x_test))))
    assert trained.test_loss == pytest.approx(float(jnp.mean(entropy(prediction, one_hot(data.y_test)))), rel=1e-12)
    assert trained.test_accuracy == pytest.approx(np.mean(prediction.argmax(1) == data.y_test), abs=1e-12)


def test_regression_has_no_accuracy():
    from widthwise.data import linear_teacher

    data = linear_teacher(6, 3, 40, test_examples=9)
    trained = train(made(base_width=16), Backprop(), data, rate=0.1, steps=2, batch_size=BATCH)
    assert trained.test_accuracy is None
    assert np.isfinite(trained.test_loss)


def test_the_base_width_sets_the_rates():
    # NTP's c is (0, 1, 1) under SGD and its initialization knows no base: the base enters by the rates alone.
    first = weights(made("ntp", base_width=8, bias=False).network)
    moves = {}
    for base in (8, 32):
        built = made("ntp", base_width=base, bias=False)
        trained = train(built, Backprop(), toy(), rate=0.1, steps=1, batch_size=BATCH)
        moves[base] = [after - before for after, before in zip(weights(trained.network), first, strict=True)]
    assert gap([moves[32][0]], [moves[8][0]]) < 1e-13
    # Rates go as (N / N_0)^-1: four times the base, four times the rate.
    assert gap([moves[32][1]], [4 * moves[8][1]]) < 1e-13
    assert gap([moves[32][2]], [4 * moves[8][2]]) < 1e-13


RULES = {"bp": Backprop, "pc": lambda: PredictiveCoding(ErrorDescent(iterations=4, tolerance=1e-30))}
GAUGED = [("bp", optimizer, kind) for optimizer in ("sgd", "adam") for kind in ("coupled", "lr", "independent")]
# The decay's rule knows no algorithm: two cells see to predictive coding.
GAUGED += [("pc", "sgd", "lr"), ("pc", "adam", "coupled")]


@pytest.mark.parametrize(("algorithm", "optimizer", "kind"), GAUGED)
@pytest.mark.filterwarnings("ignore::widthwise.UnsettledWarning")
def test_gauge_moves_leave_training_unchanged(algorithm, optimizer, kind):
    gamma_bar = "-1/2" if algorithm == "pc" else 0
    momentum = 0.9 if optimizer == "sgd" else 0.0
    settings = {
        "algorithm": algorithm,
        "optimizer": optimizer,
        "weight_decay_kind": kind,
        "gamma_bar": gamma_bar,
    }
    table = parameterization("richness", richness="1/4", base_width=4, **settings)
    moves = {"input": "1/3", "hidden": "-3/4", "output": "2/5", "hidden_bias": "1/2", "output_bias": "-1/5"}
    found = []
    for one in (table, table.gauged(moves)):
        given = {"momentum": momentum, "epsilon": 1e-2, "weight_decay": 0.05}
        run = train(from_table(one, width=12), RULES[algorithm](), toy(), rate=0.1, steps=5, batch_size=BATCH, **given)
        found.append((effective(run.network), run.history["loss"]))
    # Multipliers are powers of 3, whose rounding the few steps carry along.
    assert gap(found[1][0], found[0][0]) < 1e-12
    assert np.allclose(found[1][1], found[0][1], rtol=1e-12, atol=0)


def test_the_decay_in_these_runs_matters():
    # Else the test above could not tell a wrong decay rule.
    runs = [
        train(made(), Backprop(), toy(), rate=0.1, steps=5, batch_size=BATCH, weight_decay=decay)
        for decay in (0.0, 0.05)
    ]
    assert gap(weights(runs[0].network), weights(runs[1].network)) > 1e-4


def test_the_seed_changes_the_order_and_nothing_else():
    data, built = toy(), made(base_width=16)
    runs = [train(built, Backprop(), data, rate=0.1, steps=5, batch_size=BATCH, seed=seed) for seed in (0, 0, 1)]
    assert all(np.array_equal(a, b) for a, b in zip(weights(runs[0].network), weights(runs[1].network), strict=True))
    assert not np.allclose(runs[0].history["loss"], runs[2].history["loss"])


def test_float32_networks_train_in_float32():
    wide, runs = from_table(parameterization("mup", optimizer="adam", base_width=4), dtype=jnp.float32), {}
    for dtype in (jnp.float32, jnp.float64):
        # One and the same network: the draws themselves differ between types.
        built = eqx.tree_at(lambda b: b.network, wide, cast(wide.network, dtype))
        given = {"epsilon": 1e-2, "decay": "cosine"}
        run = train(built, Backprop(), toy(), rate=0.05, steps=5, batch_size=BATCH, **given)
        assert {array.dtype for array in weights(run.network)} == {np.dtype(dtype)}
        runs[dtype] = weights(run.network)
    assert 0 < gap(runs[jnp.float32], runs[jnp.float64]) < 1e-4


def test_progress_is_told_after_every_epoch():
    told = []
    trained = train(made(), Backprop(), toy(), rate=0.1, steps=12, batch_size=BATCH, on_progress=told.append)
    assert [(one.done, one.stepped, one.total) for one in told] == [(5, 5, 12), (10, 5, 12), (12, 2, 12)]
    assert told[1].metrics["loss"] == pytest.approx(np.mean(trained.history["loss"][5:10]))
    assert len(trained.history["loss"]) == 12


def test_a_diverged_run_ends_and_says_so():
    with pytest.warns(DivergedWarning, match="not finite from step [1-9]"):
        trained = train(made(activation="linear"), Backprop(), toy(), rate=1e9, steps=40, batch_size=BATCH)
    assert not np.isfinite(trained.test_loss)
    assert not np.isfinite(trained.history["loss"][-1])


@pytest.mark.parametrize(
    ("settings", "setting", "value"),
    [
        ({"steps": 2, "batch_size": 41}, "batch_size", 41),
        ({"steps": 2, "batch_size": 0}, "batch_size", 0),
        ({"steps": 0}, "steps", 0),
        ({"epochs": 0}, "epochs", 0),
        ({"steps": 2, "epochs": 1}, "steps", 2),
        ({}, "steps", None),
        ({"steps": 2, "seed": -1}, "seed", -1),
        ({"steps": 2, "seed": 2**32}, "seed", 2**32),
        ({"steps": 2, "decay": "linaer"}, "schedule", "linaer"),
    ],
)
def test_refuses(settings, setting, value):
    with refused(setting, value):
        train(made(), Backprop(), toy(), rate=0.1, **({"batch_size": BATCH} | settings))


def test_losses_by_hand():
    f, y = jnp.asarray([[1.0, 2.0], [0.0, -1.0]]), jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
    assert np.allclose(mse(f, y), [1.0, 1.0], atol=1e-15)
    expected = [np.log(np.e + np.e**2) - 2, np.log(1 + np.exp(-1.0))]
    assert np.allclose(cross_entropy(f, y), expected, rtol=1e-14)
    # Large logits must not overflow.
    assert np.allclose(cross_entropy(1e4 * f, y), [0.0, 0.0], atol=1e-12)
    # A confident answer's is tiny, and keeps its digits in float32: log(1 + e^-30). The others' too.
    sure = jnp.asarray([[30.0, 0.0]], jnp.float32)
    assert np.allclose(cross_entropy(sure, jnp.asarray([[1.0, 0.0]], jnp.float32)), np.exp(-30.0), rtol=1e-6, atol=0)
    soft = jnp.asarray([[0.75, 0.25]], jnp.float32)
    assert np.allclose(cross_entropy(sure, soft), 0.25 * 30, rtol=1e-6, atol=0)
    # At a tie nothing is the largest; the gradient is softmax − y all the same.
    tie = jax.grad(lambda f: cross_entropy(f, y[:1])[0])(jnp.zeros((1, 2)))
    assert np.allclose(tie, [[0.5, -0.5]], atol=1e-15)


@pytest.mark.parametrize("classes", [2, 5])
def test_refuses_targets_of_another_number_of_outputs(classes):
    with refused("network", 3):
        train(made(), Backprop(), toy(classes=classes), rate=0.1, steps=1, batch_size=BATCH)
