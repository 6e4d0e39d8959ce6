"""The comparison's arithmetic and its readable table; the standard library only."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Median, least and most of some measurements, and how many they are."""

    median: float
    low: float
    high: float
    count: int

    def times(self, factor: float) -> "Spread":
        """In another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.count)

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)}-{short(self.high)}; {self.count})"


def spread(values: Iterable[float]) -> Spread:
    """The spread of measurements, at least one."""
    held = list(values)
    return Spread(statistics.median(held), min(held), max(held), len(held))


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Pair by pair, how many times as much they take; above 1 we take less.

    The median of these is compared, not a ratio of medians: a shared machine's speed drifts between pairs, not
    within one.
    """
    return [high / low for high, low in zip(theirs, ours, strict=True)]


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
