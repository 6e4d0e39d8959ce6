"""`report --watch`: the page of a sweep that still runs, from its records; and the last page, once it has ended."""

import json
import re
import shutil
import time
import tracemalloc

import pytest
from refusals import refused

from widthwise import sweep
from widthwise.sweep import stored_payload

SWEEP = "transfer --data ok.npz --batch-size 8 --steps 1 --widths 4 5 --log2-rates -3 -2 1 --seeds 2 --out run"


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Where the first test that needs it leaves a sweep's directory."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def half(cli, here, once):
    """A sweep of two widths of which the first is stored; and what ends it."""
    if not (once / "run").exists():
        assert cli(SWEEP)[0] == 0
        shutil.copytree(here / "run", once / "run")
    home = shutil.copytree(once / "run", here / "run", dirs_exist_ok=True)
    whole, records = (home / "transfer.json").read_text(), (home / "records.jsonl").read_text()
    (home / "transfer.json").unlink()
    (home / "report.html").unlink()
    lines = records.splitlines(keepends=True)
    # The driver is in the middle of a line.
    (home / "records.jsonl").write_text("".join(lines[:4]) + lines[4][:50])

    def end():
        (home / "records.jsonl").write_text(records)
        (home / "transfer.json").write_text(whole)

    return home, end


def test_what_is_stored_is_told(half):
    home, end = half
    payload = stored_payload(home)
    assert (payload["runs"], payload["expected"]) == (4, 8)
    assert {row["width"] for row in payload["curves"]} == {4}
    end()
    whole, stored = json.loads((home / "transfer.json").read_text()), stored_payload(home)
    assert stored["curves"] == whole["curves"]
    assert stored["summary"] == whole["summary"]
    assert stored["costs"] == whole["costs"]


def test_watching_ends_with_the_sweep(cli, half, monkeypatch):
    home, end = half
    pages, waits, reads = [], [], []

    def sleep(seconds):
        pages.append((home / "report.html").read_text())
        waits.append(seconds)
        if len(waits) == 2:
            end()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(sweep, "stored_payload", lambda home: reads.append(home) or stored_payload(home))
    code, out, err = cli("report run --watch 5 --figures svg")
    assert code == 0
    assert waits == [5, 5]
    # Nothing new was stored between the first two looks: one page, which a browser reads again, from one reading.
    assert len(reads) == 2
    assert pages[0] == pages[1]
    assert 'http-equiv="refresh" content="5.0"' in pages[0]
    assert "So far 4 of 8 runs." in pages[0]
    assert re.findall(r"(\d+) of 8 runs", err) == ["4", "8"]
    last = (home / "report.html").read_text()
    assert "refresh" not in last
    assert "So far" not in last
    assert "report: run/report.html" in out


def test_memory_does_not_follow_the_length_of_records(half):
    home, _ = half
    record = json.loads((home / "records.jsonl").read_text().splitlines()[0])
    with (home / "records.jsonl").open("w") as file:
        for index in range(600):
            long = record["run"] | {"curve": [0.5] * 10_000}
            file.write(json.dumps(record | {"hash": f"{index:016x}", "run": long}) + "\n")
    tracemalloc.start()
    try:
        payload = stored_payload(home)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert payload["runs"] == 600
    # Of 30 MB: a few records at a time, and some twenty numbers of each; room for a spec of 10 MB is laid out at once.
    assert most < 13_000_000


@pytest.mark.parametrize("damage", [{"groups": {}}, {"groups": [1]}, {"groups": {"0": {"settings": 3}}}, {}])
def test_a_damaged_spec_is_an_error_and_no_traceback(half, damage):
    home, _ = half
    (home / "spec.json").write_text(json.dumps({"schema_version": 1, "kind": "transfer", "spec": damage}))
    with refused("run directory", home):
        stored_payload(home)


def test_what_is_no_sweep_is_refused(refuse, here):
    refuse("report empty --watch", "run directory", "empty")
    for text, value in (("0", 0.0), ("nan", float("nan")), ("fast", "fast")):
        refuse(f"report run --watch {text}", "--watch", value)
    with refused("run directory", here / "empty"):
        stored_payload(here / "empty")
