"""A copy of what runs tell, for TensorBoard; a sweep's records stay the store, and nothing is ever read back from it.

Other trackers need no class: `transfer(..., on_runs=fn)` and `tune` hand over the rows of runs as they end,
`train(..., on_progress=fn)` the mean metrics of every epoch.
"""

import math
from pathlib import Path
from typing import Any, final

from .._errors import InputError
from ..training import Progress
from ._train_group import Rows

# What a run is, for its folder; None where it has none.
NAMES = ("algorithm", "parameterization", "optimizer", "width", "depth", "log2_rate", "log2_activity_rate", "seed")
MEASURED = ("final_loss", "residual_median", "iterations_median", "cosine_to_backprop", "curvature", "seconds")


@final
class TensorBoard:
    """Events in a directory: `.runs` is an `on_runs`, `.progress` an `on_progress`.

    **Arguments:** `directory`: of `tensorboard --logdir`; runs of a sweep get a folder each below it.

    **Raises:** `InputError` where tensorboardX is not installed.
    """

    def __init__(self, directory: str | Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InputError(
                f"--tensorboard {directory} needs the package tensorboardX",
                setting="--tensorboard",
                value=directory,
                remedy="pip install 'widthwise[track]', or leave it out",
            ) from None
        self._home = Path(directory)
        self._writer = SummaryWriter
        self._own: Any = None

    def runs(self, rows: Rows) -> None:
        """The curve of every run, a point a stored step, and what was measured of it."""
        for row in rows:
            name = "_".join(str(row[name]) for name in NAMES if row.get(name) is not None)
            with self._writer(str(self._home / name.replace("/", "-"))) as writer:
                for index, loss in enumerate(row.get("curve") or []):
                    _add(writer, "loss", loss, index)
                for measure in MEASURED:
                    _add(writer, measure, row.get(measure), 0)

    def progress(self, told: Progress) -> None:
        """The mean metrics of the last epoch, at the step that it ended with."""
        self._own = self._own or self._writer(str(self._home))
        for name, value in told.metrics.items():
            _add(self._own, name, value, told.done)

    def close(self) -> None:
        """Write what is not written yet."""
        if self._own is not None:
            self._own.close()


def _add(writer: Any, name: str, value: float | None, step: int) -> None:
    """One number; where a run diverged there is none."""
    if value is not None and math.isfinite(value):
        writer.add_scalar(name, value, step)
