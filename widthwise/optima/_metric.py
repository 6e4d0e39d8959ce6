"""What is best: the loss that training lowers, or what the test set says."""

import math
from typing import Any, NamedTuple, final

from .._errors import InputError, unknown


@final
class Metric(NamedTuple):
    """A number of every run of which less is better.

    **Fields:** `name`: of the rows' field; `mirrored`: it is better the larger, and 1 − it is what is minimized.
    """

    name: str
    mirrored: bool = False

    def of(self, row: dict[str, Any]) -> float:
        """What a run's row says, as a loss; infinite where it has none because the run diverged.

        **Raises:** `InputError` where the run did not record it.
        """
        value = row.get(self.name)
        if value is None:
            if row["diverged"] or self.name == "final_loss":
                return math.inf
            raise InputError(
                f"select {self.name!r}: run of seed {row.get('seed')} at log2 rate {row.get('log2_rate')} has none",
                setting="select",
                value=self.name,
                remedy="use final_loss, or run the sweep again to another --out; accuracies are of data with classes",
            )
        return 1 - value if self.mirrored else float(value)

    def first(self, row: dict[str, Any]) -> float:
        """What a run's row says of the time before training; NaN where it does not."""
        return 1.0 if self.mirrored else float(row["first_loss"]) if row.get("first_loss") is not None else math.nan

    def shown(self, value: float) -> float:
        """A value as the row had it."""
        return 1 - value if self.mirrored else value


METRICS = {metric.name: metric for metric in (Metric("final_loss"), Metric("test_loss"), Metric("test_accuracy", True))}


def metric_of(select: str) -> Metric:
    """The metric of a name.

    **Raises:** `InputError` for another name.
    """
    if select not in METRICS:
        raise unknown("select", select, METRICS)
    return METRICS[select]
