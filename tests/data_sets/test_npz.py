import pickle
import zipfile

import numpy as np
import pytest

from widthwise._errors import InputError
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


def refused(path, message):
    with pytest.raises(InputError, match=message) as error:
        npz(path)
    assert str(path) in str(error.value)


def test_missing_file(path):
    refused(path, r"No such file.*expected a file written by numpy.savez with the arrays x_train, y_train")


def test_missing_array(path):
    np.savez(path, x_train=IMAGES, labels=LABELS)
    refused(path, "holds x_train, labels; expected .* x_train, y_train, x_test, y_test")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"no archive at all", b"\x93NUMPY broken"])
def test_not_an_archive(path, content):
    path.write_bytes(content)
    refused(path, "cannot be read")


def test_single_array(path):
    with path.open("wb") as file:
        np.save(file, IMAGES)
    refused(path, "holds a single array")


def test_damaged_anywhere(save, path):
    content = save().read_bytes()
    for cut in range(0, len(content), 37):
        path.write_bytes(content[:cut])
        refused(path, "cannot be read")
    for place in range(0, len(content), 11):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        # Some bytes of a zip archive mean nothing; any other damage must be refused as such.
        try:
            data = npz(path)
        except InputError:
            continue
        np.testing.assert_array_equal(data.x_train, IMAGES[:6].reshape(6, 60))


def test_objects_are_never_unpickled(save):
    refused(save(y_train=np.array([Trap()] * 6, object)), "Object arrays cannot be loaded")


def test_pickle_in_place_of_an_archive(path):
    path.write_bytes(pickle.dumps(Trap()))
    refused(path, "cannot be read")


def test_pickle_in_place_of_a_member(save, path):
    save()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["y_train.npy"] = pickle.dumps(Trap())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(path, "y_train")


def test_nan(save):
    x = np.zeros((9, 4))
    x[7] = np.nan
    refused(save(x), "x_test holds NaN or infinity in row 1")
    y = np.zeros(9)
    y[2] = np.inf
    refused(save(y=y), "y_train holds NaN or infinity in row 2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": IMAGES[:6].astype(int)}, "x_train has dtype int64; expected uint8"),
        ({"x_test": IMAGES[6:].transpose(0, 2, 1, 3)}, r"\(5, 4, 3\) in x_train and \(4, 5, 3\) in x_test"),
        ({"x_train": np.uint8(3)}, r"shape \(\) in x_train|x_train"),
        ({"x_train": IMAGES[:0]}, r"x_train has shape \(0, 60\)"),
        ({"y_train": LABELS[:0], "y_test": LABELS[:0]}, "classes is 1|y_train has 0 rows"),
        ({"y_train": LABELS[:5]}, "y_train has 5 rows; expected 6"),
        ({"y_train": LABELS[:6] - 1}, "y_train holds the label -1 in row 0"),
        ({"y_train": LABELS[:6] == 1}, "y_train has dtype bool"),
        ({"y_train": LABELS[:6] / 1}, "y_test has dtype int64"),
        ({"y_train": np.array(list("abcdef"))}, "y_train has dtype <U1"),
        ({"y_train": np.eye(6, 4, dtype=int)}, r"shape \(6, 4\); expected integer labels"),
    ],
)
def test_unfit_arrays(save, changes, message):
    refused(save(**changes), message)
