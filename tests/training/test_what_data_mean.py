"""What a loss, an accuracy and statistics mean: none by the order of rows, none out of NaN, none by mistake."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from training.toys import toy

import widthwise as ww
from widthwise.data import Dataset
from widthwise.training import evaluated, examples, with_statistics

TABLE = ww.parameterization("mup", base_width=8)
KEY = jax.random.key(0)
RULES = {"bp": ww.Backprop(), "pc": ww.PredictiveCoding(ww.ErrorDescent(iterations=2))}


def trained(data, loss, rule=RULES["bp"], **settings):
    built = ww.mlp(data.in_size, 8, data.out_size, depth=2, table=TABLE, key=KEY)
    return ww.train(built, rule, data, rate=0.1, steps=2, batch_size=8, loss=loss, **settings)


def regression(y):
    x = np.random.default_rng(0).normal(size=(len(y), 3))
    return Dataset("targets", x, np.asarray(y, float), x, np.asarray(y, float))


WRONG = {
    "averaged": lambda f, y: jnp.mean(ww.mse(f, y)),
    "summed": lambda f, y: jnp.sum((f - y) ** 2),
    "of every output": lambda f, y: (f - y) ** 2,
    "a column": lambda f, y: jnp.sum((f - y) ** 2, axis=1, keepdims=True),
    "of outputs": lambda f, y: jnp.sum((f - y) ** 2, axis=0),
    "a pair": lambda f, y: (ww.mse(f, y), f),
    "nothing": lambda f, y: None,
    "of labels": lambda f: f,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", WRONG)
def test_a_loss_is_one_number_an_example(name, rule):
    with refused("loss", "<lambda>"):
        trained(toy(), WRONG[name], RULES[rule])


def test_a_sweep_asks_the_same_of_a_loss():
    def build(width, key):
        return ww.mlp(6, width, 3, depth=2, table=TABLE, key=key)

    with refused("loss", "<lambda>"):
        ww.transfer(build, RULES["bp"], TABLE, data=toy(), widths=[8], seeds=1, loss=WRONG["averaged"], batch_size=8)


def test_a_weighted_loss_of_ones_own_is_one():
    loss = trained(toy(), lambda f, y: 2 * ww.mse(f, y)).test_loss
    assert loss > 0


@pytest.mark.parametrize("y", [[[0.0], [1.0]] * 8, [[2.0, 0.0]] * 16, [[1.5, -0.5]] * 16, [[0.2, 0.2]] * 16])
def test_cross_entropy_wants_probabilities_of_two_outputs_and_more(y):
    data = regression(y)
    with refused("loss", "cross_entropy"):
        trained(data, ww.cross_entropy)


def test_soft_targets_are_rows_of_probabilities():
    assert np.isfinite(trained(regression([[0.3, 0.7], [1.0, 0.0]] * 8), ww.cross_entropy).test_loss)


def test_what_is_nan_names_no_class():
    built = ww.mlp(6, 8, 3, depth=2, table=TABLE, key=KEY)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan if leaf.dtype.kind == "f" else leaf, built.network)
    loss, accuracy = evaluated(broken, examples(toy(), "test", jnp.float64, broken), ww.mse)
    assert np.isnan(loss)
    assert np.isnan(accuracy)


@pytest.mark.filterwarnings("ignore::widthwise.training.DivergedWarning")
def test_an_accuracy_that_is_none_is_told_as_none():
    found = trained(toy(), lambda f, y: ww.mse(f, y) * jnp.inf)
    assert found.test_accuracy is None


def test_statistics_know_no_order_of_rows():
    """Rows sorted by class, in whose first thousand is one class alone: means are those of all, to a sample's error."""
    y = np.repeat([0, 1], 1500)
    x = np.random.default_rng(0).normal(size=(3000, 16)) + 6.0 * y[:, None]
    networks = []
    for order in (np.arange(3000), np.arange(2999, -1, -1), np.random.default_rng(1).permutation(3000)):
        data = Dataset("sorted", x[order], y[order], x, y, classes=2, image_shape=(4, 4, 1))
        built = ww.cnn((4, 4, 1), 4, 2, depth=2, norm="batch", table=TABLE, key=KEY)
        split = examples(data, "train", jnp.float64, built.network)
        networks.append(with_statistics(built.network, split)(jnp.asarray(x[:5]).reshape(5, 4, 4, 1)))
    # Of classes six apart the mean of 1000 is known to 3 / sqrt(1000), a tenth; one class's is three away.
    spread = max(float(jnp.abs(one - networks[0]).max()) for one in networks[1:])
    assert spread < 0.15 * float(jnp.abs(networks[0]).max())


def test_float16_is_refused_where_squares_of_gradients_vanish():
    for optimizer in ("adam", "rmsprop"):
        with refused("dtype", "float16"):
            ww.mlp(6, 8, 3, depth=2, dtype=jnp.float16, table=ww.parameterization("mup", optimizer=optimizer), key=KEY)
    for optimizer in ("sgd", "lion"):
        table = ww.parameterization("mup", optimizer=optimizer)
        assert ww.mlp(6, 8, 3, depth=2, dtype=jnp.float16, table=table, key=KEY).network.dtype == jnp.float16


@pytest.mark.parametrize("shape", [(1, 50, 2), (50, 1, 2)])
@pytest.mark.parametrize("settings", [{"stride": 2}, {"stride": 1, "pool": "avg"}, {"stride": 1, "pool": "max"}])
def test_a_signal_is_strided_and_pooled_along_its_only_axis(shape, settings):
    built = ww.cnn(shape, 4, 3, depth=3, table=TABLE, key=KEY, **settings)
    # 50 -> 25 -> 13 by strides, 50 -> 25 -> 12 by pooling.
    pixels = 13 if settings["stride"] == 2 else 12
    kernels = [segment.stages.linear.weight.shape[1:] for segment in built.network.segments]
    taps = (1, 3) if shape[0] == 1 else (3, 1)
    assert kernels == [(*taps, 2, 4), (*taps, 4, 4), (3, 4 * pixels)]
    assert built.network(jnp.zeros((2, *shape))).shape == (2, 3)
    # A unit input keeps its scale: three taps are summed, not nine.
    states = ww.network.forward(built.network, jax.random.normal(KEY, (64, *shape)))
    assert 0.8 < float(jnp.sqrt(jnp.mean(states[0] ** 2))) < 1.7
