import shutil

import numpy as np
import pytest
from refusals import refused

from widthwise.data import SOURCES, found_on_disk, load, mnist

DEAD = "http://127.0.0.1:9/"
IMAGES = SOURCES["mnist"].files[0].name


def is_here():
    """Whether MNIST itself is: a folder's files of these names may be Fashion-MNIST's."""
    folder = found_on_disk("mnist")
    return folder is not None and folder.name == "mnist"


@pytest.mark.skipif(not is_here(), reason="MNIST is not on this machine")
def test_known_facts():
    data = mnist()
    assert (data.in_size, data.out_size, data.image_shape) == (784, 10, (28, 28, 1))
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = data.x_train.astype(np.float32) / 255
    assert (pixels.mean(), pixels.std()) == pytest.approx((0.1307, 0.3081), abs=1e-4)


def test_files_and_normalization(small_idx):
    folder, arrays, _ = small_idx("mnist")
    data = load("mnist", data_dir=folder)
    np.testing.assert_array_equal(data.x_train, arrays["train_images"].reshape(20, 12))
    np.testing.assert_array_equal(data.x_test, arrays["test_images"].reshape(10, 12))
    assert (data.name, data.image_shape, data.x_train.dtype) == ("mnist", (4, 3, 1), np.uint8)
    assert np.bincount(data.y_train).tolist() == [2] * 10
    assert np.bincount(data.y_test).tolist() == [1] * 10
    ours = (data.x_train - data.shift) / data.scale
    np.testing.assert_allclose(ours, (data.x_train / 255 - 0.1307) / 0.3081, rtol=1e-12)


def test_its_files_and_fashion_mnists_have_the_same_names_and_never_meet(small_idx, cache, serve, monkeypatch):
    ours, fashion = small_idx("mnist", seed=1), small_idx("fashion_mnist", seed=2)
    for folder, _, use in (ours, fashion):
        use(mirrors=(serve(folder),))
    for name, (_, arrays, _) in (("mnist", ours), ("fashion_mnist", fashion)):
        np.testing.assert_array_equal(load(name).x_train, arrays["train_images"].reshape(20, 12))
        assert (cache / name / IMAGES).is_file()
    # In one folder they cannot both be: the content tells, and the error says what to do.
    monkeypatch.setenv("WIDTHWISE_DATA", str(fashion[0]))
    with refused("data file", fashion[0] / IMAGES):
        mnist()


def test_second_mirror_after_a_dead_one_and_a_wrong_one(small_idx, tmp_path, serve):
    folder, arrays, use = small_idx("mnist")
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    (wrong / IMAGES).write_bytes((folder / IMAGES).read_bytes()[:-3])
    use(mirrors=(DEAD, serve(wrong), serve(folder)))
    np.testing.assert_array_equal(mnist().x_train, arrays["train_images"].reshape(20, 12))


def test_offline_says_what_to_place_where(small_idx, cache):
    small_idx("mnist")[2](mirrors=(DEAD,))
    with refused("data", "mnist") as error:
        mnist()
    assert IMAGES in error.value.problem
    for part in (str(cache / "mnist"), "WIDTHWISE_DATA", DEAD + IMAGES):
        assert part in error.value.remedy
    assert "Debian" not in str(error.value)
