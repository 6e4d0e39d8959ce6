"""The user's own data, from one file of numpy arrays."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .._errors import InputError
from ._dataset import Dataset
from ._from_arrays import from_arrays

_KEYS = ("x_train", "y_train", "x_test", "y_test")
# RuntimeError: an encrypted archive, an unknown compression. MemoryError: also a header that lies.
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, MemoryError, zlib.error, zipfile.BadZipFile)


def npz(
    path: str | os.PathLike[str], *, task: str | None = None, classes: int | None = None, standardize: bool = False
) -> Dataset:
    """A data set from a file written by `numpy.savez(path, x_train=, y_train=, x_test=, y_test=)`.

    **Arguments:** `path`: the file. In it:

    - `x_train`, `x_test` (examples, ...): uint8, whose input is x / 255, or other numbers, used as
      they are. The axes after the first are flattened; (height, width) and (height, width, channels)
      are kept as the image's shape.
    - `y_train`, `y_test`: labels (whole numbers from 0 on, text, truth values, one-hot rows), or float
      targets (examples,) or (examples, outputs).

    `task`, `classes`, `standardize`: as of `from_arrays`.

    **Returns:** the data set, named by the path.

    **Raises:** `InputError` if the file is missing or damaged, lacks an array, or holds Python objects
    (never unpickled), NaN or infinity, or arrays that do not fit each other.

    >>> import numpy as np, os, tempfile
    >>> x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 2, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "mine.npz")
    ...     np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    ...     data = npz(path)
    >>> data.in_size, data.classes, data.image_shape
    (64, 3, (8, 8, 1))
    """
    arrays = _read(Path(path).expanduser())
    return from_arrays(**arrays, name=str(path), task=task, classes=classes, standardize=standardize)


def _read(path: Path) -> dict[str, np.ndarray]:
    needed = f"expected a file written by numpy.savez with the arrays {', '.join(_KEYS)}"
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(
                    f"data file {path} holds a single array", setting="data file", value=path, remedy=needed
                )
            missing = [key for key in _KEYS if key not in archive]
            if missing:
                raise InputError(
                    f"data file {path} holds {', '.join(archive) or 'nothing'}",
                    setting="data file",
                    value=path,
                    remedy=needed,
                )
            return {key: np.asarray(archive[key]) for key in _KEYS}
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"data file {path} cannot be read ({error})",
            setting="data file",
            value=path,
            remedy=f"{needed}, none of Python objects",
        ) from error
