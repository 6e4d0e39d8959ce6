"""Groups as SLURM jobs, submitted by submitit: one job array, each job a share of the groups of about equal cost.

Jobs leave what they find as JSON in the run directory's `parts/`, where the one driver that holds the store's lock
collects it. So a driver that is killed, or a login node that goes down, loses nothing that a job has finished.
submitit's own files, pickles among them, lie in a private folder of the user's cache, never in the run directory.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..._errors import InputError
from ...data import cache_folder, private_folder
from ...store import LONGEST_LINE, content_hash, read_json, write_json
from .._group import Work
from .._records import Records
from .._run_sweep import Ended, Engine
from .._train_group import OnRuns
from ._task import Task, balanced, not_ended, tasks_for, train_task

POLL_SECONDS = 1.0
# Long enough not to be what ends a job; a partition's own limit counts all the same.
TIMEOUT_MINUTES = 1440
SUBMITIT_LOGS = "SUBMITIT_LOG_LEVEL"


def on_slurm(
    tasks: Sequence[Task],
    directory: str | Path,
    workers: int,
    cpus: int = 1,
    gpus: int = 0,
    parameters: dict[str, Any] | None = None,
) -> Engine:
    """An engine that submits a job array; where there is no `sbatch`, submitit runs the same jobs on this machine.

    **Arguments:** `tasks`: of all groups, by index; `directory`: the sweep's, on a file system that all nodes see;
    `workers`: jobs in the array; `cpus`, `gpus`: of each; `parameters`: of submitit's executor, as
    `{"timeout_min": 240, "slurm_partition": "gpu"}`.

    **Raises:** `InputError` without submitit, for parameters that it does not know, and, once all jobs have ended,
    for groups that they did not.
    """
    submitit = _imported()
    if workers < 1:
        raise InputError(
            f"--workers is {workers}", setting="--workers", value=workers, remedy="at least one job is needed"
        )
    parts = Path(directory).absolute() / "parts"
    asked = {"name": "widthwise", "timeout_min": TIMEOUT_MINUTES, "cpus_per_task": cpus, "gpus_per_node": gpus}
    asked |= parameters or {}

    def engine(left: Sequence[Work], on_runs: OnRuns) -> Ended:
        if parts.is_symlink():
            raise InputError(
                f"run directory {parts} is a link",
                setting="run directory",
                value=parts,
                remedy="remove it, or use another --out",
            )
        parts.mkdir(exist_ok=True)
        waiting = {task.group: task for task in tasks_for(tasks, left)}
        # What the jobs of a driver that is no more have finished.
        failures: list[tuple[Task, str]] = []
        yield from _collected(parts, waiting, failures, on_runs)
        folder = Path(tempfile.mkdtemp(prefix="sweep-", dir=private_folder(cache_folder("jobs"))))
        jobs = _submitted(submitit, folder, asked, balanced(list(waiting.values()), workers), parts) if waiting else []
        try:
            while jobs:
                over = all(job.done() for job in jobs)
                yield from _collected(parts, waiting, failures, on_runs)
                if over:
                    break
                time.sleep(POLL_SECONDS)
        except BaseException:
            for job in jobs:
                if not job.done():
                    job.cancel()
            raise
        failures += [(task, f"its job left no result; its logs are in {folder}") for task in waiting.values()]
        if failures:
            not_ended(failures, len(left))
        shutil.rmtree(folder, ignore_errors=True)

    return engine


def _imported() -> Any:
    # As it is imported it configures `logging`, which closes all handlers that there are, and with absl's the stream
    # that was the standard error when JAX was imported. Jobs, which are processes of their own, keep its logs.
    before = os.environ.get(SUBMITIT_LOGS)
    os.environ[SUBMITIT_LOGS] = "NOCONFIG"
    try:
        import submitit
    except ImportError:
        raise InputError(
            "--engine slurm needs submitit",
            setting="--engine",
            value="slurm",
            remedy="python -m pip install 'widthwise[slurm]'",
        ) from None
    finally:
        del os.environ[SUBMITIT_LOGS]
        if before is not None:
            os.environ[SUBMITIT_LOGS] = before
    return submitit


def _submitted(
    submitit: Any, folder: Path, asked: dict[str, Any], shares: Sequence[list[Task]], parts: Path
) -> list[Any]:
    """One job a share."""
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm" if shutil.which("sbatch") else "local")
        executor.update_parameters(**asked)
        plain = [[task._asdict() for task in share] for share in shares]
        return executor.map_array(_Share(), plain, [parts] * len(shares))
    except (NameError, AssertionError, TypeError, submitit.core.utils.FailedJobError, FileNotFoundError) as error:
        raise InputError(
            f"--slurm {asked}: {str(error).strip().splitlines()[0]}",
            setting="--slurm",
            value=asked,
            remedy="give parameters that submitit knows, as timeout_min=240",
        ) from None


class _Share:
    """What a job runs: its share of the groups, each written as it ends; begun anew where SLURM preempts it."""

    def __call__(self, share: list[dict[str, Any]], parts: Path) -> None:
        for fields in share:
            task = Task(**fields)
            path = _part(parts, task)
            if path.exists():
                continue
            try:
                found: Any = train_task(task, "slurm")
            except InputError as error:
                found = {"refused": str(error)}
            write_json(path, found)

    def checkpoint(self, share: list[dict[str, Any]], parts: Path) -> Any:
        """What SLURM is to run instead, after preemption: the same; finished groups are found in `parts`."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, share, parts)


def _part(parts: Path, task: Task) -> Path:
    """Where a group's records lie until they are collected: a name made here, never one that was read."""
    return parts / f"{content_hash({'names': task.names()})}.json"


def _collected(
    parts: Path, waiting: dict[int, Task], failures: list[tuple[Task, str]], on_runs: OnRuns
) -> Iterator[tuple[int, Records]]:
    """The groups that have ended since; each file is deleted once the store has its records."""
    for index, task in list(waiting.items()):
        path = _part(parts, task)
        if not path.is_symlink() and not path.exists():
            continue
        found = _read(path, task)
        if isinstance(found, str):
            failures.append((waiting.pop(index), found))
        elif found is not None:
            del waiting[index]
            on_runs([record["run"] for record in found])
            yield index, found
        path.unlink()


def _read(path: Path, task: Task) -> Records | str | None:
    """What a job left: records, its refusal, or None where the file is not what a job writes."""
    names = task.names()
    try:
        found = read_json(path, LONGEST_LINE * len(names))
    except InputError:
        return None
    if isinstance(found, dict) and isinstance(found.get("refused"), str):
        return found["refused"]
    good = isinstance(found, list) and all(isinstance(one, dict) and isinstance(one.get("run"), dict) for one in found)
    return found if good and [one.get("hash") for one in found] == names else None
