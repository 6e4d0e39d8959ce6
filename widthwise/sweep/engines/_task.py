"""A group as plain data, and how any process trains it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax

from ..._errors import InputError
from ...algorithms import AbstractAlgorithm
from ...config import (
    LOSSES,
    Run,
    algorithm_of,
    build_of,
    checked,
    data_of,
    found,
    optimizer_settings,
    schedule_settings,
    table_of,
)
from ...data import Dataset
from ...parameterizations import Parameterization
from .._group import Group, Member, Work
from .._records import Records, records, run_names
from .._train_group import OnRuns, Training, group_runner
from ._flops import flops

STEPS = 40


class Task(NamedTuple):
    """Runs of one group as plain data: what another process or machine needs to train them.

    **Fields:** `group`: its index in the sweep; `run`: the fields of `config.Run`; `label`: what curves call its
    parameterization; `digest`: of the data; `identity`: what its records give as their spec; `run_cost`: about how
    many floating-point operations one run takes; `members`: which runs; `together`: see `Work`.
    """

    group: int
    run: dict[str, Any]
    label: str
    digest: str
    identity: dict[str, Any]
    run_cost: float
    members: tuple[Member, ...] = ()
    together: int = 1

    @property
    def cost(self) -> float:
        """About how many floating-point operations its runs take."""
        return self.run_cost * len(self.members)

    @property
    def place(self) -> str:
        """What errors call the group."""
        return f"group {self.group} ({self.label}, width {self.run['width']}, depth {self.run['depth']})"

    def names(self) -> list[str]:
        """The hashes of its records, in order."""
        return run_names(self.identity, self.members)


def group_of(
    run: Run,
    label: str,
    data: Dataset,
    log2_activity_rates: Sequence[float] | None,
    rule: AbstractAlgorithm | None = None,
) -> Group:
    """The group that a run's settings stand for.

    **Arguments:** `run`; `label`: what curves call its parameterization; `data`; `log2_activity_rates`: swept, or None;
    `rule`: an algorithm of one's own, or None for the run's.
    """
    table = table_of(run)
    algorithm = algorithm_of(run, table) if rule is None else rule
    labels = {
        "algorithm": run.algorithm if rule is None else rule.name,
        "parameterization": label,
        "optimizer": table.optimizer,
        "width": run.width,
        "depth": run.depth,
    }
    build = build_of(run, table, data.in_size, data.out_size, data.image_shape)
    return Group(build, algorithm, table, labels, log2_activity_rates)


def training_of(run: Run, table: Parameterization) -> Training:
    """How a run's settings say that it is trained."""
    return Training(
        STEPS if run.steps is None and run.epochs is None else run.steps,
        run.epochs,
        run.batch_size,
        found(run.loss, LOSSES),
        **schedule_settings(run),
        **optimizer_settings(run, table),
    )


def task_of(
    index: int,
    run: Run,
    group: Group,
    data: Dataset,
    identity: dict[str, Any],
) -> Task:
    """A group as plain data, none of its runs asked for yet. Paths become absolute: a worker may start elsewhere."""
    whole = run.model_dump()
    for name in ("data", "data_dir"):
        if whole[name] is not None and (name == "data_dir" or str(whole[name]).endswith((".npz", ".csv"))):
            whole[name] = str(Path(whole[name]).absolute())
    cost = flops(group, training_of(run, group.table), 1, len(data.x_train))
    return Task(index, whole, group.labels["parameterization"], data.digest, identity, cost)


def tasks_for(tasks: Sequence[Task], left: Iterable[Work]) -> list[Task]:
    """The tasks of some work.

    **Arguments:** `tasks`: of all groups, by index.
    """
    return [tasks[work.group]._replace(members=work.members, together=work.together) for work in left]


def train_task(task: Task, engine: str, on_runs: OnRuns = lambda rows: None) -> Records:
    """Train a group where this process runs.

    **Raises:** `InputError` where the data there are not the sweep's, and for what does not fit the machine.
    """
    run = checked(task.run)
    if run.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    data = data_of(run)
    if data.digest != task.digest:
        raise InputError(
            f"data {run.data!r} on {os.uname().nodename} are not those of the sweep (digest {data.digest[:12]}, "
            f"expected {task.digest[:12]})",
            setting="data",
            value=run.data,
            remedy="put the same files there",
        )
    group = group_of(run, task.label, data, None)
    # Through a pickle or JSON they come as tuples or lists.
    chosen = [Member(*one) for one in task.members]
    seeds = sorted({one.seed for one in chosen})
    try:
        rows = group_runner(group, data, training_of(run, group.table), seeds, task.together)(chosen, on_runs)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else "out of memory"
        raise InputError(
            f"group {task.place} is too large for {os.uname().nodename}: {reason}",
            setting="group",
            value=task.place,
            remedy="take a larger machine, or fewer rates and seeds at once",
        ) from None
    return records(task.names(), task.group, task.identity, rows, engine)


def largest_first(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in the order in which to start them: the last to end is then a small one."""
    return sorted(tasks, key=lambda task: (-task.cost, task.group))


def balanced(tasks: Sequence[Task], shares: int) -> list[list[Task]]:
    """Tasks in shares of about equal cost: each goes, largest first, to the share that has least.

    **Returns:** at most `shares` lists, none empty.
    """
    bins: list[list[Task]] = [[] for _ in range(shares)]
    for task in largest_first(tasks):
        min(bins, key=lambda share: sum(one.cost for one in share)).append(task)
    return [share for share in bins if share]


def not_ended(failures: Sequence[tuple[Task, str]], total: int) -> NoReturn:
    """The error for groups that did not end, once all others have."""
    task, reason = failures[0]
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    raise InputError(
        f"{len(failures)} of {total} groups did not end: group {task.place}: {reason}{more}",
        setting="group",
        value=task.place,
        remedy="the others are stored, and the same command runs what is left",
    )
