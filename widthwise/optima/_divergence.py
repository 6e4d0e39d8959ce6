"""Which runs diverged: judged against each run's own first loss, so that no shift or scale of the loss matters.

    diverged:  not finite, or  final − first > max over the runs of that rule and size of (first − final)

A run that rises by more than any of its fellows falls has left the region where training works. Where none falls, any
rise beyond two standard errors over the seeds of its rate, and beyond rounding, is one. The same under loss -> a loss +
b with a > 0, so a negative log-likelihood, and targets of any scale, are judged as a squared error is.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Rows = Sequence[dict[str, Any]]
# Of a loss: what two programs may sum to another last digit.
ROUNDING = 1e-5
SIZE = ("algorithm", "parameterization", "optimizer", "width", "depth")


def with_divergence(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `diverged` as above, judged among the runs of one rule and size.

    **Arguments:** `rows`: of runs, each with `first_loss` and `final_loss` (None where it is not finite); rows without
    `first_loss`, of sweeps that did not record it, keep what they say.

    >>> run = dict.fromkeys(SIZE, 8) | {"seed": 0, "diverged": False, "first_loss": -1.0}
    >>> rows = [run | {"log2_rate": rate, "final_loss": loss} for rate, loss in ((-1, -3.0), (0, 0.5), (1, 1.5))]
    >>> [row["diverged"] for row in with_divergence(rows)]
    [False, False, True]
    """
    rows = list(rows)
    together: dict[tuple, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.get("first_loss") is not None:
            together[tuple(row.get(name) for name in SIZE)].append(index)
    for indices in together.values():
        judged = _judged([rows[index] for index in indices])
        for index, diverged in zip(indices, judged, strict=True):
            rows[index] = rows[index] | {"diverged": diverged}
    return rows


def _judged(rows: Rows) -> list[bool]:
    """Of the runs of one rule and size, which diverged."""
    rises = np.array([_rise(row) for row in rows])
    finite = np.isfinite(rises)
    rounding = ROUNDING * np.abs([row["first_loss"] for row in rows])
    fall = float(np.max(-rises[finite], initial=0.0))
    if (-rises[finite] <= rounding[finite]).all():
        rates = [(row.get("log2_rate"), row.get("log2_activity_rate")) for row in rows]
        errors = {rate: _error([rise for rise, own in zip(rises, rates, strict=True) if own == rate]) for rate in rates}
        limits = np.array([2 * errors[rate] for rate in rates]) + rounding
    else:
        limits = fall + rounding
    return (~finite | (rises > limits)).tolist()


def _rise(row: dict[str, Any]) -> float:
    """How far a run's loss rose; infinite where it ended without one."""
    final = row["final_loss"]
    return math.inf if final is None or not math.isfinite(final) else float(final - row["first_loss"])


def _error(rises: Sequence[float]) -> float:
    """The standard error of a rate's mean rise, 0 where there is one seed."""
    known = [rise for rise in rises if math.isfinite(rise)]
    return float(np.std(known, ddof=1) / math.sqrt(len(known))) if len(known) > 1 else 0.0
