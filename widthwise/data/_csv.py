"""The user's own table of numbers, from a file of comma-separated values."""

import csv as lines
import os
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from ._dataset import Dataset
from ._from_arrays import from_arrays


def csv(path: str | os.PathLike[str], target: str | None = None, **meaning: Any) -> Dataset:
    """A data set from a file of comma-separated values with a header: one column is the target, the others features.

    A fifth of the rows is held out as the test set, by a fixed permutation.

    **Arguments:** `path`: the file; `target`: the column's name (the last); `meaning`: `task`, `classes` and
    `standardize`, as of `from_arrays`. A target of text has labels.

    **Returns:** the data set, named by the path.

    **Raises:** `InputError` where the file is missing, empty or no table, no column has that name, and a feature is no
    number; it names the line.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "flowers.csv"
    ...     rows = [f"{i}.0,{i % 2},{'rose' if i % 2 else 'lily'}" for i in range(10)]
    ...     _ = path.write_text("\\n".join(["height,wet,kind", *rows]))
    ...     data = csv(path)
    >>> data.in_size, data.classes, len(data.x_train), len(data.x_test)
    (2, 2, 8, 2)
    """
    header, rows = _table(Path(path).expanduser())
    names = [name.strip() for name in header]
    if target is not None and target not in names:
        raise _error(path, f"has no column {target!r}", f"its columns are {', '.join(names)}")
    at = len(names) - 1 if target is None else names.index(target)
    others = [index for index in range(len(names)) if index != at]
    x = np.array([[_number(path, row, index, names[index]) for index in others] for row in rows])
    y = [row[1][at].strip() for row in rows]
    try:
        values: Any = np.array([int(one) for one in y])
    except ValueError:
        try:
            values = np.array([float(one) for one in y])
        except ValueError:
            values = np.array(y)
    return from_arrays(x.astype(np.float32), values, name=str(path), **meaning)


def _error(path: Any, problem: str, remedy: str) -> InputError:
    return InputError(f"data file {path}: {problem}", setting="data file", value=path, remedy=remedy)


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows that hold something, each with its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = [(number, row) for number, row in enumerate(lines.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, lines.Error) as error:
        raise _error(path, f"cannot be read ({error})", "expected comma-separated values with a header") from None
    if len(found) < 3 or len(found[0][1]) < 2:
        raise _error(path, "holds no table", "expected a header, two columns and two rows or more, separated by commas")
    header = found[0][1]
    if all(_is_number(cell) for cell in header):
        raise _error(path, f"its first line, {','.join(header)[:40]}, is no header", "put its columns' names first")
    for number, row in found[1:]:
        if len(row) != len(header):
            raise _error(path, f"line {number} has {len(row)} cells", f"expected {len(header)}, as in its header")
    return header, found[1:]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(path: Any, row: tuple[int, list[str]], index: int, column: str) -> float:
    line, cells = row
    if not _is_number(cells[index]):
        raise _error(
            path,
            f"{column} is {cells[index]!r} in line {line}",
            "expected a number: leave rows with missing values out, and encode text as numbers",
        )
    return float(cells[index])
