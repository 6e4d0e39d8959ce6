"""kill -9 in the middle of a sweep's second group and of a training run; then the same command again."""

import hashlib
import json
import subprocess
import sys
import time

import pytest

# The second group is slow enough to be killed in: 128 units, one run after the other.
SWEEP = (
    "transfer --data mlp_teacher --examples 512 --batch-size 64 --widths 32 128 --log2-rates -4 -1 1 --seeds 2 "
    "--steps 1000 --base-width 32"
)
TRAIN = "train --data digits --width 64 --batch-size 64 --rate 0.1 --epochs 20 --momentum 0.9 --schedule cosine"


def start(folder, line):
    command = [sys.executable, "-m", "widthwise", *line.split()]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process):
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, b"")


def kill_when(process, ready):
    """SIGKILL as soon as `ready()`; the process must still have been at work."""
    try:
        while not ready():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
    finally:
        alive = process.poll() is None
        process.kill()
        process.communicate()
    assert alive
    assert process.returncode == -9


def lines_of(path):
    """The whole lines: a kill may leave half of one, whose group is then run again."""
    found = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line for line in found if line.endswith(b"\n")]


@pytest.mark.slow
def test_a_killed_sweep_loses_and_repeats_nothing(tmp_path):
    whole = start(tmp_path, SWEEP + " --out whole")
    killed = start(tmp_path, SWEEP + " --out killed")
    records = tmp_path / "killed" / "records.jsonl"
    kill_when(killed, lambda: len(lines_of(records)) >= 8)
    first = lines_of(records)
    assert len(first) == 8  # one whole group, and nothing of the second
    assert not (tmp_path / "killed" / "transfer.json").exists()
    assert not (tmp_path / "killed" / "report.html").exists()
    finish(start(tmp_path, SWEEP + " --out killed"))
    finish(whole)
    resumed = lines_of(records)
    # Byte for byte the same records, with their times: they were not run again.
    digests = [hashlib.sha256(b"".join(part)).hexdigest() for part in (first, resumed[:8])]
    assert digests[0] == digests[1]
    assert len(resumed) == 16
    payloads = [json.loads((tmp_path / name / "transfer.json").read_text()) for name in ("whole", "killed")]
    assert payloads[0]["curves"] == payloads[1]["curves"]
    assert payloads[0]["summary"] == payloads[1]["summary"]
    runs = [[json.loads(line)["run"] for line in lines_of(tmp_path / n / "records.jsonl")] for n in ("whole", "killed")]
    for one, other in zip(*runs, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_last_bit(tmp_path):
    whole = start(tmp_path, TRAIN + " --out whole --json whole.json")
    killed = start(tmp_path, TRAIN + " --out killed --json killed.json")
    kill_when(killed, (tmp_path / "killed" / "checkpoint").exists)
    assert not (tmp_path / "killed.json").exists()
    finish(start(tmp_path, TRAIN + " --out killed --json killed.json"))
    finish(whole)
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed"))
    times = {"train_seconds": 0, "compile_seconds": 0}
    assert one | times == other | times
    # Weights, the optimizer's memory and every step's loss, but for the run's name in the header.
    stored = [(tmp_path / name / "checkpoint").read_bytes() for name in ("whole", "killed")]
    assert stored[0] == stored[1]
