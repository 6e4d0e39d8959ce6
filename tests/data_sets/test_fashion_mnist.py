import shutil
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from widthwise.data import SOURCES, fashion_mnist, load

FASHION_MNIST = SOURCES["fashion_mnist"]
DEBIAN = Path(FASHION_MNIST.debian_folder)
DEAD = "http://127.0.0.1:9/"
TRAIN_LABELS = FASHION_MNIST.files[1].name

needs_files = pytest.mark.skipif(
    not (DEBIAN / TRAIN_LABELS).is_file(), reason=f"Debian's dataset-fashion-mnist is not in {DEBIAN}"
)


@pytest.fixture(scope="module")
def real():
    return fashion_mnist(DEBIAN)


@needs_files
def test_known_facts(real):
    assert (len(real.x_train), len(real.x_test)) == (60_000, 10_000)
    assert (real.in_size, real.out_size, real.image_shape) == (784, 10, (28, 28, 1))
    assert real.x_train.dtype == np.uint8
    assert np.bincount(real.y_train).tolist() == [6000] * 10
    assert np.bincount(real.y_test).tolist() == [1000] * 10


@needs_files
def test_normalized_to_mean_zero_and_unit_deviation(real):
    pixels = real.x_train.astype(np.float32)
    assert (pixels.mean() - real.shift) / real.scale == pytest.approx(0, abs=1e-3)
    assert pixels.std() / real.scale == pytest.approx(1, abs=1e-3)


@needs_files
def test_debians_folder_is_found_without_being_named(real, no_data, table):
    table["fashion_mnist"] = FASHION_MNIST
    assert load("fashion_mnist").digest == real.digest
    assert not no_data.exists()


@needs_files
def test_swapped_file_is_refused(tmp_path):
    for file in FASHION_MNIST.files:
        (tmp_path / file.name).symlink_to(DEBIAN / file.name)
    (tmp_path / TRAIN_LABELS).unlink()
    (tmp_path / TRAIN_LABELS).symlink_to(DEBIAN / FASHION_MNIST.files[3].name)
    with refused("data file", tmp_path / TRAIN_LABELS):
        fashion_mnist(tmp_path)


def check(data, arrays):
    np.testing.assert_array_equal(data.x_train, arrays["train_images"].reshape(20, 12))
    np.testing.assert_array_equal(data.y_train, arrays["train_labels"])
    np.testing.assert_array_equal(data.x_test, arrays["test_images"].reshape(10, 12))
    np.testing.assert_array_equal(data.y_test, arrays["test_labels"])
    assert data.image_shape == (4, 3, 1)


def test_explicit_folder_or_its_subfolder(small, tmp_path):
    folder, arrays, _ = small
    check(fashion_mnist(folder), arrays)
    check(fashion_mnist(str(folder)), arrays)
    shutil.copytree(folder, tmp_path / "all" / "fashion_mnist")
    check(load("fashion_mnist", data_dir=tmp_path / "all"), arrays)


def test_input_is_pixels_in_0_to_1_normalized(small):
    data = fashion_mnist(small[0])
    ours = (data.x_train - data.shift) / data.scale
    np.testing.assert_allclose(ours, (data.x_train / 255 - 0.2860) / 0.3530, rtol=1e-12)


def test_explicit_folder_is_the_only_one(small, tmp_path, monkeypatch):
    folder, _, use = small
    use(debian_folder=str(folder))
    monkeypatch.setenv("WIDTHWISE_DATA", str(folder))
    (tmp_path / "partial").mkdir()
    shutil.copy(folder / TRAIN_LABELS, tmp_path / "partial")
    with refused("data_dir", tmp_path / "partial") as error:
        fashion_mnist(tmp_path / "partial")
    assert [file.name in error.value.problem for file in FASHION_MNIST.files] == [True, False, True, True]


def test_order_of_places(small, no_data, tmp_path, monkeypatch, write_idx):
    folder, arrays, use = small
    shared = shutil.copytree(folder, tmp_path / "shared")
    cache = shutil.copytree(folder, no_data)
    debian = shutil.copytree(folder, tmp_path / "debian")
    use(debian_folder=str(debian))
    monkeypatch.setenv("WIDTHWISE_DATA", str(shared))
    # Each place in turn is spoiled (so that an error names it) and then emptied (so that the next is used).
    for place in (shared, cache, debian):
        check(fashion_mnist(), arrays)
        write_idx(place / TRAIN_LABELS, arrays["test_labels"])
        with refused("data file", place / TRAIN_LABELS):
            fashion_mnist()
        shutil.rmtree(place)


def test_download_then_cache(small, no_data, serve):
    folder, arrays, use = small
    use(mirrors=(serve(folder),))
    check(fashion_mnist(), arrays)
    assert sorted(path.name for path in no_data.iterdir()) == sorted(path.name for path in folder.iterdir())
    use(mirrors=(DEAD,))
    check(fashion_mnist(), arrays)


def test_dead_and_empty_mirrors_then_a_live_one(small, tmp_path, serve):
    folder, arrays, use = small
    (tmp_path / "empty").mkdir()
    use(mirrors=(DEAD, serve(tmp_path / "empty"), serve(folder)))
    check(fashion_mnist(), arrays)


def test_mirror_with_another_file_is_passed_over(small, tmp_path, serve, write_idx):
    folder, arrays, use = small
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    write_idx(wrong / TRAIN_LABELS, arrays["test_labels"])
    use(mirrors=(serve(wrong), serve(folder)))
    check(fashion_mnist(), arrays)


def test_no_mirror_with_the_right_file(small, no_data, tmp_path, serve):
    folder, _, use = small
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    (wrong / TRAIN_LABELS).write_bytes((folder / TRAIN_LABELS).read_bytes()[:-3])
    url = serve(wrong)
    use(mirrors=(url,))
    with refused("data", "fashion_mnist") as error:
        fashion_mnist()
    assert url + TRAIN_LABELS in error.value.remedy
    assert not (no_data / TRAIN_LABELS).exists()


def test_offline_says_what_to_place_where(small, no_data):
    _, _, use = small
    use(mirrors=(DEAD, DEAD + "second/"))
    with refused("data", "fashion_mnist") as error:
        fashion_mnist()
    first = FASHION_MNIST.files[0].name
    for part in (first, str(no_data), "WIDTHWISE_DATA", "dataset-fashion-mnist", DEAD + "second/" + first):
        assert part in str(error.value)


def test_file_placed_in_the_cache_by_hand_is_kept(small, no_data, serve, write_idx):
    folder, arrays, use = small
    use(mirrors=(serve(folder),))
    no_data.mkdir(parents=True)
    placed = shutil.copy(folder / TRAIN_LABELS, no_data)
    before = Path(placed).stat().st_mtime_ns
    check(fashion_mnist(), arrays)
    assert Path(placed).stat().st_mtime_ns == before


def test_platform_cache_where_none_is_named(small, monkeypatch, tmp_path):
    folder, arrays, _ = small
    monkeypatch.delenv("WIDTHWISE_CACHE")
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "platform" / project)
    shutil.copytree(folder, tmp_path / "platform" / "widthwise" / "fashion_mnist")
    check(fashion_mnist(), arrays)
