import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from refusals import refused

from widthwise.sweep import RunStore, content_hash, jsonable, read, read_json, stream, write_json

SPEC = {"network": {"depth": 3, "widths": (64, 128)}, "rate": 0.5, "seeds": 3}


def open_store(home, **changes):
    return RunStore.open(home, kind="transfer", spec=SPEC | changes)


def group(number, members=3):
    return [{"hash": f"{number}-{i}", "group": str(number), "curve": [0.5] * 20} for i in range(members)]


def hashes(number, members=3):
    return [f"{number}-{i}" for i in range(members)]


def python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def home(tmp_path):
    """A run directory with two finished groups."""
    directory = tmp_path / "deep" / "run"
    with open_store(directory) as store:
        store.append(group(0))
        store.append(group(1))
    return directory


def test_stores_and_resumes(home):
    assert sorted(os.listdir(home)) == ["lock", "records.jsonl", "spec.json"]
    with open_store(home) as store:
        assert store.finished(hashes(0))
        assert store.finished(hashes(1))
        assert not store.finished([*hashes(0), "other"])
        assert (store.dropped, store.corrupt) == (0, 0)
        store.append(group(2))
        assert store.finished(hashes(2))
        assert list(store.records()) == [*hashes(0), *hashes(1), *hashes(2)]
        assert all(record["schema_version"] == 1 for record in store.records().values())
        spec, records = read(home)  # while the store is open
    assert spec == {"schema_version": 1, "kind": "transfer", "spec": jsonable(SPEC)}
    assert [record["hash"] for record in records] == [*hashes(0), *hashes(1), *hashes(2)]
    with pytest.raises(ValueError, match="closed"):
        store.append(group(3))


def test_later_record_wins(home):
    with open_store(home) as store:
        store.append([{"hash": "0-1", "group": "0", "loss": 2.0}])
        assert store.records()["0-1"]["loss"] == 2.0
        assert len(store.records()) == 6


def test_a_record_needs_hash_and_group(home):
    with open_store(home) as store:
        for record in ({"hash": "x"}, {"group": "x"}, {"hash": 3, "group": "x"}):
            with pytest.raises(ValueError, match="hash and a group"):
                store.append([*group(2), record])
        assert len(store.records()) == 6


def test_killed_at_any_byte_of_the_second_group(home):
    whole = (home / "records.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    start = len(b"".join(lines[:3]))
    for cut in range(start, len(whole) + 1, 7):
        (home / "records.jsonl").write_bytes(whole[:cut])
        survivors = 3 + whole[start:cut].count(b"\n")
        assert len(read(home)[1]) == survivors
        with open_store(home) as store:
            assert store.finished(hashes(0))
            assert store.finished(hashes(1)) == (cut == len(whole))
            kept = b"".join(lines[:survivors])
            assert store.dropped == cut - len(kept)
            assert (home / "records.jsonl").read_bytes() == kept
            store.append(group(1))
            assert store.finished(hashes(1))
        assert {record["hash"] for record in read(home)[1]} == {*hashes(0), *hashes(1)}


def test_reading_changes_nothing(home):
    with (home / "records.jsonl").open("ab") as file:
        file.write(b'{"hash": "2-0", "gro')
    before = (home / "records.jsonl").read_bytes()
    assert len(read(home)[1]) == 6
    assert (home / "records.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"\x00\xff\x00",
        b"[1, 2]",
        b"{}",
        b'{"hash": 3, "schema_version": 1}',
        b'{"hash": "x", "group": "g"}',
        b'{"hash": "x", "schema_version": 1, "loss": NaN}',
        b"[" * 100_000,
        b'{"hash": "x", "schema_version": ' + b"9" * 5000 + b"}",
    ],
    ids=range(10),
)
def test_corrupt_lines_are_skipped_and_counted(home, line):
    lines = (home / "records.jsonl").read_bytes().splitlines()
    lines[1] = line
    (home / "records.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with open_store(home) as store:
        assert (store.corrupt, store.dropped) == (1, 0)
        assert not store.finished(hashes(0))
        assert store.finished(hashes(1))
    assert len(read(home)[1]) == 5


def test_the_lock_holds_against_another_process_until_kill_9(home):
    holder = python(
        "import sys; from widthwise.store import RunStore\n"
        "with RunStore.open(sys.argv[1], kind='train', spec={}): print('held', flush=True); sys.stdin.read()",
        held := home.parent / "held",
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with refused("run directory", held) as error:
            RunStore.open(held, kind="train", spec={})
        assert str(holder.pid) in error.value.problem
        assert read(held)[1] == []
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with RunStore.open(held, kind="train", spec={}) as store:
        assert (held / "lock").read_text() == f"{os.getpid()}\n"
        with refused("run directory", held) as error:  # a second time in one process
            RunStore.open(held, kind="train", spec={})
        assert str(os.getpid()) in error.value.problem
        store.append(group(0))
    with RunStore.open(held, kind="train", spec={}) as store:
        assert store.finished(hashes(0))


def test_a_failed_open_gives_the_lock_up(home):
    with refused("run directory", home):
        open_store(home, rate=1.0)
    open_store(home).close()


APPEND_FOR_EVER = """
import itertools, sys
from widthwise.store import RunStore
with RunStore.open(sys.argv[1], kind="train", spec={}) as store:
    for n in itertools.count():
        store.append([{"hash": f"{n}-{i}", "group": str(n), "curve": [0.1] * 20000} for i in range(20)])
        print(n, flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.013, 0.05])
def test_kill_9_while_appending_loses_no_acknowledged_group(tmp_path, delay):
    writer = python(APPEND_FOR_EVER, tmp_path / "run")
    assert writer.stdout.readline() == "0\n"
    time.sleep(delay)
    writer.send_signal(signal.SIGKILL)
    output, errors = writer.communicate()
    assert errors == ""
    acknowledged = 1 + len(output.split())
    with RunStore.open(tmp_path / "run", kind="train", spec={}) as store:
        assert all(store.finished(hashes(n, 20)) for n in range(acknowledged))
        assert not store.finished(hashes(acknowledged + 1, 20))
        assert store.corrupt == 0
        store.append(group(acknowledged, 20))
        assert store.finished(hashes(acknowledged, 20))


APPEND_TO_A_FULL_DISK = """
import resource, signal, sys
from widthwise import InputError
from widthwise.store import RunStore, write_json
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with RunStore.open(sys.argv[1], kind="train", spec={}) as store:
    store.append([{"hash": f"0-{i}", "group": "0"} for i in range(3)])
    write_json(sys.argv[1] + "/result.json", {"old": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    for attempt in (
        lambda: store.append([{"hash": f"1-{i}", "group": "1", "curve": [0.5] * 200} for i in range(30)]),
        lambda: write_json(sys.argv[1] + "/result.json", {"new": [0.5] * 5000}),
    ):
        try:
            attempt()
        except InputError as error:
            print(error)
    assert store.finished(["0-0", "0-1", "0-2"]) and not store.finished(["1-0"])
    store.append([{"hash": "2-0", "group": "2"}])
"""


def test_full_disk_loses_nothing(tmp_path):
    writer = python(APPEND_TO_A_FULL_DISK, tmp_path / "run")
    output, errors = writer.communicate()
    assert errors == ""
    assert len(output.splitlines()) == 2
    assert all("disk is full" in line and "same command resumes" in line for line in output.splitlines())
    assert list({record["group"]: 0 for record in read(tmp_path / "run")[1]}) == ["0", "2"]
    assert json.loads((tmp_path / "run/result.json").read_text()) == {"old": 1}
    assert sorted(os.listdir(tmp_path / "run")) == ["lock", "records.jsonl", "result.json", "spec.json"]
    with RunStore.open(tmp_path / "run", kind="train", spec={}) as store:
        assert (store.dropped, store.corrupt) == (0, 0)
        assert store.finished(hashes(0))
        assert not store.finished(["1-0"])


class Interrupted:
    """A file whose second write is interrupted, after a part of the first."""

    def __init__(self, file):
        self.file, self.writes = file, 0

    def write(self, block):
        self.writes += 1
        if self.writes > 1:
            raise KeyboardInterrupt
        return self.file.write(block[: len(block) // 2])

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_interrupt_while_appending_leaves_no_torn_line(home, monkeypatch):
    with open_store(home) as store:
        before = (home / "records.jsonl").read_bytes()
        monkeypatch.setattr(store, "_file", Interrupted(store._file))
        with pytest.raises(KeyboardInterrupt):
            store.append(group(2))
        assert (home / "records.jsonl").read_bytes() == before
        assert not store.finished(hashes(2))


def test_interrupt_after_a_group_is_written_keeps_it(home, monkeypatch):
    with open_store(home) as store:

        def interrupt(_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.append(group(2))
    with open_store(home) as store:
        assert (store.dropped, store.corrupt) == (0, 0)
        assert store.finished(hashes(2))


def test_records_are_read_by_name_one_by_one(home):
    with open_store(home) as store:
        store.append([{"hash": "0-1", "group": "0", "later": True}])
        store.append(group(2))
        wanted = ["2-1", "0-1", "1-0"]
        found = list(store.of(wanted))
        assert len(store) == 9
    assert [record["hash"] for record in found] == wanted
    assert [record.get("later") for record in found] == [None, True, None]
    with open_store(home) as store:
        assert list(store.of(wanted)) == found
    # As `read` gives them: of two records with one hash the later.
    assert {one["hash"]: one for one in stream(home)} == {one["hash"]: one for one in read(home)[1]}
    assert len(list(stream(home))) == 9


def test_a_store_changed_behind_its_back_is_told(home):
    with open_store(home) as store:
        lines = (home / "records.jsonl").read_bytes().splitlines(keepends=True)
        (home / "records.jsonl").write_bytes(b"".join(lines[1:]))
        with refused("file", home / "records.jsonl"):
            list(store.of(hashes(0)))


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"NaN"], ids=["torn", "deep", "NaN"])
def test_a_json_file_from_anyone(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with refused("file", path):
        read_json(path)
    path.write_bytes(b" " * 3000 + b"1")
    assert read_json(path) == 1
    with refused("file", path) as error:
        read_json(path, 3000)
    assert "3000" in error.value.problem
    (tmp_path / "link.json").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("link.json", "pipe.json"):
        with refused("file", tmp_path / name):
            read_json(tmp_path / name)


def test_another_schema_version(home):
    spec = json.loads((home / "spec.json").read_text())
    (home / "spec.json").write_text(json.dumps(spec | {"schema_version": 7}))
    for attempt in (open_store, read):
        with refused("file", home / "spec.json") as error:
            attempt(home)
        assert "7, not 1" in error.value.problem
    (home / "spec.json").write_text(json.dumps(spec))
    with (home / "records.jsonl").open("a") as file:
        file.write('{"schema_version": 2, "hash": "x", "group": "g"}\n{"torn')
    before = (home / "records.jsonl").read_bytes()
    for attempt in (open_store, read):
        with refused("file", home / "records.jsonl") as error:
            attempt(home)
        assert "2, not 1" in error.value.problem
    assert (home / "records.jsonl").read_bytes() == before


def test_another_spec_names_the_fields(home):
    with refused("run directory", home) as caught:
        RunStore.open(
            home,
            kind="transfer",
            spec={"network": {"depth": 4, "widths": [64, 128]}, "rate": 0.5, "bias": True},
        )
    message = caught.value.problem
    assert "network.depth (3 stored, 4 given)" in message
    assert "bias (nothing stored, true given)" in message
    assert "seeds (3 stored, nothing given)" in message
    assert "widths" not in message
    assert "rate" not in message
    with refused("run directory", home) as caught:
        open_store(home, **{f"e{i}": i for i in range(9)})
    assert ["e4 " in caught.value.problem, "e5 " in caught.value.problem] == [True, False]
    with refused("run directory", home) as caught:
        RunStore.open(home, kind="train", spec=SPEC)
    assert all(kind in caught.value.problem for kind in ("transfer", "train"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 1}', "[" * 100_000])
def test_damaged_spec(home, text):
    (home / "spec.json").write_text(text)
    for attempt in (open_store, read):
        with refused("file", home / "spec.json"):
            attempt(home)


def test_not_a_run_directory(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with refused("run directory", tmp_path) as error:
        open_store(tmp_path)
    assert "notes.txt" in error.value.problem
    assert os.listdir(tmp_path) == ["notes.txt"]
    with refused("run directory", tmp_path / "notes.txt"):
        open_store(tmp_path / "notes.txt")
    with refused("file", tmp_path / "notes.txt" / "run"):
        open_store(tmp_path / "notes.txt" / "run")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "notes.txt"):
        with refused("run directory", path):
            read(path)


def test_killed_at_the_very_start(tmp_path):
    (tmp_path / "lock").write_text("123\n")
    (tmp_path / ".spec.json.123.tmp").write_text('{"sch')
    with open_store(tmp_path) as store:
        assert store.records() == {}
    (tmp_path / "records.jsonl").unlink()
    assert read(tmp_path)[1] == []


OPEN_WITHOUT_PERMISSION = """
import os, sys
from widthwise import InputError
from widthwise.store import RunStore, read
if os.geteuid() == 0:  # root may do everything, nobody may not
    os.seteuid(65534)
for attempt in (lambda: RunStore.open(sys.argv[1], kind="train", spec={}), lambda: read(sys.argv[1])):
    try:
        attempt()
    except InputError as error:
        print(error.setting, error.value)
"""


def test_no_permission(home):
    home.chmod(0)
    output, errors = python(OPEN_WITHOUT_PERMISSION, home).communicate()
    home.chmod(0o700)
    assert errors == ""
    assert output.splitlines() == [f"file {home}"] * 2


@pytest.mark.parametrize("name", ["spec.json", "records.jsonl", "lock"])
@pytest.mark.parametrize("make", [os.symlink, lambda _, link: os.mkfifo(link), lambda _, link: os.mkdir(link)])
def test_links_and_pipes_are_refused(home, tmp_path, name, make):
    outside = tmp_path / "outside"
    outside.write_bytes((home / name).read_bytes() + b"tail")
    before = outside.read_bytes()
    (home / name).unlink()
    make(outside, home / name)
    with refused("file", home / name):
        open_store(home)
    if name != "lock":
        with refused("file", home / name):
            read(home)
    assert outside.read_bytes() == before


def test_a_dangling_link_creates_nothing(home, tmp_path):
    (home / "records.jsonl").unlink()
    (home / "records.jsonl").symlink_to(tmp_path / "absent")
    for attempt in (open_store, read):
        with refused("file", home / "records.jsonl"):
            attempt(home)
    assert not (tmp_path / "absent").exists()


def test_names_in_records_reach_no_file(home, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with open_store(home) as store:
        store.append([{"hash": "../../escape", "group": "/etc/passwd", "class": "os.system"}])
    assert len(read(home)[1]) == 7
    assert sorted(tmp_path.rglob("*")) == before


def test_long_lines_are_refused(home, monkeypatch):
    monkeypatch.setattr("widthwise.store._run_directory.LONGEST_LINE", 2000)
    with open_store(home) as store:
        with refused("run", "2-1"):
            store.append([*group(2, 1), {"hash": "2-1", "group": "2", "curve": [0.5] * 1000}])
        assert not store.finished(["2-0"])
    with (home / "records.jsonl").open("a") as file:
        file.write('{"x": "' + "y" * 3000)
    for attempt in (open_store, read):
        with refused("file", home / "records.jsonl"):
            attempt(home)


def test_what_is_not_finite_becomes_null(home):
    record = {
        "hash": "n",
        "group": "g",
        "loss": float("nan"),
        "nested": [{"a": (float("inf"), 1.5)}],
        "scalar": np.float32("-inf"),
        "double": np.float64("nan"),
        "array": np.array([[1.0, np.nan]]),
        "count": np.int64(3),
        "flag": np.bool_(True),
        7: None,
    }
    with open_store(home) as store:
        store.append([record])
    text = (home / "records.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert read(home)[1][-1] == {
        "hash": "n",
        "group": "g",
        "loss": None,
        "nested": [{"a": [None, 1.5]}],
        "scalar": None,
        "double": None,
        "array": [[1.0, None]],
        "count": 3,
        "flag": True,
        "7": None,
        "schema_version": 1,
    }
    assert type(jsonable(np.float64(1.5))) is float


def test_write_json_is_atomic(tmp_path):
    path = tmp_path / "out.json"
    write_json(path, {"z": float("nan"), "a": 1})
    assert path.read_text() == '{\n "z": null,\n "a": 1\n}\n'
    with pytest.raises(TypeError):
        write_json(path, {"z": object()})
    assert json.loads(path.read_text()) == {"z": None, "a": 1}
    assert os.listdir(tmp_path) == ["out.json"]
    with refused("file", tmp_path / "absent" / "out.json"):
        write_json(tmp_path / "absent" / "out.json", {})
    (tmp_path / "link.json").symlink_to("/dev/null")
    for target in (tmp_path / "link.json", "/dev/null", tmp_path):
        with refused("file", target):
            write_json(target, {})


def test_content_hash_is_stable():
    assert content_hash({"rate": 0.1, "widths": [1, 2]}) == content_hash({"widths": (1, 2), "rate": np.float64(0.1)})
    assert content_hash({"rate": 0.1}) != content_hash({"rate": math.nextafter(0.1, 1)})
    assert content_hash({"rate": 0.1}) == "1b8466c9cf756166"
    assert len({content_hash({"seed": seed}) for seed in range(100)}) == 100


def test_ten_thousand_runs_open_quickly(tmp_path):
    with open_store(tmp_path / "run") as store:
        store.append(group(0, 10_000))
    # In a process of its own, as users run it: here every call is type-checked, a hundred times slower. Its processor
    # time, as the machine may be busy with others.
    code = (
        "import sys, time; from widthwise.store import RunStore; start = time.process_time()\n"
        f"with RunStore.open(sys.argv[1], kind='transfer', spec={SPEC!r}) as store:\n"
        "    assert store.finished(f'0-{i}' for i in range(10_000))\n"
        "print(time.process_time() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) < 2
