"""TensorBoard's events hold what the records hold, read back from the file format itself."""

import struct
import sys

import pytest
from refusals import refused

from widthwise.sweep import TensorBoard
from widthwise.training import Progress


def scalars(folder):
    """(tag, step, value) of every event: records of length, checksum, protocol buffer, checksum."""
    event = pytest.importorskip("tensorboardX.proto.event_pb2").Event
    found = []
    for file in sorted(folder.glob("events.*")):
        content, at = file.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            one = event.FromString(content[at + 12 : at + 12 + length])
            found += [(value.tag, one.step, round(value.simple_value, 4)) for value in one.summary.value]
            at += 16 + length
    return found


ROW = {
    "algorithm": "pc", "parameterization": "mup", "optimizer": "sgd", "width": 8, "depth": 3, "log2_rate": -2.0,
    "log2_activity_rate": None, "seed": 1, "final_loss": 0.25, "curve": [1.0, float("nan"), 0.5], "seconds": 2.0,
    "residual_median": None,
}  # fmt: skip


def test_a_run_is_a_folder_with_its_curve(tmp_path):
    pytest.importorskip("tensorboardX")
    TensorBoard(tmp_path).runs([ROW, ROW | {"seed": 2, "parameterization": "../../up"}])
    assert {path.name for path in tmp_path.iterdir()} == {"pc_mup_sgd_8_3_-2.0_1", "pc_..-..-up_sgd_8_3_-2.0_2"}
    # What diverged, and what was not measured, is left out.
    assert scalars(tmp_path / "pc_mup_sgd_8_3_-2.0_1") == [
        ("loss", 0, 1.0), ("loss", 2, 0.5), ("final_loss", 0, 0.25), ("seconds", 0, 2.0),
    ]  # fmt: skip


def test_epochs_are_points_at_their_last_step(tmp_path):
    pytest.importorskip("tensorboardX")
    mirror = TensorBoard(tmp_path)
    for done in (10, 20):
        mirror.progress(Progress(done, 10, 20, 1.0, {"loss": 1 / done}))
    mirror.close()
    assert scalars(tmp_path) == [("loss", 10, 0.1), ("loss", 20, 0.05)]


def test_missing_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with refused("--tensorboard", tmp_path) as error:
        TensorBoard(tmp_path)
    assert "widthwise[track]" in error.value.remedy
