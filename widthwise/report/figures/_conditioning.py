"""Condition number of inference against depth and width, at initialization and after training."""

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._style import INK, Look, key, leftmost, legend, panels, shades, size_ticks, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]
FIRST: Look = {"linestyle": "-", "marker": "o", "markersize": 4, "linewidth": 1.5}
LAST: Look = {"linestyle": "--", "marker": "s", "markersize": 4, "linewidth": 1.5, "markerfacecolor": "white"}


def conditioning_figure(payload: dict[str, Any]) -> "Figure":
    """κ of the activity Hessian, medians over seeds: a row per parameterization, against depth and against width.

    Solid lines are the first step measured, dashed ones the last; a network that has diverged is left out.
    """
    rows: Sequence[Row] = payload["rows"]
    names = list(dict.fromkeys(row["parameterization"] for row in rows))
    steps = sorted({row["step"] for row in rows})
    looks = dict(zip((steps[0], steps[-1]), (FIRST, LAST), strict=True)) if len(steps) > 1 else {steps[0]: FIRST}
    with styled():
        figure, grid = panels(2 * len(names), 2, height=2.7)
        for index, name in enumerate(names):
            own = [row for row in rows if row["parameterization"] == name]
            for axes, along, across in zip(grid[2 * index :], ("depth", "width"), ("width", "depth"), strict=False):
                _draw(axes, own, along, across, looks)
                axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
        entries = [key(f"step {step}", color=INK, **look) for step, look in looks.items()]
        legend(figure, entries, "outside lower left", 4)
        figure.set_label("Condition number of the activity Hessian against depth and width: " + ", ".join(names) + ".")
    return figure


def _draw(axes: "Axes", rows: Sequence[Row], along: str, across: str, looks: dict[int, Look]) -> None:
    """One line for every size across and step."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    colors = shades([row[across] for row in rows])
    for size, color in colors.items():
        for step, look in looks.items():
            points = _medians([row for row in rows if row[across] == size and row["step"] == step], along)
            axes.plot(list(points), list(points.values()), color=color, label=f"{across} {size}, step {step}", **look)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    size_ticks(axes, sorted({row[along] for row in rows}))
    axes.set_xlabel(along)
    if leftmost(axes):
        axes.set_ylabel("condition number κ")
    entries = [key(f"{across} {size}", color=color) for size, color in colors.items()]
    # Beside the panel: its lines may be anywhere in it.
    axes.legend(handles=entries, fontsize=7.5, loc="upper left", bbox_to_anchor=(1, 1))


def _medians(rows: Sequence[Row], along: str) -> dict[int, float]:
    """κ at every size where all seeds have one."""
    found = {}
    for size in sorted({row[along] for row in rows}):
        values = [row["condition_number"] for row in rows if row[along] == size]
        if all(value is not None and math.isfinite(value) for value in values):
            found[size] = statistics.median(values)
    return found
