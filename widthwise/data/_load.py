"""Data by name, as the command line and configuration files give it."""

import os
from collections.abc import Callable
from typing import Any

from .._errors import InputError, unknown
from ._cifar import cifar10, cifar100
from ._csv import csv
from ._dataset import Dataset
from ._digits import digits
from ._fashion_mnist import fashion_mnist
from ._mnist import mnist
from ._npz import npz
from ._teachers import linear_teacher, mlp_teacher

Folder = str | os.PathLike[str] | None

_BY_NAME: dict[str, Callable[[Folder], Dataset]] = {
    "digits": lambda data_dir: digits(),
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "linear_teacher": lambda data_dir: linear_teacher(20, 5, 2048),
    "mlp_teacher": lambda data_dir: mlp_teacher(20, 64, 5, 2048),
}


def load(
    name_or_path: str | os.PathLike[str],
    data_dir: Folder = None,
    examples: int | None = None,
    image_size: int | None = None,
    *,
    target: str | None = None,
    **meaning: Any,
) -> Dataset:
    """A data set by its name, or from a file of the user's.

    **Arguments:**

    - `name_or_path`: `digits`, `fashion_mnist`, `mnist`, `cifar10`, `cifar100`, `linear_teacher` (20
      features, 5 outputs, 2048 training examples), `mlp_teacher` (the same, with 3 layers of width 64),
      or a path that ends in `.npz` or `.csv`.
    - `data_dir`: the only folder to look in for the files of `fashion_mnist`, `mnist`, `cifar10` and
      `cifar100`; the others need none.
    - `examples`: how many training examples to keep, drawn by `Dataset.first`; None for all.
    - `image_size`: the height to shrink images to, by `Dataset.shrunk`; None leaves them as they are.

    - `target`: of a `.csv`, the column that is learned (the last); `meaning`: `task`, `classes` and
      `standardize` of `.npz` and `.csv`, as of `from_arrays`; None and False leave them as they are.

    **Returns:** the data set.

    **Raises:** `InputError` for an unknown name, for files that are missing or not as expected, for
    more examples than there are, and for an image size that the data cannot have.

    >>> load("digits", examples=100).x_train.shape
    (100, 64)
    >>> load("digit")
    Traceback (most recent call last):
    widthwise._errors.InputError: unknown data 'digit': did you mean 'digits'? Known: a path ending in .csv, a \
path ending in .npz, cifar10, cifar100, digits, fashion_mnist, linear_teacher, mlp_teacher, mnist
    """
    name = str(name_or_path)
    stated = {key: value for key, value in ({"target": target} | meaning).items() if value not in (None, False)}
    ending = name.rpartition(".")[2]
    readers: dict[str, Callable[..., Dataset]] = {"npz": npz, "csv": csv}
    if "." in name and ending in readers:
        if target is not None and ending != "csv":
            raise _misplaced(name, {"target": target}, "it names a column of a .csv")
        data = readers[ending](name_or_path, **stated)
    elif name in _BY_NAME:
        if stated:
            raise _misplaced(name, stated, "its targets have one meaning; it is for files of your own")
        data = _BY_NAME[name](data_dir)
    else:
        raise unknown("data", name, [*_BY_NAME, "a path ending in .npz", "a path ending in .csv"])
    data = data if examples is None else data.first(examples)
    return data if image_size is None else data.shrunk(image_size)


def _misplaced(name: str, stated: dict[str, Any], why: str) -> InputError:
    setting, value = next(iter(stated.items()))
    return InputError(
        f"data {name!r} and {setting} {value}: {why}", setting=setting, value=value, remedy="leave it out"
    )
