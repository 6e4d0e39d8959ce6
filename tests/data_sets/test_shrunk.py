"""Images made smaller by averages over blocks of pixels."""

import numpy as np
import pytest
from refusals import refused

from widthwise.data import Dataset, linear_teacher, load


def images(x, shift=0.0, scale=1.0):
    """A data set of the images (examples, height, width, channels)."""
    flat, y = x.reshape(len(x), -1), np.arange(len(x)) % 2
    return Dataset("toy", flat, y, flat[:2], y[:2], shift, scale, classes=2, image_shape=x.shape[1:])


def random_images(shape, dtype=np.float64):
    return np.random.default_rng(0).uniform(0, 255, (5, *shape)).astype(dtype)


def test_by_hand():
    # Two channels, the second ten times the first; blocks of 2 x 2.
    first = np.array([[0, 1, 8, 8], [2, 5, 8, 8], [0, 0, 20, 22], [0, 0, 24, 22]])
    data = images(np.stack([first, 10 * first], axis=-1)[None].repeat(3, axis=0).astype(np.uint8)).shrunk(2)
    assert data.image_shape == (2, 2, 2)
    assert data.x_train.dtype == np.uint8
    assert data.x_train.shape == (3, 8)
    np.testing.assert_array_equal(data.x_train[0], [2, 20, 8, 80, 0, 0, 22, 220])
    np.testing.assert_array_equal(data.x_test, data.x_train[:2])


def test_halves_go_to_the_even_byte():
    blocks = np.array([[[0, 1], [0, 1]], [[1, 2], [1, 2]], [[255, 254], [255, 254]]], np.uint8)
    assert images(blocks[..., None]).shrunk(1).x_train.ravel().tolist() == [0, 2, 254]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_every_pixel_is_the_mean_of_its_block(dtype):
    x = random_images((6, 12, 3), dtype)
    data = images(x).shrunk(2)
    assert (data.image_shape, data.x_train.dtype) == ((2, 4, 3), dtype)
    for row, column in np.ndindex(2, 4):
        block = x[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3].astype(np.float64)
        ours = data.x_train.reshape(-1, 2, 4, 3)[:, row, column]
        mean = block.mean(axis=(1, 2))
        # Nine float32 sums of up to 255 round by 2^-24 each; no mean of nine bytes is half a byte.
        np.testing.assert_allclose(ours, np.rint(mean) if dtype == np.uint8 else mean, rtol=1e-6)


def test_twice_by_two_is_once_by_four():
    data = images(random_images((8, 8, 2)))
    np.testing.assert_allclose(data.shrunk(4).shrunk(2).x_train, data.shrunk(2).x_train, rtol=1e-14)


def test_same_size_is_the_same_data():
    data = images(random_images((4, 4, 1), np.uint8))
    assert data.shrunk(4).digest == data.digest
    assert data.shrunk(2).digest != data.digest


def test_normalization_a_feature_is_averaged_with_the_features():
    rng = np.random.default_rng(1)
    x, shift, scale = random_images((4, 6, 1)), rng.normal(size=24), rng.uniform(1, 2, 24)
    data, small = images(x, shift, scale), images(x, shift, scale).shrunk(2)
    # Averages commute: the centred input is that of the large image, averaged.
    centred = images((x.reshape(5, 24) - shift).reshape(x.shape)).shrunk(2).x_train
    np.testing.assert_allclose(small.x_train - small.shift, centred, rtol=1e-12)
    np.testing.assert_allclose(small.scale, scale.reshape(2, 2, 3, 2).mean(axis=(1, 3)).ravel(), rtol=1e-14)
    assert (small.scale.shape, data.scale.shape) == ((6,), (24,))


def test_one_normalization_for_all_features_stays():
    small = images(random_images((4, 4, 1)), 3.0, 2.0).shrunk(2)
    assert (float(small.shift), float(small.scale)) == (3, 2)


@pytest.mark.parametrize("size", [0, -14, 3, 16, 5])
def test_sizes_that_do_not_divide(size):
    with refused("image_size", size) as error:
        load("digits", image_size=size)
    assert "8, 4, 2, 1" in error.value.remedy


def test_the_block_must_divide_the_width_too():
    data = images(random_images((4, 6, 1)))
    assert data.shrunk(2).image_shape == (2, 3, 1)
    with refused("image_size", 1) as error:
        data.shrunk(1)
    assert "4, 2" in error.value.remedy


def test_no_images():
    with refused("image_size", 2):
        linear_teacher(4, 2, examples=3).shrunk(2)


def test_by_name_after_the_first_examples():
    assert load("digits", examples=50, image_size=4).digest == load("digits").first(50).shrunk(4).digest
