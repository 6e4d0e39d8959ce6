"""Where a sweep's groups are trained: by this process, by others, on a Ray cluster, as SLURM jobs.

An engine is a function `engine(left, on_runs)` that trains the groups `left` in any order and yields each one's index
and records as it ends. What a group computes is a function of its `Task` alone, so records are the same but for times,
host and engine. Nothing is scheduled here beyond handing out the largest group first: retries and lost nodes are Ray's
and SLURM's.
"""

from ._processes import in_processes as in_processes
from ._ray import on_ray as on_ray
from ._slurm import on_slurm as on_slurm
from ._task import Task as Task
from ._task import group_of as group_of
from ._task import task_of as task_of
from ._task import training_of as training_of
