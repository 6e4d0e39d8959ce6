"""Loss over size and rate: a rule that transfers has its dark cells in one column."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._curves import Group, Payload, groups
from .._style import (
    INK,
    LEVELS,
    RATE,
    SOFT,
    Look,
    edges,
    key,
    leftmost,
    legend,
    loss_colors,
    panels,
    rate_ticks,
    styled,
    times,
)
from .._verdict import headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
BEST: Look = {"marker": "o", "markersize": 6, "markerfacecolor": "none", "markeredgewidth": 1.5, "linestyle": "none"}
BOUND: Look = BEST | {"marker": "D", "markersize": 5}


def loss_map(group: Group) -> tuple[list[float], list[list[float | None]]]:
    """A rule's grid of rates, and for every size the loss at each over the grid's best one, None where there is none.

    A rate beside the grid was run at some sizes alone, and would leave holes at the others.
    """
    rates = sorted({rate for line in group.lines.values() for rate in line.rates if rate not in line.tuned})
    rows: list[list[float | None]] = []
    for line in group.lines.values():
        mean = {rate: loss for rate, loss in zip(line.rates, line.mean, strict=True) if rate in rates}
        lowest = min(mean.values(), default=0.0)
        rows.append([times(mean[rate], lowest) if rate in mean else None for rate in rates])
    return rates, rows


def map_figure(payload: Payload) -> "Figure":
    """Final loss over the size's best, by size and rate, a panel a rule; white where a seed diverged."""
    from matplotlib.cm import ScalarMappable

    found = groups(payload)
    with styled():
        look = loss_colors()
        figure, grid = panels(len(found), max(1, min(len(found), COLUMNS)), height=2.6)
        for index, (axes, group) in enumerate(zip(grid, found, strict=True)):
            _draw(axes, group, look, index)
        if grid:
            bar = figure.colorbar(
                ScalarMappable(**look), ax=grid, ticks=LEVELS, label="final loss over the size's best"
            )
            bar.ax.set_yticklabels([f"{level:g}" for level in LEVELS])
        marks = [key("best rate", color=INK, **BEST), key("best rate, only a bound", color=INK, **BOUND)]
        legend(figure, marks, "outside lower left", 2)
        words = [f"{group.title}, {group.axis}: {headline(group)}." for group in found]
        figure.set_label(" ".join(["Final loss over each size's best, by size and base learning rate.", *words]))
    return figure


def _draw(axes: "Axes", group: Group, look: dict[str, Any], index: int) -> None:
    rates, rows = loss_map(group)
    sizes: Sequence[int] = list(group.lines)
    if rates:
        cells = [[float("nan") if cell is None else cell for cell in row] for row in rows]
        axes.pcolormesh(edges(rates), edges(list(range(len(sizes)))), cells, **look)
        rate_ticks(axes.xaxis)
    else:
        axes.text(0.5, 0.5, "no losses", transform=axes.transAxes, ha="center", color=SOFT)
        axes.set_xticks([])
    for row, size in enumerate(sizes):
        best = group.value("optimum_log2", size)
        if best is not None and rates:
            mark = BOUND if group.bound(size) else BEST
            axes.plot([best], [row], color="white", label=f"_best {size}", gid=f"map-optimum-{index}-{size}", **mark)
    axes.grid(visible=False)
    axes.set_title(group.title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(RATE)
    axes.set_yticks(range(len(sizes)), [str(size) for size in sizes])
    if leftmost(axes):
        axes.set_ylabel(group.axis)
