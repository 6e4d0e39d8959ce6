import pickle
import zipfile

import numpy as np
import pytest
from refusals import refused

import widthwise as ww
from widthwise.data import npz

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (9, 5, 4, 3), np.uint8)
LABELS = np.array([0, 1, 2, 3, 0, 1, 2, 3, 1])


class Trap:
    """Unpickling this would raise."""

    def __reduce__(self):
        return exec, ("raise AssertionError('unpickled')",)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.npz"


@pytest.fixture
def save(path):
    def write(x=IMAGES, y=LABELS, **changes):
        np.savez(path, **({"x_train": x[:6], "y_train": y[:6], "x_test": x[6:], "y_test": y[6:]} | changes))
        return path

    return write


def test_color_images(save):
    data = npz(save())
    np.testing.assert_array_equal(data.x_train, IMAGES[:6].reshape(6, 60))
    assert data.x_train.dtype == np.uint8
    assert (data.image_shape, data.classes, float(data.shift), float(data.scale)) == ((5, 4, 3), 4, 0, 255)


def test_gray_images(save):
    assert npz(save(IMAGES[..., 0])).image_shape == (5, 4, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_used_as_they_are(save, dtype):
    x = RNG.standard_normal((9, 7)).astype(dtype)
    data = npz(save(x))
    np.testing.assert_array_equal(data.x_train, x[:6])
    assert data.x_train.dtype == dtype
    assert (data.image_shape, float(data.shift), float(data.scale)) == (None, 0, 1)


def test_one_feature(save):
    assert npz(save(IMAGES[:, 0, 0, 0])).x_train.shape == (6, 1)


def test_regression(save):
    y = RNG.standard_normal(9)
    assert npz(save(y=y)).classes is None
    np.testing.assert_array_equal(npz(save(y=y)).y_train, y[:6, None])
    assert npz(save(y=RNG.standard_normal((9, 3)))).out_size == 3


def test_named_by_its_path(save):
    assert npz(str(save())).name == str(save())


def refuse(path, *said):
    """The file is refused, for a reason that holds these words of numpy's or names of its arrays."""
    with refused("data file", path) as error:
        npz(path)
    assert all(word in error.value.problem for word in said), str(error.value)


def test_missing_file(path):
    refuse(path, "No such file")


def test_missing_array(path):
    np.savez(path, x_train=IMAGES, labels=LABELS)
    refuse(path, "x_train, labels")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"no archive at all", b"\x93NUMPY broken"])
def test_not_an_archive(path, content):
    path.write_bytes(content)
    refuse(path)


def test_single_array(path):
    with path.open("wb") as file:
        np.save(file, IMAGES)
    refuse(path, "single array")


def test_damaged_anywhere(save, path):
    content = save().read_bytes()
    for cut in range(0, len(content), 37):
        path.write_bytes(content[:cut])
        refuse(path)
    for place in range(0, len(content), 11):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        # Some bytes of a zip archive mean nothing; any other damage must be refused as such.
        try:
            data = npz(path)
        except ww.InputError:
            continue
        np.testing.assert_array_equal(data.x_train, IMAGES[:6].reshape(6, 60))


def test_objects_are_never_unpickled(save):
    refuse(save(y_train=np.array([Trap()] * 6, object)), "Object arrays cannot be loaded")


def test_pickle_in_place_of_an_archive(path):
    path.write_bytes(pickle.dumps(Trap()))
    refuse(path)


def test_pickle_in_place_of_a_member(save, path):
    save()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["y_train.npy"] = pickle.dumps(Trap())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    # Which is bytes then, and no array of numbers.
    with refused("y_test"):
        npz(path)


def test_nan(save):
    x = np.zeros((9, 4))
    x[7] = np.nan
    with refused("x_test", 1):
        npz(save(x))
    y = np.zeros(9)
    y[2] = np.inf
    with refused("y_train", 2):
        npz(save(y=y))


@pytest.mark.parametrize(
    ("changes", "setting", "value"),
    [
        ({"x_train": np.full((6, 5, 4, 3), "a")}, "x_train", np.dtype("<U1")),
        ({"x_train": IMAGES[:0]}, "x_train", (0, 60)),
        ({"y_train": LABELS[:0], "y_test": LABELS[:0]}, "classes", 0),
        ({"y_train": LABELS[:5]}, "y_train", 5),
        ({"y_train": LABELS[:6] - 1}, "y_train", -1),
        ({"y_train": LABELS[:6] / 1}, "y_test", np.dtype(int)),
        ({"y_train": np.array(list("abcdef"))}, "y_test", np.dtype(int)),
        ({"y_train": np.eye(6, 4, dtype=int)}, "y_train", (6, 4)),
        ({"y_train": np.ones((6, 4), int)}, "y_train", (6, 4)),
    ],
)
def test_unfit_arrays(save, changes, setting, value):
    with refused(setting, value):
        npz(save(**changes))


@pytest.mark.parametrize(
    ("changes", "setting", "value"),
    [({"x_test": IMAGES[6:].transpose(0, 2, 1, 3)}, "x_test", (4, 5, 3)), ({"x_train": np.uint8(3)}, "x_train", ())],
)
def test_examples_of_two_shapes(save, changes, setting, value):
    with refused(setting, value):
        npz(save(**changes))
