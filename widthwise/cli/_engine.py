"""The flags that say where a sweep's groups are trained; none of them changes what is found."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from .._errors import InputError
from ..config import Run

# Which flags each engine takes; one that another engine would ignore is an error.
TAKES = {
    "local": (),
    "processes": ("workers",),
    "ray": ("address", "group_cpus", "group_gpus"),
    "slurm": ("workers", "group_cpus", "group_gpus", "slurm"),
}


def add_engine_flags(parser: argparse.ArgumentParser) -> None:
    """`--engine` and what belongs to it."""
    group = parser.add_argument_group("where it is run", "any engine resumes what another has begun")
    group.add_argument(
        "--engine", choices=TAKES, default="local",
        help="this process; processes of this machine; a Ray cluster; SLURM jobs, or the same jobs on this machine "
        "where there is no sbatch (local)",
    )  # fmt: skip
    group.add_argument("--workers", type=int, metavar="N", help="processes, or jobs of the array (the machine's cores)")
    group.add_argument("--address", metavar="HOST:PORT", help="of a running Ray cluster (one of this machine's own)")
    group.add_argument("--group-cpus", type=int, metavar="N", help="that Ray or SLURM gives each group (1)")
    group.add_argument("--group-gpus", type=int, metavar="N", help="the same of GPUs (0)")
    group.add_argument(
        "--slurm", nargs="+", metavar="NAME=VALUE",
        help="more of submitit's parameters, as timeout_min=240 slurm_partition=gpu",
    )  # fmt: skip


def check_engine_flags(values: argparse.Namespace) -> None:
    """Before anything is loaded: what does not go together, and the environment that workers inherit.

    **Raises:** `InputError` for a flag that the engine would ignore, and numbers out of range.
    """
    for name in ("workers", "address", "group_cpus", "group_gpus", "slurm"):
        value, flag = getattr(values, name), "--" + name.replace("_", "-")
        if value is not None and name not in TAKES[values.engine]:
            users = " or ".join(engine for engine, taken in TAKES.items() if name in taken)
            raise InputError(
                f"{flag} {value}: the engine {values.engine!r} has none",
                setting=flag,
                value=value,
                remedy=f"it belongs to --engine {users}",
            )
        if isinstance(value, int) and value < (0 if name == "group_gpus" else 1):
            raise InputError(
                f"{flag} is {value}",
                setting=flag,
                value=value,
                remedy=f"expected at least {0 if name == 'group_gpus' else 1}",
            )
    if values.rule is not None and values.engine != "local":
        raise InputError(
            f"--rule {values.rule}: the engine {values.engine!r} trains algorithms of this program alone, as "
            "its workers import nothing that a task names",
            setting="--rule",
            value=values.rule,
            remedy="a rule of one's own takes --engine local",
        )
    if values.engine == "slurm" and values.out is None:
        raise InputError(
            "--engine slurm needs --out DIR",
            setting="--engine",
            value=values.engine,
            remedy="give one, on a file system that all nodes see, as jobs leave results there",
        )
    if values.engine != "local":
        # This process trains nothing: a GPU's memory is for the workers.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def engine_of(
    values: argparse.Namespace,
    runs: Sequence[Run],
    groups: Sequence[Any],
    identities: Sequence[dict[str, Any]],
    data: Any,
) -> Any:
    """The engine that was asked for; None for this process."""
    if values.engine == "local":
        return None
    from ..sweep.engines import in_processes, on_ray, on_slurm, task_of

    rows = zip(runs, groups, identities, strict=True)
    tasks = [task_of(index, run, group, data, one) for index, (run, group, one) in enumerate(rows)]
    workers = os.cpu_count() or 1 if values.workers is None else values.workers
    cpus = 1 if values.group_cpus is None else values.group_cpus
    if values.engine == "processes":
        return in_processes(tasks, workers)
    if values.engine == "ray":
        return on_ray(tasks, values.address, cpus, values.group_gpus or 0)
    return on_slurm(tasks, values.out, workers, cpus, values.group_gpus or 0, _parameters(values.slurm or []))


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """`["timeout_min=240", "slurm_partition=gpu"]` as submitit takes them.

    >>> _parameters(["timeout_min=240", "slurm_partition=gpu"])
    {'timeout_min': 240, 'slurm_partition': 'gpu'}
    """
    parameters: dict[str, Any] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not (name and sign and value):
            raise InputError(
                f"--slurm {one!r}",
                setting="--slurm",
                value=one,
                remedy="expected NAME=VALUE, as timeout_min=240 or slurm_partition=gpu",
            )
        parameters[name] = int(value) if value.isdigit() else value
    return parameters
