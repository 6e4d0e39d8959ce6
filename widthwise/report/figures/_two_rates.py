"""Loss over both rates, the weights' and the activities', at every size: do both best rates stay where they were?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._curves import Group, Payload, groups
from .._style import (
    ACTIVITY_RATE,
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
from .._verdict import sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
BEST: Look = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.6, "linestyle": "none"}
BOUND: Look = BEST | {"marker": "D", "markersize": 6}


def activity_figure(payload: Payload) -> "Figure | None":
    """Final loss over rate and activity rate, one panel per rule and size; None where no activity rate was swept.

    Colours are steps of the mean loss over the size's best one; white is where any seed diverged; a circle marks
    the best rates (a diamond, where one of them is only a bound).
    """
    from matplotlib.cm import ScalarMappable

    found = [group for group in groups(payload) if group.surfaces]
    shown = surfaces(found)
    if not shown:
        return None
    with styled():
        look = loss_colors()
        figure, grid = panels(len(shown), min(len(shown), COLUMNS), height=3.1)
        for axes, (group, size) in zip(grid, shown, strict=True):
            _draw(axes, group, size, look)
        bar = figure.colorbar(ScalarMappable(**look), ax=grid, ticks=LEVELS, label="final loss over the size's best")
        bar.ax.set_yticklabels([f"{level:g}" for level in LEVELS])
        marks = [key("best rates", color=INK, **BEST), key("one of them only a bound", color=INK, **BOUND)]
        legend(figure, marks, "outside lower left", 2)
        words = [f"{group.title}, {group.axis}: {sentence(group)}" for group in found]
        figure.set_label(" ".join(["Final loss against base learning rate and activity rate, by size.", *words]))
    return figure


def surfaces(found: Sequence[Group]) -> list[tuple[Group, int]]:
    """The rules and sizes at which activity rates were swept."""
    pairs: dict[Any, tuple[Group, int]] = {}
    for group in found:
        for size in group.surfaces:
            # On a grid of sizes, a pair of width and depth stands on a line of either axis: shown once.
            pairs.setdefault((group.label, frozenset({f"{group.axis} {size}", group.place})), (group, size))
    return list(pairs.values())


def _draw(axes: "Axes", group: Group, size: int, look: dict[str, Any]) -> None:
    surface = group.surfaces[size]
    lost = float("nan")
    lowest = min((loss for row in surface.losses for loss in row if loss is not None), default=None)
    if lowest is None:
        axes.text(0.5, 0.5, "every run diverged", transform=axes.transAxes, ha="center", color=SOFT)
    else:
        # A loss of zero has no multiples: all that is above it looks alike.
        over = [[lost if loss is None else times(loss, lowest) for loss in row] for row in surface.losses]
        axes.pcolormesh(edges(surface.rates), edges(surface.activity_rates), over, **look)
        _mark(axes, group, size)
    axes.grid(visible=False)
    place = f", {group.place}" if group.place else ""
    axes.set_title(f"{group.label}\n{group.axis} {size}{place}", loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(RATE)
    rate_ticks(axes.xaxis)
    rate_ticks(axes.yaxis)
    if leftmost(axes):
        axes.set_ylabel(ACTIVITY_RATE)


def _mark(axes: "Axes", group: Group, size: int) -> None:
    """A circle at the summary's best rates, or at the best point of the grid where there is no summary."""
    best = marked(group, size)
    if best is not None:
        x, y = best
        bounded = group.bound(size) or group.bound(size, "activity_")
        axes.plot([x], [y], color="white", label=f"_best {size}", **(BOUND if bounded else BEST))


def marked(group: Group, size: int) -> tuple[float, float] | None:
    """The summary's best rates, or the best point of the grid where there is no summary."""
    rate, activity = group.value("optimum_log2", size), group.value("optimum_activity_log2", size)
    return group.surfaces[size].best if rate is None or activity is None else (rate, activity)
