"""Whether the tuned rate holds at larger sizes: said of rates that were run, and of nothing else.

transfers           cost + 2 se <= 5 % at every larger size
does not transfer   cost − 2 se > 5 % at one of them
not decided         otherwise: with how many seeds it would be, or that the rates end too soon
"""

from typing import Any, NamedTuple, final

from ._cost import Cost, Point, cost_of
from ._metric import Metric, metric_of
from ._sizes import OTHER, RULE, Curves, Sizes, lines


@final
class Decision(NamedTuple):
    """What is decided about the rate tuned at one size.

    **Fields:** `verdict`; `why`: of what is not decided, `"edge"` (an optimum is an end of the grid), `"seeds"`,
    `"one seed"`, `"no optimum"`, `"not known"` (a cost); `rate`: that was compared; `on_grid`: it is the best grid
    point, since the optimum between grid points was not run; `costs`: at every larger size; `seeds_to_decide`.
    """

    verdict: str
    why: tuple[str, ...]
    rate: Point | None
    on_grid: bool
    costs: tuple[Cost, ...]
    seeds_to_decide: int | None


def decision(line: Sizes, index: int) -> Decision:
    """What the rate that is tuned at a size costs at all larger ones, and what follows."""
    rate, on_grid = line.tuned(index), False
    if rate is not None and line.missing(index):
        rate, on_grid = line.points[index], True
    larger = range(index + 1, len(line.sizes))
    if not larger or len(line.axes[0]) < 2:
        return Decision("nothing to compare", (), rate, on_grid, (), None)
    if rate is None:
        return Decision("not decided", ("no optimum",), None, on_grid, (), None)
    costs = tuple(cost_of(rate, line.runs[at], line.first[at]) for at in larger)
    edge = any(one.edge for one in line.best[index])
    if any(cost.holds is False for cost in costs) and not edge:
        return Decision("does not transfer", (), rate, on_grid, costs, None)
    # A better rate beyond the grid would make every cost larger.
    if edge or any(one.edge for at in larger for one in line.best[at]):
        return Decision("not decided", ("edge",), rate, on_grid, costs, None)
    if all(cost.holds for cost in costs):
        return Decision("transfers", (), rate, on_grid, costs, None)
    if not all(cost.measured for cost in costs):
        return Decision("not decided", ("not known",), rate, on_grid, costs, None)
    seeds = len(line.seeds)
    wanted = [cost.seeds_to_decide(seeds) for cost in costs if not cost.holds]
    known = [count for count in wanted if count is not None]
    why = "one seed" if seeds == 1 else "seeds"
    return Decision("not decided", (why,), rate, on_grid, costs, max(known) if len(known) == len(wanted) else None)


def holds_from(line: Sizes) -> int | None:
    """The smallest size whose tuned rate holds at all larger ones; None where none is known to."""
    for index in range(len(line.sizes) - 1):
        if decision(line, index).verdict == "transfers":
            return line.sizes[index]
    return None


def to_run(curves: Curves, axis: str, select: str = "final_loss") -> list[tuple[dict[str, Any], Point]]:
    """The runs that the next verdict needs: sizes and the rates tuned at smaller ones, which were not run there.

    First the smallest size's rate at all larger sizes; where it does not transfer, the next size's, and so on.

    **Arguments:** as of `summarize`.

    **Returns:** pairs of a group's labels (algorithm, parameterization, optimizer, width, depth) and its rates; empty
    where nothing more is needed.
    """
    metric = metric_of(select)
    parts = lines(curves) if axis == "grid" else [(curves, axis)]
    wanted: dict[tuple, tuple[dict[str, Any], Point]] = {}
    for rows, one in parts:
        for rule in dict.fromkeys(tuple(row[name] for name in RULE) for row in rows):
            own = [row for row in rows if tuple(row[name] for name in RULE) == rule]
            for labels, point in _to_run(own, one, metric):
                wanted[(*labels.values(), *point)] = (labels, point)
    return list(wanted.values())


def _to_run(rows: Curves, axis: str, metric: Metric) -> list[tuple[dict[str, Any], Point]]:
    line = Sizes.of(rows, axis, metric)
    for index in range(len(line.sizes) - 1):
        rate, missing = line.tuned(index), line.missing(index)
        if rate is not None and missing:
            sizes = [line.sizes[at] for at in missing]
            found = {row[axis]: row for row in rows}
            names = (*RULE, axis, OTHER[axis])
            labels = [{name: found[size][name] for name in names} for size in sizes]
            return [({name: one[name] for name in (*RULE, "width", "depth")}, rate) for one in labels]
        if decision(line, index).verdict != "does not transfer":
            break
    return []
