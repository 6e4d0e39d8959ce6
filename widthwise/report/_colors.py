"""Colours of losses on a map: steps of a loss over the best one of its size."""

import itertools
from collections.abc import Sequence
from typing import Any

# Steps of the loss over the size's best one: what a rate costs, finer where it matters.
LEVELS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)


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
