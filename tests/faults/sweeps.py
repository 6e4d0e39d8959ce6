"""A sweep as users start it, what they see of it from outside, and what must be true once it has ended."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# Four groups of six runs, each a second or two: long enough to be interrupted in, and one of them diverges at once.
SWEEP = (
    "transfer --data mlp_teacher --examples 512 --widths 16 128 144 160 --depth 3 --base-width 16 --batch-size 64 "
    "--steps 1200 --log2-rates -5 -3 1 --seeds 2"
)
RUNS = 6
# Of one run, in one place, at one time.
OF_THE_PLACE = {"host": None, "engine": None, "finished": None}
# Seconds: a machine may be busy with others, and a sweep takes ten alone.
PATIENCE = 900


def start(folder, line, out, *, environment=None, before=None):
    """The sweep in a process group of its own, as from a terminal: a shell's background job would ignore Ctrl-C."""

    def prepared():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if before is not None:
            before()

    return subprocess.Popen(
        [sys.executable, "-m", "widthwise", *line.split(), "--out", str(out)],
        cwd=folder,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepared,
    )


def ended(process):
    """Exit code and stderr of a process that ends by itself."""
    _, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err, err
    return process.returncode, err


def wait_until(ready, process=None):
    """Wait for something to become true while a process works."""
    until = time.monotonic() + PATIENCE
    while not (found := ready()):
        assert time.monotonic() < until, "waited in vain"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)
    return found


def lines(home):
    """The whole lines of the records: a kill may leave half of one, whose group is then run again."""
    path = home / "records.jsonl"
    found = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line for line in found if line.endswith(b"\n")]


def groups(home):
    """How many whole groups are stored."""
    return len(lines(home)) // RUNS


def comparable(home):
    found = [json.loads(line) for line in lines(home)]
    assert len({one["hash"] for one in found}) == len(found), "a run was stored twice"
    return {one["hash"]: one | OF_THE_PLACE | {"run": one["run"] | {"seconds": 0}} for one in found}


def results(home):
    payload = json.loads((home / "transfer.json").read_text())
    return payload["curves"], payload["summary"]


def finishes(folder, line, home, whole, kept):
    """The same command again ends the sweep: nothing stored is run again or lost."""
    assert ended(start(folder, line, home)) == (0, "")
    assert lines(home)[: len(kept)] == kept
    assert comparable(home) == comparable(whole)
    assert results(home) == results(whole)


def processes():
    """pid -> (parent, command line) of all processes that can be read."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(path.name)] = parent, (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError):
                continue
    return found


def descendants(pid, having=""):
    """The processes that a process has started, and they, whose command line has some text."""
    table = processes()
    found, fresh = [], [pid]
    while fresh:
        fresh = [child for child, (parent, _) in table.items() if parent in fresh]
        found += fresh
    return [child for child in found if having in table[child][1]]


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)
