"""What was measured at the best rate of every size: settledness, curvature, and what a run costs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .._curves import Group, Payload, groups
from .._style import SOFT, key, legend, panels, size_ticks, styled
from ._best_rate_against_size import looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTLED = 1e-2
BEST = "at the best rate"


class Measure(NamedTuple):
    """One panel: its title, of which runs it tells, its value at a size, and the line to compare with, if any."""

    title: str
    place: str
    value: Callable[[Group, int], float | None]
    line: float | None = None


MEASURES = (
    Measure(
        "median residual of inference",
        "at the best rate",
        lambda group, size: group.value("residual_at_optimum", size),
        SETTLED,
    ),
    Measure("curvature ‖C‖", "at the best rate", lambda group, size: group.value("curvature_at_optimum", size)),
    Measure("seconds per run", "median of all rates", lambda group, size: group.costs.get(size)),
)


def measured(found: list[Group]) -> list[tuple[Measure, list[tuple[Group, dict[int, float]]]]]:
    """The measures that some rule has, with every such rule's positive values by size."""
    shown = []
    for measure in MEASURES:
        rules = []
        for group in found:
            values = {size: measure.value(group, size) for size in group.sizes}
            known = {size: value for size, value in values.items() if value is not None and value > 0}
            rules += [(group, known)] if known else []
        shown += [(measure, rules)] if rules else []
    return shown


def measured_figure(payload: Payload) -> "Figure | None":
    """Settledness, curvature and cost per run against size, a panel each, a line per rule; None where none is known."""
    found = groups(payload)
    shown = measured(found)
    if not shown:
        return None
    with styled():
        figure, grid = panels(len(shown), len(shown), height=2.7, share=False)
        drawn = {group.title for _, rules in shown for group, _ in rules}
        chosen = {rule: look for rule, look in looks(found).items() if rule in drawn}
        for axes, (measure, rules) in zip(grid, shown, strict=True):
            for group, values in rules:
                axes.plot(list(values), list(values.values()), **chosen[group.title])
            if measure.line is not None:
                axes.axhline(measure.line, color=SOFT, linewidth=1, linestyle=":")
            size_ticks(axes, sorted({size for _, values in rules for size in values}))
            axes.set_xlabel(" or ".join(dict.fromkeys(group.axis for group, _ in rules)))
            axes.set_title(f"{measure.title},\n{measure.place}", loc="left", fontsize=10, fontweight="bold")
        legend(figure, [key(rule, **look) for rule, look in chosen.items()], "outside upper left", 3)
        figure.set_label(words(shown))
    return figure


def words(shown: list[tuple[Measure, list[tuple[Group, dict[int, float]]]]]) -> str:
    """The figure in words: every line's first and last value."""
    sentences = [
        f"{measure.title[0].upper()}{measure.title[1:]}, {measure.place}, of {group.title}: "
        + ", ".join(f"{values[size]:.2g} at {group.axis} {size}" for size in dict.fromkeys((min(values), max(values))))
        + "."
        for measure, rules in shown
        for group, values in rules
    ]
    return " ".join(["Measured against size.", *sentences])
