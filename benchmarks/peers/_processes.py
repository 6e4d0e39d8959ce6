"""Processes to measure in: one a library, started fresh, then answering orders in turns. Imports no library."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIVALS = ("jpc", "fabricpc", "pcx")


class WorkerFailed(Exception):
    """A process that ended, with the last of what it said."""


def environment(*, ours: bool) -> dict[str, str]:
    """No cache of compiled programs, no memory taken ahead; our code on the path for our own processes alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION_CACHE")}
    given = kept.pop("PYTHONPATH", "")
    if ours:
        # A widthwise that the caller put on the path comes before the one beside this file.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [given, str(ROOT)]))
    return kept | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def our_command(*words: str) -> list[str]:
    """Our own side; -P keeps the current folder off the path."""
    return [sys.executable, "-P", "-m", "benchmarks.peers.run_ours", *words]


class Worker:
    """A process that speaks JSON lines.

    **Arguments:** `command`; `ours`: whether it runs this library.
    """

    def __init__(self, command: Sequence[str], *, ours: bool) -> None:
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env=environment(ours=ours),
        )

    def hear(self) -> dict[str, Any]:
        """The next thing it says; what its libraries print between is skipped."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.said.seek(0)
        raise WorkerFailed(self.said.read().strip()[-800:] or f"exit code {self.process.wait()}")

    def ask(self, do: str, seconds: float) -> dict[str, Any]:
        """Have it run something for about so long."""
        assert self.process.stdin is not None
        # Where it has ended, `hear` says why.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"do": do, "seconds": seconds}) + "\n")
            self.process.stdin.flush()
        return self.hear()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.said):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ours(*words: str) -> Worker:
    """Our own worker; the words are those of `run_ours`."""
    return Worker(our_command(*words), ours=True)


def rival(name: str, interpreter: str, case: Path, *words: str) -> Worker:
    """A rival's worker."""
    return Worker([interpreter, str(HERE / f"run_{name}.py"), str(case), *words], ours=False)


def once(worker: Worker) -> dict[str, Any]:
    """The only thing that a worker says."""
    with worker:
        return worker.hear()


def importable(interpreter: str, module: str) -> str | None:
    """None where an interpreter can import a module, else why not."""
    words = [interpreter, "-c", f"import {module}"]
    try:
        done = subprocess.run(words, env=environment(ours=False), capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
