"""Data as people have them: taken for what they are, asked where they could be several things, or as it is stated."""

import warnings

import jax
import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.data import DataWarning, csv, from_arrays, load

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))


def data(y, x=X, **settings):
    return from_arrays(x, y, x, y, **settings)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (["b", "a"] * 20, [1, 0]),
        (np.array([True, False] * 20), [1, 0]),
        (np.array(["x", "y"] * 20, object), [0, 1]),
        (np.array([0, 1] * 20, np.int64), [0, 1]),
        (np.array([0, 1] * 20, np.uint8), [0, 1]),
        (np.eye(2, dtype=int)[[1, 0] * 20], [1, 0]),
        (np.array([[1], [0]] * 20), [1, 0]),
    ],
)
def test_labels_are_labels(y, labels):
    found = data(y)
    assert (found.classes, found.y_train[:2].tolist()) == (2, labels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_targets(dtype):
    found = data(RNG.normal(size=40).astype(dtype))
    assert (found.classes, found.out_size) == (None, 1)


@pytest.mark.parametrize("x", [X.astype(np.float16), X.tolist(), (X * 10).astype(int), X > 0, X.astype(np.float64)])
def test_inputs_of_any_number(x):
    found = data([0, 1] * 20, x)
    np.testing.assert_allclose(found.x_train, np.asarray(x, float), atol=1e-3)


def test_years_are_asked():
    """Thirty labels up to 2019 are not 2020 classes."""
    years = 1990 + np.arange(40) % 30
    with refused("task", None) as error:
        data(years)
    assert "--task regression" in error.value.remedy
    assert data(years, task="regression").classes is None
    assert data(years, task="classification").classes == 30
    assert data(years, classes=2020).classes == 2020


def test_a_few_labels_that_never_occur_are_told():
    with pytest.warns(DataWarning, match="9 of 10 labels occur"):
        assert data(np.arange(40) % 9 + (np.arange(40) % 9 > 3)).classes == 10


def test_labels_as_floats_are_told():
    """Labels 1, 2, 3 as floats train as a regression, and say how to be classes; a 0/1 column the same."""
    for y in (1.0 + np.arange(40) % 3, np.arange(40.0) % 2):
        with pytest.warns(DataWarning, match="whole numbers as floats") as told:
            assert data(y).classes is None
        assert "--task classification" in str(told[0].message)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert data(y, task="regression").classes is None
            found = data(y, task="classification")
        assert (found.classes, sorted(set(found.y_train.tolist()))) == (len(set(y)), list(range(len(set(y)))))


def test_scales_far_from_one_name_the_feature_and_can_be_standardized():
    raw = X * [1, 1000, 1] + [0, 0, 5]
    with pytest.warns(DataWarning, match="feature 1 has a root mean square of"):
        data([0, 1] * 20, raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = data([0, 1] * 20, np.concatenate([raw, np.full((40, 1), 7.0)], axis=1), standardize=True)
    inputs = (found.x_train - found.shift) / found.scale
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(inputs.std(axis=0), [1, 1, 1, 0], atol=1e-12)


def test_what_is_held_out_has_no_part_in_the_standardization():
    found = from_arrays(RNG.normal(3, 2, (40, 2)), [0, 1] * 20, standardize=True)
    for of, expected in ((np.mean, 0), (np.std, 1)):
        np.testing.assert_allclose(of((found.x_train - found.shift) / found.scale, axis=0), expected, atol=1e-12)


def test_one_split_is_enough():
    found = from_arrays(X, np.arange(40) % 2)
    assert (len(found.x_train), len(found.x_test)) == (32, 8)
    assert np.bincount(found.y_test).tolist() == [4, 4]
    joined = np.sort(np.concatenate([found.x_train, found.x_test]), axis=0)
    np.testing.assert_array_equal(joined, np.sort(X, axis=0))
    with refused("y_test", None):
        from_arrays(X, np.arange(40) % 2, X)


@pytest.mark.parametrize(
    ("y", "settings", "setting", "value"),
    [
        (np.arange(40) % 3 - 1, {}, "y_train", -1),
        (RNG.normal(size=40), {"task": "classification"}, "task", "classification"),
        (["a", "b"] * 20, {"task": "regression"}, "y_train", np.dtype("<U1")),
        (["a", "b"] * 20, {"classes": 2}, "classes", 2),
        (np.arange(40.0), {"task": "regression", "classes": 3}, "classes", 3),
        ([0.0, np.nan] * 20, {"task": "classification"}, "y_train", "NaN"),
        ([0, 1] * 20, {"task": "regresion"}, "task", "regresion"),
        ([0, 2] * 20, {"classes": 2}, "y_train", 2),
        (np.array([None, 1] * 20), {}, "y_train", np.dtype(object)),
        ([[1], [2, 3]], {}, "y_train", "list"),
    ],
)
def test_what_cannot_be_meant_is_refused(y, settings, setting, value):
    with refused(setting, value):
        data(y, **settings)


def test_channels_first_are_asked():
    with refused("x_train", (3, 16, 16)):
        data([0, 1] * 20, RNG.normal(size=(40, 3, 16, 16)))
    assert data([0, 1] * 20, RNG.normal(size=(40, 16, 16, 3))).image_shape == (16, 16, 3)


@pytest.fixture
def table(tmp_path):
    def write(*rows, name="mine.csv"):
        (tmp_path / name).write_text("\n".join(rows))
        return tmp_path / name

    return write


def test_a_table_of_text_is_data(table):
    rows = [f"{i / 10},{i % 3},{'abc'[i % 3]}" for i in range(30)]
    found = load(table("size,kind,label", *rows))
    assert (found.in_size, found.classes, len(found.x_train), len(found.x_test)) == (2, 3, 24, 6)
    numbers = [f"{i / 10},{i % 3},{i % 5}" for i in range(30)]
    other = csv(table("size,kind,label", *numbers), target="size")
    assert (other.in_size, other.classes, other.out_size) == (2, None, 1)


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ("a,b",),
        ("1,2", "3,4", "5,6"),
        ("a,b", "1,2", "3"),
        ("a,b", "x,1", "2,2"),
        ("a", "1", "2"),
        ("a,b", ",1", "2,2"),
    ],
)
def test_a_table_that_is_none_is_refused(table, rows):
    path = table(*rows)
    with refused("data file", path):
        csv(path)


def test_a_column_that_is_not_there_is_refused(table):
    path = table("a,b", "1,2", "3,4")
    with refused("data file", path) as error:
        csv(path, target="c")
    assert "a, b" in error.value.remedy


@pytest.mark.parametrize(
    ("name", "settings"),
    [("digits", {"task": "regression"}), ("digits", {"standardize": True}), ("x.npz", {"target": "y"})],
)
def test_what_would_be_ignored_is_refused(name, settings):
    with refused(next(iter(settings)), next(iter(settings.values()))):
        load(name, **settings)


def test_they_train(table):
    rows = [f"{i % 7},{(i * 5) % 11},{0.1 * (i % 7) - 0.2 * ((i * 5) % 11) + 0.05}" for i in range(200)]
    found = load(table("one,other,y", *rows), standardize=True)
    made = ww.parameterization("mup", base_width=16)
    built = ww.mlp(2, 16, 1, depth=2, activation="linear", table=made, key=jax.random.key(0))
    trained = ww.train(built, ww.Backprop(), found, rate=0.1, steps=300, batch_size=16)
    # A linear function but for its mean, which no bias learns: what is left is half the mean's square, and little more.
    assert trained.test_loss < 0.5 * float(np.mean(found.y_test)) ** 2 + 0.1 * float(np.var(found.y_test))
