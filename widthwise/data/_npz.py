"""The user's own data, from one file of numpy arrays."""

import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .._errors import InputError
from ._dataset import Dataset

_KEYS = ("x_train", "y_train", "x_test", "y_test")
# RuntimeError: an encrypted archive, an unknown compression. MemoryError: also a header that lies.
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, MemoryError, zlib.error, zipfile.BadZipFile)


def npz(path: str | os.PathLike[str]) -> Dataset:
    """A data set from a file written by `numpy.savez(path, x_train=, y_train=, x_test=, y_test=)`.

    **Arguments:** `path`: the file. In it:

    - `x_train`, `x_test` (examples, ...): uint8, whose input is x / 255, or float32 or float64, used as
      they are. The axes after the first are flattened; (height, width) and (height, width, channels)
      are kept as the image's shape.
    - `y_train`, `y_test`: integer labels (examples,) from 0 to the largest one, or float targets
      (examples,) or (examples, outputs).

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
    y_train, y_test = arrays["y_train"], arrays["y_test"]
    labels = y_train.dtype.kind in "iu" and y_test.dtype.kind in "iu"
    return Dataset(
        name=str(path),
        x_train=_flat(arrays["x_train"]),
        y_train=y_train if labels else _column(y_train),
        x_test=_flat(arrays["x_test"]),
        y_test=y_test if labels else _column(y_test),
        scale=255.0 if arrays["x_train"].dtype == np.uint8 else 1.0,
        classes=1 + int(max(y_train.max(initial=0), y_test.max(initial=0))) if labels else None,
        image_shape=_image_shape(path, arrays["x_train"].shape[1:], arrays["x_test"].shape[1:]),
    )


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


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), math.prod(x.shape[1:])) if x.ndim else x


def _column(y: np.ndarray) -> np.ndarray:
    return y[:, None] if y.ndim == 1 else y


def _image_shape(
    path: str | os.PathLike[str], train: tuple[int, ...], test: tuple[int, ...]
) -> tuple[int, int, int] | None:
    if train != test:
        raise InputError(
            f"data file {path}: an example has shape {train} in x_train and {test} in x_test",
            setting="data file",
            value=path,
            remedy="expected the same in both",
        )
    match train:
        case height, width:
            return height, width, 1
        case height, width, channels:
            return height, width, channels
    return None
