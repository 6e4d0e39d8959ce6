import numpy as np
import pytest

from widthwise.data import digits


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module")
def inputs(data):
    def normalized(x):
        return (x.astype(np.float32) - data.shift.astype(np.float32)) / data.scale.astype(np.float32)

    return normalized(data.x_train), normalized(data.x_test)


def test_known_facts(data):
    assert (len(data.x_train), len(data.x_test)) == (1437, 360)
    assert (data.in_size, data.out_size, data.image_shape) == (64, 10, (8, 8, 1))
    assert data.x_train.dtype == np.uint8
    assert (data.x_train.min(), data.x_train.max()) == (0, 16)


def test_split_is_a_partition_of_all_1797_rows(data):
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    rows = np.column_stack([values, labels])
    ours = np.column_stack([np.vstack([data.x_train, data.x_test]), np.r_[data.y_train, data.y_test]])
    assert len(ours) == 1797
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], ours[np.lexsort(ours.T)])


def test_every_class_is_in_both_parts(data):
    assert np.bincount(data.y_train, minlength=10).min() > 100
    assert np.bincount(data.y_test, minlength=10).min() > 20


def test_constant_pixels_stay_zero(data, inputs):
    constant = np.flatnonzero(np.ptp(np.vstack([data.x_train, data.x_test]), axis=0) == 0)
    assert constant.tolist() == [0, 32, 39]
    assert not inputs[0][:, constant].any()
    assert not inputs[1][:, constant].any()


def test_training_inputs_have_mean_zero_and_no_outliers_from_scaling(inputs):
    train, test = inputs
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
    assert train.std(axis=0).max() < 1
    assert np.isfinite(test).all()


def test_same_every_time(data):
    assert digits().digest == data.digest
