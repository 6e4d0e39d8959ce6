"""What a verb tells on stderr while it runs."""

import datetime
import sys
import time
from collections.abc import Callable
from typing import Any


def progress(total: int, unit: str) -> Any:
    """A progress bar on stderr: `.total`, `.advance(count, text)`, `.extend(count)`, `.close()`.

    Silent where stderr is no terminal.
    """
    return _Bar(total, unit)


def runs_told(bar: Any, already: int = 0) -> Callable[[list[dict[str, Any]]], None]:
    """A sweep's `on_runs` that moves a progress bar.

    **Arguments:** `bar`: of `progress`; `already`: runs that are read back instead of trained, and say nothing of the
    speed.
    """
    began, done, diverged = time.monotonic(), 0, 0

    def tell(rows: list[dict[str, Any]]) -> None:
        nonlocal done, diverged
        done += len(rows)
        diverged += sum(bool(row["diverged"]) for row in rows)
        now = datetime.datetime.now()
        trained = max(0, done - already)
        bar.advance(len(rows), runs_text(done, bar.total, trained, diverged, time.monotonic() - began, now))

    return tell


def runs_text(done: int, total: int, trained: int, diverged: int, seconds: float, now: datetime.datetime) -> str:
    """What is left of a sweep, its throughput, when it will end at that speed, and how many runs diverged so far.

    >>> runs_text(30, 90, 20, 2, 10.0, datetime.datetime(2026, 1, 1, 12, 0))
    '60 left, 2 runs/s, ends 12:00:30, 2 diverged'
    >>> runs_text(9, 90, 9, 0, 90.0, datetime.datetime(2026, 1, 1, 23, 50))
    '81 left, 6 runs/min, ends 2 Jan 00:03, 0 diverged'
    """
    parts = [f"{total - done} left"]
    if trained and seconds > 0 and done < total:
        speed = trained / seconds
        end = now + datetime.timedelta(seconds=(total - done) / speed)
        parts.append(f"{speed:.3g} runs/s" if speed >= 1 else f"{60 * speed:.3g} runs/min")
        parts.append(f"ends {f'{end.day} {end:%b %H:%M}' if end.date() != now.date() else f'{end:%H:%M:%S}'}")
    return ", ".join([*parts, f"{diverged} diverged"])


class _Bar:
    def __init__(self, total: int, unit: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            disable=not sys.stderr.isatty(),
        )
        self.total = total
        self._task = self._progress.add_task("widthwise", total=total, text="")
        self._progress.start()

    def advance(self, count: int, text: str = "") -> None:
        """Some more is done."""
        self._progress.update(self._task, advance=count, text=text)

    def extend(self, count: int) -> None:
        """So much more is to be done."""
        self.total += count
        self._progress.update(self._task, total=self.total)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()
