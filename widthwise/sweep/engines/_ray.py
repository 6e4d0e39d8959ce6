"""Groups as Ray tasks: Ray's scheduler places them, gives them resources, and runs them again when a node is lost."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

from ..._errors import InputError
from .._group import Work
from .._run_sweep import Ended, Engine
from .._train_group import OnRuns
from ._task import Task, largest_first, not_ended, tasks_for

# How often Ray starts a group again whose worker or node died.
RETRIES = 3


def on_ray(tasks: Sequence[Task], address: str | None = None, cpus: float = 1, gpus: float = 0) -> Engine:
    """An engine on a Ray cluster.

    **Arguments:** `tasks`: of all groups, by index; `address`: of a running cluster; None starts one of this machine
    for this sweep; `cpus`, `gpus`: that Ray reserves for each group. Every node needs this library, and the data where
    they lie here.

    **Raises:** `InputError` without Ray, without the cluster, and for resources that none of its nodes has; from the
    engine, once all other groups have ended, for groups that Ray gave up.
    """
    ray = _imported()

    def engine(left: Sequence[Work], on_runs: OnRuns) -> Ended:
        _start(ray, address)
        try:
            _placeable(ray, cpus, gpus)
            train = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_train)
            waiting = {train.remote(task._asdict()): task for task in largest_first(tasks_for(tasks, left))}
            failures: list[tuple[Task, str]] = []
            while waiting:
                (ended,), _ = ray.wait(list(waiting))
                task = waiting.pop(ended)
                try:
                    kind, told = ray.get(ended)
                except ray.exceptions.RayError as error:
                    kind, told = "lost", f"Ray gave it up ({type(error).__name__})"
                if kind == "records":
                    on_runs([record["run"] for record in told])
                    yield task.group, told
                else:
                    failures.append((task, told))
            if failures:
                not_ended(failures, len(left))
        finally:
            ray.shutdown()

    return engine


def _imported() -> Any:
    # Ray reports its use over the network unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError(
            "--engine ray needs Ray", setting="--engine", value="ray", remedy="python -m pip install 'widthwise[ray]'"
        ) from None
    return ray


def _start(ray: Any, address: str | None) -> None:
    try:
        with warnings.catch_warnings():
            # JAX warns of every fork; what Ray forks becomes another program at once.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", include_dashboard=None)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = "local, a cluster on this machine," if address is None else address
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"--address {where} cannot be used: {reason}",
            setting="--address",
            value=address or "local",
            remedy="give the address of a cluster that runs, or leave it out to start one here",
        ) from None


def _placeable(ray: Any, cpus: float, gpus: float) -> None:
    """A group that fits no node would wait for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU")}
        raise InputError(
            f"--group-cpus {cpus:g}, --group-gpus {gpus:g}: no node of the cluster has them",
            setting="--group-cpus",
            value=cpus,
            remedy=f"the largest have {most['CPU']:g} CPUs, {most['GPU']:g} GPUs",
        )


def _train(task: dict[str, Any]) -> tuple[str, Any]:
    """In a worker of Ray's."""
    from ._task import train_task

    try:
        return "records", train_task(Task(**task), "ray")
    except InputError as error:
        return "refused", str(error)
