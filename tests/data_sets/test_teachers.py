import numpy as np
import pytest
from refusals import refused

from widthwise.data import linear_teacher, mlp_teacher


@pytest.mark.parametrize("data", [linear_teacher(7, 3, 50), mlp_teacher(7, 16, 3, 50)])
def test_shapes(data):
    assert (data.x_train.shape, data.y_train.shape) == ((50, 7), (50, 3))
    assert (data.x_test.shape, data.y_test.shape) == ((512, 7), (512, 3))
    assert {data.x_train.dtype, data.y_train.dtype, data.x_test.dtype, data.y_test.dtype} == {np.dtype("f4")}
    assert data.classes is None
    assert (float(data.shift), float(data.scale)) == (0, 1)


def test_linear_teacher_is_one_linear_map_of_unit_scale():
    data = linear_teacher(40, 30, 200)
    teacher, *_ = np.linalg.lstsq(data.x_train, data.y_train, rcond=None)
    np.testing.assert_allclose(data.x_test @ teacher, data.y_test, atol=1e-4)
    assert (teacher * np.sqrt(40)).std() == pytest.approx(1, abs=0.1)
    assert data.x_train.std() == pytest.approx(1, abs=0.05)
    assert data.y_train.std() == pytest.approx(1, abs=0.1)


def test_noise_is_added_to_the_outputs_alone():
    clean, noisy = linear_teacher(10, 5, 2000), linear_teacher(10, 5, 2000, noise=0.5)
    np.testing.assert_array_equal(clean.x_train, noisy.x_train)
    assert (noisy.y_train - clean.y_train).std() == pytest.approx(0.5, rel=0.05)
    assert (noisy.y_test - clean.y_test).std() == pytest.approx(0.5, rel=0.05)


def test_mlp_teacher_of_depth_one_is_linear_and_a_deeper_one_is_not():
    np.testing.assert_array_equal(
        mlp_teacher(10, 99, 5, 80, depth=1, seed=4).y_train, linear_teacher(10, 5, 80, seed=4).y_train
    )
    data = mlp_teacher(10, 200, 5, 2000, depth=2)
    residual = np.linalg.lstsq(data.x_train, data.y_train, rcond=None)[1]
    assert residual.sum() / np.square(data.y_train).sum() > 0.01


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_more_examples_extend_the_fewer(noise):
    few, many = linear_teacher(8, 2, 20, noise=noise), linear_teacher(8, 2, 60, noise=noise)
    np.testing.assert_array_equal(few.x_train, many.x_train[:20])
    np.testing.assert_allclose(few.y_train, many.y_train[:20], rtol=1e-5)
    np.testing.assert_array_equal(few.x_test, many.x_test)
    np.testing.assert_array_equal(few.y_test, many.y_test)


def test_seed_decides_everything():
    one, two = linear_teacher(8, 2, 20, seed=1), linear_teacher(8, 2, 20, seed=2)
    assert one.digest == linear_teacher(8, 2, 20, seed=1).digest
    assert not np.isclose(one.x_train, two.x_train).any()
    assert not np.isclose(one.x_train[:20], one.x_test[:20]).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in_size", 0),
        ("width", -1),
        ("examples", 0),
        ("test_examples", 0),
        ("depth", 0),
        ("noise", -0.1),
        ("noise", float("nan")),
        ("seed", -1),
    ],
)
def test_refused(name, value):
    with refused(name, value):
        mlp_teacher(**({"in_size": 4, "width": 8, "out_size": 2, "examples": 10} | {name: value}))
