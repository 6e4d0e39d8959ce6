"""Transfer, verified where it matters: what a rate that was tuned small costs at the large size."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._summary import LARGEST_REGRET

# Octaves from the tuned rate at which the large size is run.
AROUND = (-1.0, -0.5, 0.0, 0.5, 1.0)
RULE = ("algorithm", "parameterization", "optimizer", "width", "depth")


def around(log2_rate: float) -> list[float]:
    """The log2 rates of a verification: the tuned one, and two on either side.

    >>> around(-3.25)
    [-4.25, -3.75, -3.25, -2.75, -2.25]
    """
    return [log2_rate + octaves for octaves in AROUND]


def verify(curves: Sequence[dict[str, Any]], log2_rate: float) -> list[dict[str, Any]]:
    """What the tuned rate costs, against the best of the rates around it, for every rule and size.

        regret = loss(tuned) / min_rates loss − 1,   losses are means over seeds, infinite where a seed diverged

    **Arguments:** `curves`: rows of runs at the rates of `around(log2_rate)`; `log2_rate`: the tuned one.

    **Returns:** one row a rule and size: its names, `log2_rate`, `loss`, `best_log2_rate`, `best_loss`, `regret` and
    `regret_se` (of the seeds' own regrets at these two rates; None for one seed), `at_edge`: the best rate is the last
    on its side, so a better one may lie beyond, and `passes`: a regret of at most 5 %, not at the edge.

    >>> rates = around(0.0)
    >>> runs = [dict.fromkeys(RULE, 8) | {"log2_rate": rate, "seed": 0, "diverged": False, "final_loss": 1 + rate**2}
    ...         for rate in rates]
    >>> [(row["regret"], row["passes"]) for row in verify(runs, 0.0)]
    [(0.0, True)]
    """
    rules = dict.fromkeys(tuple(row[name] for name in RULE) for row in curves)
    return [
        dict(zip(RULE, rule, strict=True))
        | _verified([row for row in curves if tuple(row[name] for name in RULE) == rule], log2_rate)
        for rule in rules
    ]


def _verified(rows: Sequence[dict[str, Any]], log2_rate: float) -> dict[str, Any]:
    rates, seeds = (sorted({row[name] for row in rows}) for name in ("log2_rate", "seed"))
    losses = np.full((len(seeds), len(rates)), math.inf)
    for row in rows:
        if not row["diverged"]:
            losses[seeds.index(row["seed"]), rates.index(row["log2_rate"])] = row["final_loss"]
    means = losses.mean(axis=0)
    best, tuned = int(np.argmin(means)), rates.index(log2_rate)
    regret, error = math.inf, None
    if math.isfinite(means[tuned]):
        regret = 0.0 if best == tuned else float(means[tuned] / means[best] - 1) if means[best] > 0 else math.inf
        own = losses[:, tuned] / losses[:, best] - 1 if (losses[:, best] > 0).all() else None
        if own is not None and len(seeds) > 1:
            error = float(own.std(ddof=1) / math.sqrt(len(seeds)))
    at_edge = best in (0, len(rates) - 1)
    return {
        "log2_rate": log2_rate,
        "loss": float(means[tuned]),
        "best_log2_rate": rates[best],
        "best_loss": float(means[best]),
        "regret": regret,
        "regret_se": error,
        "at_edge": at_edge,
        "passes": regret <= LARGEST_REGRET and not at_edge,
    }
