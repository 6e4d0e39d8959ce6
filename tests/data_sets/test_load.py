import numpy as np
import pytest
from refusals import refused

from widthwise.data import digits, load


def test_digits_and_its_first_examples():
    assert load("digits").digest == digits().digest
    assert load("digits", examples=50).digest == digits().first(50).digest


@pytest.mark.parametrize("name", ["linear_teacher", "mlp_teacher"])
def test_teachers_have_the_documented_sizes(name):
    data = load(name)
    assert (data.name, data.in_size, data.out_size, len(data.x_train)) == (name, 20, 5, 2048)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_path(tmp_path, kind):
    path = tmp_path / "mine.npz"
    x, y = np.zeros((4, 3)), np.arange(4)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    assert load(kind(path), examples=2).x_train.shape == (2, 3)


def test_unknown_name_suggests_the_nearest():
    with refused("data", "fashion") as error:
        load("fashion")
    assert "'fashion_mnist'" in error.value.remedy
    with refused("data", "mine.xlsx") as error:
        load("mine.xlsx")
    assert ".npz" in error.value.remedy
    assert ".csv" in error.value.remedy


def test_more_examples_than_there_are():
    with refused("examples", 1438):
        load("digits", examples=1438)
