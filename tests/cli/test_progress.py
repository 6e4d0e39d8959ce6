"""What a sweep tells while it runs: to a terminal alone, and of its speed only what it trained itself."""

import datetime
import io
import sys
import time

import pytest

from widthwise.cli import runs_text, runs_told

SWEEP = "transfer --data ok.npz --batch-size 8 --steps 1 --widths 4 --depth 2 --log2-rates -3 -3 1 --seeds 2 --out run"


class Terminal(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


class Bar:
    def __init__(self):
        self.told = []

    def advance(self, count, text=""):
        self.told.append((count, text))


def rows(count, diverged=0):
    return [{"diverged": index < diverged} for index in range(count)]


def test_speed_leaves_out_what_was_read_back(monkeypatch):
    clock = iter([100.0, 100.0, 104.0, 110.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    bar = Bar()
    bar.total = 50
    tell = runs_told(bar, already=20)
    for part in (rows(20, 1), rows(8), rows(22, 2)):
        tell(part)
    counts, texts = zip(*bar.told, strict=True)
    assert counts == (20, 8, 22)
    # Nothing trained yet, then 8 in 4 seconds, then nothing left.
    assert texts[0] == "30 left, 1 diverged"
    assert texts[1].startswith("22 left, 2 runs/s, ends ")
    assert texts[1].endswith(", 1 diverged")
    assert texts[2] == "0 left, 3 diverged"


def test_the_end_is_what_is_left_at_the_speed_so_far():
    noon = datetime.datetime(2026, 2, 28, 12)
    # 25 runs in 50 s, 75 left: 150 s.
    assert "ends 12:02:30" in runs_text(25, 100, 25, 0, 50.0, noon)
    # One run in 1000 s, 99 left: 27.5 hours.
    assert "ends 1 Mar 15:30" in runs_text(1, 100, 1, 0, 1000.0, noon)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_only_a_terminal_is_told(cli, loaded, monkeypatch, is_terminal):
    terminal = Terminal(is_terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    assert cli(SWEEP)[0] == 0
    said = terminal.getvalue()
    if not is_terminal:
        assert said == ""
    else:
        assert "2/2" in said
        diverged = sum(row["diverged"] for row in loaded("run/transfer.json")["curves"])
        assert f"0 left, {diverged} diverged" in said
