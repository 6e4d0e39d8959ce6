"""Loss against rate at every size: does the best rate stay where it was?"""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._curves import AXES, Group, Payload, groups
from .._style import INK, RATE, SOFT, Look, key, leftmost, legend, loss_ticks, panels, rate_ticks, shades, styled
from .._verdict import headline_lines, sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Losses further above the best one than this say only that the rate is far too large.
TALLEST = 300.0
OPTIMUM: Look = {
    "marker": "o",
    "markersize": 8,
    "markerfacecolor": "none",
    "markeredgewidth": 1.6,
    "linestyle": "none",
}
BOUND: Look = OPTIMUM | {"marker": "D", "markersize": 7}
TICK: Look = {"marker": "|", "markersize": 13, "markeredgewidth": 2.2, "linestyle": "none"}


def transfer_figure(payload: Payload) -> "Figure":
    """Final loss against base rate, one panel per rule and axis, one line per size.

    Points are means over seeds and bars reach from the lowest to the highest seed; a rate at which
    any seed diverged is left out. A circle marks the best rate (a diamond, where it is only a bound), a tick
    the largest stable one. The axis ends at 300 times the best loss.
    """
    found = groups(payload)
    columns = {1: 1, 2: 2, 4: 2}.get(len(found), 3)
    if any(group.place for group in found) and len({group.label for group in found}) == 2:
        # The two rules of a grid of sizes side by side.
        columns = 2
    with styled():
        figure, grid = panels(len(found), columns, height=3.3)
        colors = {axis: shades([s for g in found if g.axis == axis for s in g.sizes]) for axis in AXES}
        for index, (axes, group) in enumerate(zip(grid, found, strict=True)):
            _draw_panel(axes, group, colors.get(group.axis) or shades(group.sizes), index)
        if grid:
            _title(grid, found)
            _frame_losses(grid, found)
        _size_legend(figure, colors, 4 * columns)
        _mark_legend(figure, any(g.bound(s) for g in found for s in g.sizes), 2 if columns == 1 else 4)
        titles = [f"{group.title}, {group.axis}: {sentence(group)}" for group in found]
        figure.set_label(" ".join(["Final loss against base learning rate, one line per size.", *titles]))
    return figure


def _draw_panel(axes: "Axes", group: Group, colors: dict[int, Any], index: int) -> None:
    for size, line in group.lines.items():
        if line.rates:
            below = [m - low for m, low in zip(line.mean, line.low, strict=True)]
            above = [high - m for m, high in zip(line.mean, line.high, strict=True)]
            axes.errorbar(
                line.rates, line.mean, yerr=[below, above], color=colors[size], label=f"{group.axis} {size}",
                marker=".", markersize=4, linewidth=1.4, elinewidth=0.9, capsize=1.5,
            )  # fmt: skip
    for size, line in group.lines.items():
        best, stable = group.value("optimum_log2", size), group.value("largest_stable_log2", size)
        for rate, kind, look in (
            (stable, "stable", TICK),
            (best, "optimum", BOUND if group.bound(size) else OPTIMUM),
        ):
            if rate is not None and (height := line.at(rate)) is not None:
                name = f"{kind}-{index}-{size}"
                axes.plot([rate], [height], color=colors[size], label=f"_{kind} {size}", gid=name, zorder=4, **look)
    if any(line.rates for line in group.lines.values()):
        rate_ticks(axes.xaxis)
    else:
        empty = "every run diverged" if group.lines else "no runs"
        axes.text(0.5, 0.5, empty, transform=axes.transAxes, ha="center", color=SOFT)
        axes.set_xticks([])
    axes.set_xlabel(RATE)


def _title(grid: Sequence["Axes"], found: Sequence[Group]) -> None:
    several = len({group.axis for group in found}) > 1
    verdicts = [headline_lines(group) for group in found]
    # The verdict stands in smaller letters below the title, which leaves the same room for it everywhere.
    room = 6 + 12 * max((verdict.count("\n") + 1 for verdict in verdicts), default=0)
    for axes, group, verdict in zip(grid, found, verdicts, strict=True):
        title = "\n".join(textwrap.wrap(group.title + (f", over {group.axis}" if several else ""), 40))
        axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", pad=room)
        look: Look = {"fontsize": 9, "color": SOFT, "va": "top", "linespacing": 1.15}
        axes.annotate(verdict, (0, 1), (0, room - 2), xycoords="axes fraction", textcoords="offset points", **look)


def _frame_losses(grid: Sequence["Axes"], found: Sequence[Group]) -> None:
    ends = loss_range(found)
    for axes in grid:
        if leftmost(axes):
            axes.set_ylabel("final loss, mean over seeds")
    if ends is None:
        for axes in grid:
            axes.set_yticks([])
    elif ends[0] > 0:
        grid[0].set_ylim(*ends)
        for axes in grid:
            loss_ticks(axes)


def loss_range(found: Sequence[Group]) -> tuple[float, float] | None:
    """The ends of the axis of losses that all panels share; None without losses, (0, 0) where the least is 0."""
    lines = [line for group in found for line in group.lines.values()]
    means = [y for line in lines for y in line.mean]
    if not means:
        return None
    low, best, high = (
        min(y for line in lines for y in line.low),
        min(means),
        max(y for line in lines for y in line.high),
    )
    return (max(low, best / 10) / 1.15, min(high, TALLEST * best) * 1.15) if best > 0 else (0.0, 0.0)


def _size_legend(figure: "Figure", colors: dict[str, dict[int, Any]], columns: int) -> None:
    entries = [
        key(f"{axis} {size}", color=color, linewidth=2.2)
        for axis, shade in colors.items()
        for size, color in shade.items()
    ]
    legend(figure, entries, "outside upper left", columns)


def _mark_legend(figure: "Figure", bounded: bool, columns: int) -> None:
    entries = [
        key("best rate", color=INK, **OPTIMUM),
        *([key("best rate, only a bound", color=INK, **BOUND)] if bounded else []),
        key("largest stable rate", color=INK, **TICK),
        key("bars: lowest to highest seed", color=INK, marker=".", linewidth=1),
    ]
    legend(figure, entries, "outside lower left", columns)
