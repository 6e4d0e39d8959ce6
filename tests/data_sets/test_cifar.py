"""CIFAR-10 and -100 from small archives in their format: records of labels and three planes of 32 x 32 bytes."""

import dataclasses
import io
import json
import tarfile

import numpy as np
import pytest
from refusals import refused

from widthwise.cli import main
from widthwise.data import SOURCES, SourceFile, cifar10, cifar100, cifar_records, found_on_disk, load

DEAD = "http://127.0.0.1:9/"
LOADERS = {"cifar10": cifar10, "cifar100": cifar100}
# The public description of the formats: members, and how many bytes of labels a record starts with.
TRAIN = {
    "cifar10": [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in (1, 2, 3, 4, 5)],
    "cifar100": ["cifar-100-binary/train.bin"],
}
TEST = {"cifar10": "cifar-10-batches-bin/test_batch.bin", "cifar100": "cifar-100-binary/test.bin"}
CLASSES = {"cifar10": 10, "cifar100": 100}
MEAN = {"cifar10": (0.4914, 0.4822, 0.4465), "cifar100": (0.5071, 0.4865, 0.4409)}
STD = {"cifar10": (0.2470, 0.2435, 0.2616), "cifar100": (0.2673, 0.2564, 0.2762)}


def record(name, label, planes):
    """One example as its authors store it; CIFAR-100's coarse label, which nobody asked for, comes first."""
    coarse = bytes([label // 5]) if name == "cifar100" else b""
    return coarse + bytes([label]) + planes.tobytes()


def archive(name, seed=0):
    """A .tar.gz of 20 + 10 records, with the other members that the real ones have, and what it holds."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES[name], 30)
    planes = rng.integers(0, 256, (30, 3, 32, 32), np.uint8)
    stored = [record(name, int(label), image) for label, image in zip(labels, planes, strict=True)]
    parts = np.array_split(np.arange(20), len(TRAIN[name]))
    folder = TEST[name].split("/")[0]
    members = {f"{folder}/readme.html": b"<p>", f"{folder}/batches.meta.txt": b"airplane\n"}
    # The test file first: the order in the archive means nothing.
    members[TEST[name]] = b"".join(stored[20:])
    for member, part in zip(TRAIN[name], parts, strict=True):
        members[member] = b"".join(stored[index] for index in part)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        top = tarfile.TarInfo(folder)
        top.type = tarfile.DIRTYPE
        tar.addfile(top)
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue(), labels, planes.transpose(0, 2, 3, 1).reshape(30, 3072)


@pytest.fixture(params=["cifar10", "cifar100"])
def name(request):
    return request.param


@pytest.fixture
def small(name, cache, tmp_path, table, sha256_of):
    """A folder with a small archive, what it holds, and a table that expects just this one."""
    content, labels, x = archive(name)
    (tmp_path / "small").mkdir()
    path = tmp_path / "small" / SOURCES[name].files[0].name
    path.write_bytes(content)

    def use(*mirrors):
        files = (SourceFile(path.name, sha256_of(content)),)
        table[name] = dataclasses.replace(table[name], files=files, mirrors=mirrors)

    use()
    return path, labels, x, use


def check(data, labels, x):
    np.testing.assert_array_equal(data.x_train, x[:20])
    np.testing.assert_array_equal(data.y_train, labels[:20])
    np.testing.assert_array_equal(data.x_test, x[20:])
    np.testing.assert_array_equal(data.y_test, labels[20:])


@pytest.mark.parametrize("real", ["cifar10", "cifar100"])
def test_known_facts(real):
    if found_on_disk(real) is None:
        pytest.skip(f"{real} is not on this machine")
    data, classes = load(real), CLASSES[real]
    assert np.bincount(data.y_train).tolist() == [50_000 // classes] * classes
    assert np.bincount(data.y_test).tolist() == [10_000 // classes] * classes
    for channel in range(3):
        pixels = data.x_train[:, channel::3] / np.float32(255)
        expected = MEAN[real][channel], STD[real][channel]
        assert (pixels.mean(dtype=float), pixels.std(dtype=float)) == pytest.approx(expected, abs=1e-4)


def test_archive_in_an_explicit_folder(small, name):
    path, labels, x, _ = small
    data = LOADERS[name](path.parent)
    check(data, labels, x)
    check(load(name, data_dir=str(path.parent)), labels, x)
    assert (data.name, data.in_size, data.out_size) == (name, 3072, CLASSES[name])
    assert (data.image_shape, data.x_train.dtype) == ((32, 32, 3), np.uint8)
    counts = np.bincount(data.y_train, minlength=CLASSES[name])
    np.testing.assert_array_equal(counts, np.bincount(labels[:20], minlength=CLASSES[name]))


def test_every_color_has_its_own_normalization(small, name):
    path, _, x, _ = small
    data = LOADERS[name](path.parent)
    images = x[:20].reshape(20, 32, 32, 3) / 255
    expected = (images - np.array(MEAN[name])) / np.array(STD[name])
    ours = ((data.x_train - data.shift) / data.scale).reshape(20, 32, 32, 3)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_a_picture_made_by_hand(name):
    # Red: the upper edge. Green: the left edge. Blue: one point in row 2, column 5.
    red, green, blue = np.zeros((3, 32, 32), np.uint8)
    red[0], green[:, 0], blue[2, 5] = 255, 128, 7
    content = record(name, 9, np.stack([red, green, blue]))
    images, labels = cifar_records("by hand", content, len(content) - 3072)
    assert (images.shape, labels.tolist()) == ((1, 32, 32, 3), [9])
    assert images[0, 0, 0].tolist() == [255, 128, 0]
    assert images[0, 0, 31].tolist() == [255, 0, 0]
    assert images[0, 31, 0].tolist() == [0, 128, 0]
    assert images[0, 2, 5].tolist() == [0, 0, 7]
    assert images.sum(dtype=int) == 32 * 255 + 32 * 128 + 7


def test_half_the_size_in_every_color(small, name):
    path, _, x, _ = small
    data = load(name, data_dir=path.parent, image_size=16)
    assert data.image_shape == (16, 16, 3)
    blocks = x[:20].reshape(20, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(data.x_train, np.rint(blocks).reshape(20, 768))
    # One number a color, whatever the size.
    np.testing.assert_allclose(data.shift, np.tile(255 * np.array(MEAN[name]), 256), rtol=1e-14)


def test_train_from_the_command_line(small, name, tmp_path, float32):
    out = tmp_path / "out.json"
    line = f"--data {name} --data-dir {small[0].parent} --width 4 --depth 2 --batch-size 8 --steps 2 --rate 0.01"
    assert main(["train", *line.split(), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["parameters"] == 3072 * 4 + 4 * CLASSES[name]
    # One convolution of stride 2, flattened; two pooled ones; two branches, and the mean over pixels.
    for network, weights in (
        ("cnn --width 4 --depth 2", 27 * 4 + 16 * 16 * 4 * CLASSES[name]),
        ("vgg --channels 4,M,8,M", 27 * 4 + 9 * 4 * 8 + 8 * 8 * 8 * CLASSES[name]),
        ("residual_cnn --width 4 --depth 4", 27 * 4 + 2 * 9 * 4 * 4 + 4 * CLASSES[name]),
    ):
        line = f"--data {name} --data-dir {small[0].parent} --batch-size 8 --steps 1 --rate 0.01 --network {network}"
        assert main(["train", *line.split(), "--json", str(out)]) == 0
        assert json.loads(out.read_text())["parameters"] == weights


def test_download_then_cache(small, name, cache, serve):
    path, labels, x, use = small
    use(serve(path.parent))
    check(load(name), labels, x)
    assert [found.name for found in (cache / name).iterdir()] == [path.name]
    use(DEAD)
    check(load(name), labels, x)
    assert found_on_disk(name) == cache / name


def test_dead_wrong_and_truncated_mirrors_then_a_live_one(small, name, cache, tmp_path, serve):
    path, labels, x, use = small
    for folder, content in (("wrong", archive(name, seed=1)[0]), ("cut", path.read_bytes()[:-100])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / path.name).write_bytes(content)
    (tmp_path / "empty").mkdir()
    bad = [DEAD, *(serve(tmp_path / folder) for folder in ("wrong", "cut", "empty"))]
    use(*bad)
    with refused("data", name) as error:
        load(name)
    # Each mirror with what was wrong with it; nothing of them stays.
    assert [f"{url}{path.name}: " in str(error.value) for url in bad] == [True] * 4
    assert str(error.value).count("does not match the known hash") == 2
    assert "404" in str(error.value)
    assert not list((cache / name).iterdir())
    use(*bad, serve(path.parent))
    check(load(name), labels, x)


def test_connection_that_breaks_off_is_passed_over(small, name, serve, serve_cut):
    path, labels, x, use = small
    use(serve_cut(path.parent), serve(path.parent))
    check(load(name), labels, x)


def test_offline_says_what_to_place_where(small, name, cache):
    path, _, _, use = small
    use(DEAD)
    with refused("data", name) as error:
        load(name)
    for part in (path.name, str(cache / name), "WIDTHWISE_DATA", DEAD + path.name):
        assert part in error.value.remedy


@pytest.mark.parametrize("damage", ["another", "truncated", "longer"])
def test_file_placed_by_hand_is_checked(small, name, cache, damage, sha256_of):
    path, *_ = small
    content = path.read_bytes()
    changed = {"another": archive(name, seed=1)[0], "truncated": content[:-1], "longer": content + b"x"}[damage]
    (cache / name).mkdir(parents=True)
    placed = cache / name / path.name
    placed.write_bytes(changed)
    with refused("data file", placed) as error:
        load(name)
    for part in (sha256_of(content), sha256_of(changed)):
        assert part in str(error.value)
    assert placed.read_bytes() == changed


@pytest.mark.parametrize("content", [b"", b"x" * 3072, b"x" * 3074])
def test_content_that_is_no_whole_number_of_records(content):
    with refused("data file", "there") as error:
        cifar_records("there", content, 1)
    assert f"{len(content)} bytes, of records of 3073" in error.value.problem
