"""What all figures share: colours, fonts, frames, legends and the ticks of rates, losses and sizes."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Look = dict[str, Any]
Place = Literal["outside upper left", "outside lower left"]
# Okabe and Ito's colours without the yellow, which is lost on white paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, SOFT, RULE = "#222222", "#666666", "#e4e4e4"
STYLE: Look = {
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
# Steps of the loss over the size's best one: what a rate costs, finer where it matters.
LEVELS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
MANY = 8
RATE = "base learning rate (log₂)"
ACTIVITY_RATE = "activity rate (log₂)"


@contextlib.contextmanager
def styled(**extra: Any) -> Iterator[None]:
    """The report's style inside the block, the caller's own style after it."""
    from matplotlib import rc_context, rcParamsDefault

    # Where a figure is drawn from matplotlib's defaults, a user's matplotlibrc cannot break the page.
    defaults: Any = {key: rcParamsDefault[key] for key in rcParamsDefault if not key.startswith("backend")}
    with rc_context(defaults | STYLE | extra):
        yield


def panels(
    count: int, columns: int, height: float, share: Literal["all", "row", False] = "all"
) -> tuple["Figure", list["Axes"]]:
    """A figure with so many panels, all, those of a row or none sharing their y axis; places left over stay empty."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = max(1, -(-count // columns))
    engine = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(3.9 * columns + 0.5, height * rows + 0.9), layout=engine)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share).ravel().tolist()
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]


def leftmost(axes: "Axes") -> bool:
    """Whether a panel stands in the first column, which carries the label of the shared axis."""
    place = axes.get_subplotspec()
    return place is not None and place.is_first_col()


def shades(sizes: Sequence[int]) -> dict[int, Any]:
    """A sequential colour for each size: dark to light in print, safe for the colour-blind."""
    from matplotlib import colormaps

    ordered = sorted(set(sizes))
    # The last fifth of viridis is too pale on white.
    return {s: colormaps["viridis"](0.82 * i / max(1, len(ordered) - 1)) for i, s in enumerate(ordered)}


def key(text: str, **look: Any) -> "Line2D":
    """One entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=text, **look)


def legend(figure: "Figure", entries: Sequence["Line2D"], place: Place, columns: int) -> None:
    """A legend outside the panels, over as many columns as fit."""
    if entries:
        figure.legend(
            handles=list(entries),
            loc=place,
            ncols=min(len(entries), columns),
            fontsize=8.5,
            columnspacing=1.4,
            handletextpad=0.5,
            handlelength=1.6,
            labelspacing=0.6,
        )


def rate_ticks(axis: Any) -> None:
    """Ticks at whole octaves, not too many."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def loss_ticks(axes: "Axes") -> None:
    """A log scale with plain numbers at 1, 2 and 5, also where the losses span less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    decades = high / low
    steps: tuple[float, ...] = (1.0, 2.0, 5.0) if decades < 1e3 else (1.0,)
    if decades < 4:
        steps = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def size_ticks(axes: "Axes", sizes: Sequence[int]) -> None:
    """A log2 scale with the sizes themselves as ticks, thinned where there are many."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axes.set_xscale("log", base=2)
    shown = sizes[:: -(-len(sizes) // MANY)] if sizes else []
    axes.xaxis.set_major_locator(FixedLocator(list(shown)))
    axes.xaxis.set_major_formatter(FixedFormatter([str(size) for size in shown]))
    axes.xaxis.set_minor_locator(NullLocator())
    if sizes:
        axes.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)


def loss_colors() -> dict[str, Any]:
    """Dark where the loss is low, in steps."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    return {"cmap": colormaps["viridis"], "norm": BoundaryNorm(LEVELS, colormaps["viridis"].N)}


def times(loss: float, lowest: float) -> float:
    """A loss over the least one, at most the last level; over a least of 0, that or 1."""
    return min(loss / lowest if lowest > 0 else LEVELS[-1] if loss > 0 else 1.0, LEVELS[-1])


def edges(values: Sequence[float]) -> list[float]:
    """The borders of the cells around some values: half way between them."""
    inner = [(low + high) / 2 for low, high in itertools.pairwise(values)]
    first = inner[0] - values[0] if inner else 0.5
    last = values[-1] - inner[-1] if inner else 0.5
    return [values[0] - first, *inner, values[-1] + last]
