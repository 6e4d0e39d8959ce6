"""Loss over both rates, the weights' and the activities', at every size: do both best rates stay where they were?"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._groups import Group, Payload, Surface, groups
from ._style import ACTIVITY_RATE, INK, RATE, SOFT, Look, key, leftmost, legend, panels, rate_ticks, styled
from ._verdict import sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
# Steps of the loss over the size's best one: what a rate costs, finer where it matters.
LEVELS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
BEST: Look = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.6, "linestyle": "none"}
BOUND: Look = BEST | {"marker": "D", "markersize": 6}


def activity_figure(payload: Payload) -> "Figure | None":
    """Final loss over rate and activity rate, one panel per rule and size; None where no activity rate was swept.

    Colours are steps of the mean loss over the size's best one; white is where any seed diverged; a circle marks
    the best rates (a diamond, where one of them is only a bound).
    """
    from matplotlib.cm import ScalarMappable

    found = [group for group in groups(payload) if group.surfaces]
    pairs: dict[Any, tuple[Group, int]] = {}
    for group in found:
        for size in group.surfaces:
            # On a grid of sizes, a pair of width and depth stands on a line of either axis: shown once.
            pairs.setdefault((group.label, frozenset({f"{group.axis} {size}", group.place})), (group, size))
    shown = list(pairs.values())
    if not shown:
        return None
    with styled():
        look = _colors()
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


def _colors() -> dict[str, Any]:
    """Dark where the loss is low, in steps."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    return {"cmap": colormaps["viridis"], "norm": BoundaryNorm(LEVELS, colormaps["viridis"].N)}


def _draw(axes: "Axes", group: Group, size: int, look: dict[str, Any]) -> None:
    surface = group.surfaces[size]
    lost = float("nan")
    lowest = min((loss for row in surface.losses for loss in row if loss is not None), default=None)
    if lowest is None:
        axes.text(0.5, 0.5, "every run diverged", transform=axes.transAxes, ha="center", color=SOFT)
    else:
        # A loss of zero has no multiples: all that is above it looks alike.
        over = [[lost if loss is None else _times(loss, lowest) for loss in row] for row in surface.losses]
        axes.pcolormesh(_edges(surface.rates), _edges(surface.activity_rates), over, **look)
        _mark(axes, group, size, surface)
    axes.grid(visible=False)
    place = f", {group.place}" if group.place else ""
    axes.set_title(f"{group.label}\n{group.axis} {size}{place}", loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(RATE)
    rate_ticks(axes.xaxis)
    rate_ticks(axes.yaxis)
    if leftmost(axes):
        axes.set_ylabel(ACTIVITY_RATE)


def _times(loss: float, lowest: float) -> float:
    return min(loss / lowest if lowest > 0 else LEVELS[-1] if loss > 0 else 1.0, LEVELS[-1])


def _mark(axes: "Axes", group: Group, size: int, surface: Surface) -> None:
    """A circle at the summary's best rates, or at the best point of the grid where there is no summary."""
    best = surface.best
    known = group.value("optimum_log2", size), group.value("optimum_activity_log2", size)
    x, y = known if None not in known else best or (None, None)
    if x is not None and y is not None:
        bounded = group.bound(size) or group.bound(size, "activity_")
        axes.plot([x], [y], color="white", label=f"_best {size}", **(BOUND if bounded else BEST))


def _edges(values: Sequence[float]) -> list[float]:
    """The borders of the cells around some values: half way between them."""
    inner = [(low + high) / 2 for low, high in itertools.pairwise(values)]
    first = inner[0] - values[0] if inner else 0.5
    last = values[-1] - inner[-1] if inner else 0.5
    return [values[0] - first, *inner, values[-1] + last]
