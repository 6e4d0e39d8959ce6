"""The order of the data, the random streams, and evaluation over a whole split."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from training.toys import made, one_hot, toy

from widthwise import cross_entropy, mse
from widthwise.data import Dataset
from widthwise.training import batches_per_epoch, epoch_order, evaluate, examples, run_order, sampled, streams


def bits(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_streams_are_all_different():
    keys = [bits(key) for seed in range(20) for key in (*streams(seed), jax.random.key(seed))]
    assert len(set(keys)) == len(keys) == 80
    assert [bits(key) for key in streams(3)] == [bits(key) for key in streams(3)]


def test_streams_do_not_share_numbers():
    draws = [np.asarray(jax.random.normal(key, (4000,))) for seed in range(3) for key in streams(seed)]
    for a, b in itertools.combinations(draws, 2):
        # Correlations of independent draws are N(0, 1/4000): 6 standard deviations.
        assert abs(np.corrcoef(a, b)[0, 1]) < 6 / np.sqrt(4000)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_seeds_that_would_repeat_another_are_refused(seed):
    with refused("seed", seed):
        streams(seed)


def test_an_epoch_is_a_permutation_of_seed_and_epoch_alone():
    key = streams(0).order
    order = np.asarray(epoch_order(key, 3, 43, 8))
    assert order.shape == (5, 8)
    assert len(set(order.ravel().tolist())) == 40
    assert order.min() >= 0
    assert order.max() <= 42
    assert sorted(np.asarray(epoch_order(key, 3, 43, 1)).ravel().tolist()) == list(range(43))
    # The batch size cuts the same permutation elsewhere.
    assert np.array_equal(np.asarray(epoch_order(key, 3, 43, 5)).ravel(), order.ravel())
    others = [epoch_order(key, 2, 43, 8), epoch_order(streams(1).order, 3, 43, 8)]
    assert not any(np.array_equal(other, order) for other in others)


def test_a_run_visits_epoch_after_epoch():
    key = streams(5).order
    whole = np.concatenate([np.asarray(epoch_order(key, epoch, 20, 6)) for epoch in range(3)])
    for steps in (1, 3, 4, 9):
        assert np.array_equal(run_order(key, steps, 20, 6), whole[:steps])


def test_every_example_is_visited_equally_often():
    # 43 examples, 40 of them an epoch: over 200 epochs each waits 200 * 3/43 = 14 times, standard deviation 3.6.
    order = np.asarray(run_order(streams(0).order, 1000, 43, 8))
    visits = np.bincount(order.ravel(), minlength=43)
    assert visits.sum() == 8000
    assert abs(visits - 8000 / 43).max() < 5 * 3.6


def test_batches_per_epoch():
    assert [batches_per_epoch(40, size) for size in (1, 7, 8, 40)] == [40, 5, 5, 1]
    for size in (0, -1, 41):
        with refused("batch_size", size):
            batches_per_epoch(40, size)


def test_sampled_steps():
    for steps in (1, 7, 8, 40, 1000):
        chosen = sampled(steps)
        assert len(chosen) == steps
        assert chosen[0]
        assert min(steps, 8) <= sum(chosen) <= 16


def random_data(test_examples, seed=0):
    """Floats with random labels, the test set as large as asked."""
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(4, 6)), draw.integers(0, 3, 4)
    more, labels = draw.normal(size=(test_examples, 6)), draw.integers(0, 3, test_examples)
    shift, scale = draw.normal(size=6), draw.uniform(0.5, 2, 6)
    return Dataset("random", x, y, more, labels, shift=shift, scale=scale, classes=3)


# Below the chunk of 1000, the chunk, above it, a multiple, and a multiple with a rest.
@pytest.mark.parametrize(("count", "loss"), [(7, mse), (1000, mse), (1001, cross_entropy), (2000, mse), (2300, mse)])
def test_evaluate_is_the_mean_over_all_examples(count, loss):
    data, network = random_data(count), made(width=5).network
    found_loss, accuracy = jax.jit(lambda n, d: evaluate(n, d, loss))(network, examples(data, "test", jnp.float64))
    prediction = np.asarray(network(jnp.asarray((data.x_test - data.shift) / data.scale)))
    y = one_hot(data.y_test)
    each = 0.5 * ((prediction - y) ** 2).sum(1)
    if loss is cross_entropy:
        each = np.log(np.exp(prediction).sum(1)) - (y * prediction).sum(1)
    assert float(found_loss) == pytest.approx(each.mean(), rel=1e-13)
    assert float(accuracy) == pytest.approx((prediction.argmax(1) == data.y_test).mean(), rel=1e-13)


def test_examples_stay_bytes_and_are_normalized_as_they_are_used():
    data = toy()
    split = examples(data, "train", jnp.float32)
    assert split.x.dtype == np.uint8
    assert split.count == 40
    batch = split.batch(jnp.asarray([3, 1]))
    assert batch.x.dtype == batch.y.dtype == np.float32
    assert np.allclose(batch.x, (data.x_train[[3, 1]] - 128.0) / 75.0, atol=1e-6)
    assert np.array_equal(batch.y, one_hot(data.y_train[[3, 1]]))
