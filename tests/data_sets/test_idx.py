import gzip
import hashlib
import struct

import numpy as np
import pytest
from refusals import refused

from widthwise.data import read_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 2), np.uint8)
HEADER = bytes([0, 0, 8, 3]) + struct.pack(">3I", *IMAGES.shape)
RAW = HEADER + IMAGES.tobytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "images.gz"


def test_round_trip(path, write_idx):
    np.testing.assert_array_equal(read_idx(write_idx(path, IMAGES)), IMAGES)
    np.testing.assert_array_equal(read_idx(write_idx(path, IMAGES[:, 0, 0])), IMAGES[:, 0, 0])


def test_hash_is_of_the_content_not_of_its_compression(path):
    sha256 = hashlib.sha256(RAW).hexdigest()
    for level in (1, 9):
        path.write_bytes(gzip.compress(RAW, level))
        np.testing.assert_array_equal(read_idx(path, sha256), IMAGES)


def test_wrong_hash_names_file_expected_and_found(path, write_idx):
    write_idx(path, IMAGES)
    with refused("data file", path) as error:
        read_idx(path, "0" * 64)
    for part in ("0" * 64, hashlib.sha256(RAW).hexdigest()):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (RAW[:-1], ["119 bytes", "120", "(20, 3, 2)"]),
        (RAW + b"x", ["more bytes", "120"]),
        (RAW[:9], ["header of 3 lengths"]),
        (b"", ["nothing"]),
        (b"\x80\x04\x95\x10pickle", ["80 04 95 10"]),
        (b"\0\0\x0d\x03" + RAW[4:], ["00 00 0d 03"]),
        (b"\0\0\x08\xff" + RAW[4:], ["00 00 08 ff"]),
        (b"\0\0\x08\x03" + b"\xff" * 12, ["(4294967295, "]),
    ],
)
def test_malformed(path, write_idx, raw, found):
    write_idx(path, raw)
    with refused("data file", path) as error:
        read_idx(path)
    assert all(part in error.value.problem for part in found), str(error.value)


@pytest.mark.parametrize("keep", [5, 30, -1])
def test_truncated_archive(path, write_idx, keep):
    path.write_bytes(write_idx(path, IMAGES).read_bytes()[:keep])
    with refused("data file", path):
        read_idx(path)


def test_flipped_bit_is_found_without_a_known_hash(path, write_idx):
    content = bytearray(write_idx(path, IMAGES).read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with refused("data file", path):
        read_idx(path)


def test_missing_folder_or_not_gzip(path):
    for place in (path, path.parent):
        with refused("data file", place):
            read_idx(place)
    path.write_bytes(RAW)
    with refused("data file", path):
        read_idx(path)
