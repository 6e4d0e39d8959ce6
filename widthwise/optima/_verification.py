"""Transfer, verified where it matters: what a rate that was tuned small costs at the large size."""

import math
from collections.abc import Sequence
from typing import Any

from ._cost import cost_of
from ._metric import metric_of
from ._sizes import RULE, Sizes

# Octaves from the tuned rate at which the large size is run.
AROUND = (-1.0, -0.5, 0.0, 0.5, 1.0)
PLACE = (*RULE, "width", "depth")


def around(log2_rate: float) -> list[float]:
    """The log2 rates of a verification: the tuned one, and two on either side.

    >>> around(-3.25)
    [-4.25, -3.75, -3.25, -2.75, -2.25]
    """
    return [log2_rate + octaves for octaves in AROUND]


def verify(curves: Sequence[dict[str, Any]], log2_rate: float, select: str = "final_loss") -> list[dict[str, Any]]:
    """What the tuned rate costs, against the best of the rates around it, for every rule and size (see `cost_of`).

    **Arguments:** `curves`: rows of runs at the rates of `around(log2_rate)`; `log2_rate`: the tuned one; `select`: as
    of `summarize`.

    **Returns:** one row a rule and size: its names, `log2_rate`, `loss`, `best_log2_rate`, `best_loss`, `cost` and
    `cost_se` (None for one seed), `cost_diverged` (seeds), `seeds_to_decide`, `at_edge`: the best rate is the last on
    its side, so a better one may lie beyond; `holds`: True where cost + 2 se is at most 5 % and the best is not at the
    edge, False where cost − 2 se is more, None where neither is known; and `passes`: it is True.

    >>> rates = around(0.0)
    >>> runs = [dict.fromkeys(PLACE, 8) | {"log2_rate": rate, "seed": seed, "diverged": False, "final_loss": loss}
    ...         for rate, loss in zip(rates, (2.0, 1.2, 1.0, 1.2, 2.0)) for seed in (0, 1)]
    >>> [(row["cost"] < 0, row["passes"]) for row in verify(runs, 0.0)]
    [(True, True)]
    """
    rules = dict.fromkeys(tuple(row[name] for name in PLACE) for row in curves)
    return [
        dict(zip(PLACE, rule, strict=True))
        | _verified([row for row in curves if tuple(row[name] for name in PLACE) == rule], log2_rate, select)
        for rule in rules
    ]


def _verified(rows: Sequence[dict[str, Any]], log2_rate: float, select: str) -> dict[str, Any]:
    metric = metric_of(select)
    line = Sizes.of([row | {"tuned": None} for row in rows], "width", metric)
    losses, seeds = line.runs[0], len(line.seeds)
    rate = next(point for point in losses if point[0] == log2_rate)
    cost = cost_of(rate, losses, line.first[0])
    means = {point: float(row.mean()) for point, row in losses.items()}
    best = min(means, key=lambda point: (means[point], point != rate))
    at_edge = best[0] in (line.axes[0][0], line.axes[0][-1])
    holds = None if cost.holds and at_edge else cost.holds
    return {
        "log2_rate": log2_rate,
        "loss": metric.shown(means[rate]),
        "best_log2_rate": best[0],
        "best_loss": metric.shown(means[best]),
        "cost": cost.value,
        "cost_se": cost.error,
        "cost_diverged": cost.diverged,
        "seeds": seeds,
        "seeds_to_decide": None if holds is not None or cost.holds else cost.seeds_to_decide(seeds),
        "at_edge": at_edge,
        "holds": holds,
        "passes": holds is True,
        "regret": math.inf if math.isinf(cost.value) else max(0.0, cost.value),
    }
