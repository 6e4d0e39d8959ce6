import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from refusals import refused

from widthwise.data import Dataset


def valid(**changes):
    rng = np.random.default_rng(0)
    fields = {
        "name": "toy",
        "x_train": rng.integers(0, 256, (6, 4), np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": rng.integers(0, 256, (3, 4), np.uint8),
        "y_test": np.array([2, 1, 0]),
        "classes": 3,
    }
    return Dataset(**(fields | changes))


def regression(**changes):
    y = np.random.default_rng(1).standard_normal((9, 2))
    return valid(**({"classes": None, "y_train": y[:6], "y_test": y[6:]} | changes))


def with_entry(array, row, value):
    array = np.array(array, np.float32)
    array[row, 1] = value
    return array


def test_sizes():
    assert (valid().in_size, valid().out_size) == (4, 3)
    assert (regression().in_size, regression().out_size) == (4, 2)


def test_bytes_stay_bytes_and_share_memory():
    x = np.zeros((6, 4), np.uint8)
    data = valid(x_train=x)
    assert data.x_train.dtype == np.uint8
    assert np.shares_memory(data.x_train, x)
    assert np.shares_memory(data.first(6).x_train, x)
    assert data.first(2).x_train.dtype == np.uint8


def test_bytes_on_disk_stay_there(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((6, 4), np.uint8))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = valid(x_train=mapped)
    assert np.shares_memory(data.x_train, mapped)


def test_arrays_are_read_only_but_the_callers_are_not():
    x = np.zeros((6, 4), np.uint8)
    data = valid(x_train=x)
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0, 0] = 1
    x[0, 0] = 1


def test_one_hot_targets():
    targets = valid().targets("test")
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])


def test_regression_targets_are_the_data():
    data = regression()
    assert data.targets("train") is data.y_train
    assert data.targets("test") is data.y_test


def test_unknown_split():
    with refused("split", "tets"):
        valid().targets("tets")


def test_hashable_by_identity():
    first, second = valid(), valid()
    assert first != second
    assert len({first, second, first}) == 2


def test_digest_is_of_the_content_only():
    assert valid().digest == valid(name="other").digest
    assert valid().digest == valid(y_train=np.array([0, 1, 2, 0, 1, 2], np.uint8)).digest
    fortran = np.asfortranarray(valid().x_train)
    assert valid().digest == valid(x_train=fortran).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"x_train": np.zeros((6, 4), np.uint8)},
        {"y_test": np.array([2, 1, 1])},
        {"shift": 1.0},
        {"scale": np.full(4, 2.0)},
        {"classes": 4},
        {"image_shape": (2, 2, 1)},
        {"x_train": np.zeros((6, 4), np.float32), "x_test": np.zeros((3, 4), np.float32)},
    ],
)
def test_digest_changes_with_the_content(changes):
    assert valid(**changes).digest != valid().digest


def test_digest_sees_where_one_array_ends_and_the_next_begins():
    x = np.arange(24, dtype=np.uint8).reshape(6, 4)
    y = np.zeros((9, 1))
    one = regression(x_train=x[:2], x_test=x[2:], y_train=y[:2], y_test=y[2:6])
    two = regression(x_train=x[:3], x_test=x[3:], y_train=y[:3], y_test=y[3:6])
    assert one.digest != two.digest


def test_first():
    data = valid(x_train=np.arange(24, dtype=np.uint8).reshape(6, 4))
    two = data.first(2)
    rows = [data.x_train.tolist().index(row) for row in two.x_train.tolist()]
    # In the order in which they were, each with its own label.
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(two.y_train, data.y_train[rows])
    np.testing.assert_array_equal(two.x_test, data.x_test)
    assert data.first(6).digest == data.digest
    assert two.digest != data.digest


@pytest.mark.parametrize("order", ["mixed", "sorted", "backwards"])
def test_every_class_has_its_share_whatever_the_order(order):
    """Of 60, 30 and 10 of 100 examples any n hold the same shares, to the nearest one."""
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    mixed, backwards = np.random.default_rng(5).permutation(100), np.arange(99, -1, -1)
    rows = {"mixed": mixed, "sorted": np.arange(100), "backwards": backwards}
    y = labels[rows[order]]
    x = np.arange(400, dtype=np.float32).reshape(100, 4)
    data = valid(x_train=x, y_train=y, x_test=x, y_test=y)
    for count in (10, 50, 90):
        drawn = np.bincount(data.first(count).y_train, minlength=3)
        assert abs(drawn - count * np.array([0.6, 0.3, 0.1])).max() <= 1
        final, choosing = data.with_validation(count)
        held = np.bincount(choosing.y_test, minlength=3)
        np.testing.assert_array_equal(held + np.bincount(final.y_train, minlength=3), [60, 30, 10])
        assert abs(held - count * np.array([0.6, 0.3, 0.1])).max() <= 1


def test_fewer_examples_are_among_more():
    x = np.arange(400, dtype=np.float32).reshape(100, 4)
    data = valid(x_train=x, y_train=np.arange(100) % 3, x_test=x, y_test=np.arange(100) % 3)
    few, many = ({*map(tuple, data.first(count).x_train.tolist())} for count in (20, 70))
    assert few < many


@pytest.mark.parametrize("examples", [0, -1, 7])
def test_first_out_of_range(examples):
    with refused("examples", examples):
        valid().first(examples)


def test_validation_is_held_out_and_shared_by_neither_training_set():
    data = valid(x_train=np.arange(24, dtype=np.uint8).reshape(6, 4))
    final, choosing = data.with_validation(2)
    kept, held = ([data.x_train.tolist().index(row) for row in x.tolist()] for x in (final.x_train, choosing.x_test))
    assert sorted(kept + held) == list(range(6))
    for part in (final, choosing):
        np.testing.assert_array_equal(part.x_train, data.x_train[kept])
        np.testing.assert_array_equal(part.y_train, data.y_train[kept])
    np.testing.assert_array_equal(final.x_test, data.x_test)
    np.testing.assert_array_equal(choosing.y_test, data.y_train[held])


@pytest.mark.parametrize("count", [0, -1, 6, 7])
def test_validation_out_of_range(count):
    with refused("validation", count):
        valid().with_validation(count)


@pytest.mark.parametrize(
    ("changes", "setting", "value"),
    [
        ({"x_train": np.zeros((6, 4), np.int64)}, "x_train", np.dtype(np.int64)),
        ({"x_test": np.array([[None] * 4] * 3)}, "x_test", np.dtype(object)),
        ({"x_train": np.zeros(6, np.uint8)}, "x_train", (6,)),
        ({"x_train": np.zeros((0, 4), np.uint8)}, "x_train", (0, 4)),
        ({"x_test": np.zeros((3, 5), np.uint8)}, "x_test", 5),
        ({"x_test": np.zeros((3, 4), np.float32)}, "x_test", np.dtype(np.float32)),
        ({"y_train": np.zeros(5, int)}, "y_train", 5),
        ({"y_test": np.zeros(4, int)}, "y_test", 4),
        ({"y_test": np.array([0, 3, 4])}, "y_test", 3),
        ({"y_train": np.array([0, 1, 2, 0, -1, 2])}, "y_train", -1),
        ({"y_train": np.zeros((6, 3), int)}, "y_train", (6, 3)),
        ({"y_train": np.zeros(6)}, "y_train", np.dtype(float)),
        ({"classes": 1}, "classes", 1),
        ({"classes": 2**40}, "classes", 2**40),
        ({"shift": np.zeros(3)}, "shift", (3,)),
        ({"shift": np.nan}, "shift", np.float64("nan")),
        ({"scale": 0.0}, "scale", 0.0),
        ({"scale": np.array([1, 1, -1, 1])}, "scale", -1.0),
        ({"image_shape": (2, 3, 1)}, "image_shape", (2, 3, 1)),
        ({"image_shape": (-2, -2, 1)}, "image_shape", (-2, -2, 1)),
    ],
)
def test_refused(changes, setting, value):
    with refused(setting, value) as error:
        valid(**changes)
    assert "'toy'" in error.value.problem


@pytest.mark.parametrize(
    ("changes", "setting", "value"),
    [
        ({"y_train": np.zeros(6)}, "y_train", (6,)),
        ({"y_train": np.zeros((6, 2), int)}, "y_train", np.dtype(int)),
        ({"y_test": np.zeros((3, 1))}, "y_test", 1),
        ({"y_test": np.zeros((2, 2))}, "y_test", 2),
        ({"y_train": with_entry(np.zeros((6, 2)), 2, np.inf)}, "y_train", 2),
    ],
)
def test_regression_refused(changes, setting, value):
    with refused(setting, value):
        regression(**changes)


def test_image_shape_of_two_axes():
    data = valid()
    # The tests' type checker refuses to build it; users have none.
    object.__setattr__(data, "image_shape", (2, 2))
    with refused("image_shape", (2, 2)):
        data.__post_init__()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_names_the_first_row(value):
    x = with_entry(with_entry(np.zeros((6, 4)), 5, value), 3, value)
    with refused("x_train", 3):
        valid(x_train=x, x_test=np.zeros((3, 4), np.float32))


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        valid().name = "other"


def test_imports_neither_jax_nor_the_loaders_dependencies():
    code = "import sys, widthwise.data; print([m for m in ('jax', 'sklearn', 'pooch') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
