"""Groups in processes of this machine, spawned: each keeps its own memory, and one that dies takes nothing with it."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from typing import Any

import jax

from ..._errors import InputError
from .._group import Work
from .._run_sweep import Ended, Engine
from .._train_group import OnRuns
from ._task import Task, largest_first, not_ended, tasks_for, train_task

# Never fork: JAX has threads.
SPAWN = get_context("spawn")
# What the command line has set in this process, and a worker must know.
SETTINGS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


def in_processes(tasks: Sequence[Task], workers: int) -> Engine:
    """An engine of spawned processes that each train one group after the other.

    **Arguments:** `tasks`: of all groups, by index; `workers`: how many processes at most.

    **Raises:** `InputError` for less than one worker; from the engine, once all other groups have ended, for groups
    whose process died, with the signal that killed it.
    """
    if workers < 1:
        raise InputError(
            f"--workers is {workers}", setting="--workers", value=workers, remedy="at least one process is needed"
        )

    def engine(left: Sequence[Work], on_runs: OnRuns) -> Ended:
        queue = deque(largest_first(tasks_for(tasks, left)))
        pool: dict[connection.Connection, _Worker] = {}
        failures: list[tuple[Task, str]] = []
        try:
            while queue or pool:
                while queue and len(pool) < workers:
                    worker = _Worker(queue.popleft())
                    pool[worker.pipe] = worker
                ready = connection.wait(list(pool))
                for worker in [worker for pipe, worker in pool.items() if pipe in ready]:
                    kind, told = worker.heard()
                    if kind == "runs":
                        on_runs(told)
                        continue
                    task = worker.task
                    if kind == "records":
                        yield task.group, told
                    else:
                        failures.append((task, told))
                    if kind != "dead" and queue:
                        worker.train(queue.popleft())
                    else:
                        pool.pop(worker.pipe).close()
        finally:
            for worker in pool.values():
                worker.close()
        if failures:
            not_ended(failures, len(left))

    return engine


class _Worker:
    """One process and the task that it was given."""

    def __init__(self, task: Task) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        settings = {name: getattr(jax.config, name) for name in SETTINGS}
        self.process = SPAWN.Process(target=_serve, args=(theirs, settings), daemon=True)
        with _without_interrupts():
            self.process.start()
        theirs.close()
        self.train(task)

    def train(self, task: Task) -> None:
        """Send a task."""
        self.task = task
        with suppress(BrokenPipeError):  # it is dead, and the next word from it says so
            self.pipe.send(task)

    def heard(self) -> tuple[str, Any]:
        """What it says next; its death is the last word."""
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return "dead", _death(self.process.exitcode or 0)

    def close(self) -> None:
        """End it, whatever it is doing."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _death(code: int) -> str:
    """Why a process ended, as shells number it: 128 more than the signal's number."""
    if code >= 0:
        return f"its process ended with exit code {code}; its own message stands above"
    memory = "; if for want of memory, use fewer --workers" if -code == signal.SIGKILL else ""
    return f"its process was killed (exit code {128 - code}, {signal.strsignal(-code)}){memory}"


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process started inside never hears Ctrl-C: the terminal tells all, and the one that started it decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection, settings: dict[str, Any]) -> None:
    """The worker's side: train what is sent until the pipe closes."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # Several processes share a GPU: none may take its memory for itself.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    for name, value in settings.items():
        jax.config.update(name, value)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            told: tuple[str, Any] = ("records", train_task(task, "processes", lambda rows: pipe.send(("runs", rows))))
        except InputError as error:
            told = ("refused", str(error))
        pipe.send(told)


def _die_with_parent() -> None:
    """A driver that was killed cannot end its workers; without it nobody would store what they find."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
