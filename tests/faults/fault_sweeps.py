"""Sweeps that are killed, interrupted, starved, cut short and crowded; then the same command again."""

import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest
from faults.sweeps import (
    PATIENCE,
    RUNS,
    SWEEP,
    descendants,
    ended,
    finishes,
    groups,
    kill,
    lines,
    start,
    wait_until,
)

TWO = f"{SWEEP} --engine processes --workers 2"
JOBS = f"{SWEEP} --engine slurm --workers 2"


def workers(process):
    return descendants(process.pid, "multiprocessing.spawn")


def begun(folder, line, home, **settings):
    """A sweep that has stored a group and is at work on another."""
    process = start(folder, line, home, **settings)
    wait_until(lambda: groups(home) >= 1, process)
    return process


def test_a_worker_is_killed(tmp_path, whole):
    home = tmp_path / "run"
    process = begun(tmp_path, TWO, home)
    kill(workers(process)[0])
    code, err = ended(process)
    assert code == 2
    # 137, as shells, containers and SLURM number what the kernel kills for want of memory.
    assert "1 of 4 groups did not end" in err
    assert "exit code 137" in err
    # The other worker has ended all other groups.
    assert groups(home) == 3
    finishes(tmp_path, TWO, home, whole, lines(home))


def test_a_worker_has_no_memory_left(tmp_path, whole):
    home = tmp_path / "run"
    process = begun(tmp_path, TWO, home)
    for worker in workers(process):
        resource.prlimit(worker, resource.RLIMIT_AS, (1, 1))
    code, err = ended_whatever_it_says(process)
    assert code == 2
    assert "did not end" in err.splitlines()[-1]
    kept = lines(home)
    assert len(kept) % RUNS == 0
    finishes(tmp_path, TWO, home, whole, kept)


def ended_whatever_it_says(process):
    """A process without memory may die with words of its own."""
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


@pytest.mark.parametrize("line", [SWEEP, TWO, JOBS], ids=["local", "processes", "slurm"])
def test_the_driver_is_killed(tmp_path, whole, line):
    home = tmp_path / "run"
    process = begun(tmp_path, line, home)
    children = workers(process)
    kill(process.pid)
    process.communicate()
    assert groups(home) < 4
    kept = lines(home)
    kept = kept[: len(kept) // RUNS * RUNS]
    # Workers whose driver is gone end by themselves: nobody would store what they find.
    wait_until(lambda: not any(map(alive, children)))
    finishes(tmp_path, line, home, whole, kept)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("line", [SWEEP, TWO], ids=["local", "processes"])
def test_ctrl_c(tmp_path, whole, line):
    home = tmp_path / "run"
    process = begun(tmp_path, line, home)
    children = workers(process)
    os.killpg(process.pid, signal.SIGINT)
    code, err = ended(process)
    assert (code, err.count("\n")) == (130, 1)
    assert "interrupted; what was stored stays" in err
    assert not any(map(alive, children))
    assert 1 <= groups(home) < 4
    finishes(tmp_path, line, home, whole, lines(home))


@pytest.fixture
def small_disk(tmp_path, whole):
    """A file system with room for two groups, and a function that makes it larger; None where none may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    # Half a group for what takes whole pages: the folder's own files.
    size = (whole / "spec.json").stat().st_size + (whole / "records.jsonl").stat().st_size * 5 // 8
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True)
    if done.returncode != 0:
        yield None
        return
    try:
        yield disk, lambda: subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_disk_is_full(tmp_path, whole, small_disk):
    limit, grow = None, lambda: None
    home = tmp_path / "run"
    if small_disk is None:
        size = sum(map(len, lines(whole)[: 2 * RUNS])) + 10
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    else:
        home, grow = small_disk[0] / "run", small_disk[1]
    code, err = ended(start(tmp_path, SWEEP, home, before=limit))
    assert code == 2
    assert "the disk is full" in err
    kept = lines(home)
    assert 0 < len(kept) < 4 * RUNS
    assert len(kept) % RUNS == 0
    grow()
    finishes(tmp_path, SWEEP, home, whole, kept)


def copied(tmp_path, whole, count):
    """A sweep that was stopped after some lines."""
    home = tmp_path / "run"
    home.mkdir()
    shutil.copy(whole / "spec.json", home)
    (home / "records.jsonl").write_bytes(b"".join(lines(whole)[:count]))
    return home


@pytest.mark.parametrize("cut", [1, 700, 2500])
def test_a_record_is_cut_short(tmp_path, whole, cut):
    home = copied(tmp_path, whole, 3 * RUNS)
    path = home / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    kept = lines(whole)[: 3 * RUNS - 1]
    assert lines(home) == kept
    # The third group lacks a run: it is run again whole, and the records that it had are superseded.
    assert ended(start(tmp_path, SWEEP, home)) == (0, "")
    found = lines(home)
    assert found[: len(kept)] == kept
    again = [json.loads(line)["group"] for line in found[len(kept) :]]
    assert again == [2] * RUNS + [3] * RUNS
    last = {json.loads(line)["hash"]: strip(line) for line in found}
    assert last == {json.loads(line)["hash"]: strip(line) for line in lines(whole)}


def strip(line):
    record = json.loads(line)
    return record["spec"], record["run"] | {"seconds": 0}


TRAIN = "train --data digits --width 64 --batch-size 64 --rate 0.1 --epochs 12 --momentum 0.9"


def test_a_checkpoint_is_cut_short(tmp_path, programs):
    assert ended(start(tmp_path, f"{TRAIN} --json whole.json", tmp_path / "whole")) == (0, "")
    process = start(tmp_path, f"{TRAIN} --json run.json", tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint"
    wait_until(checkpoint.exists, process)
    kill(process.pid)
    process.communicate()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    code, err = ended(start(tmp_path, f"{TRAIN} --json run.json", tmp_path / "run"))
    assert code == 0
    assert "checkpoint.damaged, and this run begins again" in err
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "run"))
    times = {"train_seconds": 0, "compile_seconds": 0}
    assert one | times == other | times
    assert checkpoint.read_bytes() == (tmp_path / "whole" / "checkpoint").read_bytes()


def test_two_drivers_on_one_directory(tmp_path, whole):
    home = tmp_path / "run"
    first = begun(tmp_path, SWEEP, home)
    for line in (SWEEP, TWO):
        code, err = ended(start(tmp_path, line, home))
        assert code == 2
        assert f"another process (pid {first.pid}) is using" in err
    assert ended(first) == (0, "")
    kept = lines(home)
    assert len(kept) == 4 * RUNS
    finishes(tmp_path, SWEEP, home, whole, kept)


EARLIER = """
import datetime, time
BACK = 400 * 24 * 3600
real, now = time.time, datetime.datetime.now
time.time = lambda: real() - BACK
time.time_ns = lambda: int(time.time() * 1e9)

class Earlier(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return now(tz) - datetime.timedelta(seconds=BACK)

datetime.datetime = Earlier
"""


def test_the_clock_is_set_back(tmp_path, whole):
    home = tmp_path / "run"
    process = begun(tmp_path, SWEEP, home)
    kill(process.pid)
    process.communicate()
    kept = lines(home)[: groups(home) * RUNS]
    # Python's clock in the next process, and the files' times as seen from it.
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(EARLIER)
    for path in home.iterdir():
        os.utime(path, (time.time() + 1e6, time.time() + 1e6))
    code, err = ended(start(tmp_path, SWEEP, home, environment={"PYTHONPATH": str(tmp_path / "clock")}))
    assert (code, err) == (0, "")
    times = [json.loads(line)["finished"] for line in lines(home)]
    assert times[-1] < times[0], "the clock was not set back"
    finishes(tmp_path, SWEEP, home, whole, lines(home))
    assert lines(home)[: len(kept)] == kept


def test_runs_that_diverge(tmp_path, programs):
    line = SWEEP.replace("-5 -3 1", "-4 126 130")
    assert ended(start(tmp_path, line, tmp_path / "whole")) == (0, "")
    runs = [json.loads(one)["run"] for one in lines(tmp_path / "whole")]
    far = [run for run in runs if run["log2_rate"] == 126]
    assert len(far) == 8
    assert all(run["diverged"] and run["final_loss"] is None for run in far)
    assert not any(run["diverged"] for run in runs if run["log2_rate"] == -4)
    assert b"NaN" not in (tmp_path / "whole" / "records.jsonl").read_bytes()
    process = start(tmp_path, line, tmp_path / "run")
    wait_until(lambda: len(lines(tmp_path / "run")) >= 4, process)
    kill(process.pid)
    process.communicate()
    kept = lines(tmp_path / "run")[:4]
    finishes(tmp_path, line, tmp_path / "run", tmp_path / "whole", kept)
