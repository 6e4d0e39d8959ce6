"""A data set from arrays as people have them, and what their targets mean: said, asked, or as you state it."""

import dataclasses
import math
import warnings
from typing import Any

import numpy as np

from .._errors import InputError, RunWarning, unknown
from ._dataset import Dataset

TASKS = ("classification", "regression")
CLASSIFICATION, REGRESSION = (f"task={task!r} (--task {task})" for task in TASKS)
# So many values, each so often, look like labels though they are floats.
LABELS, OFTEN = 20, 4
# Inputs beyond this root mean square are far from what a network expects.
LARGEST_RMS = 30.0
HELD_OUT = 0.2


class DataWarning(RunWarning):
    """Data that may mean something else than they are taken for."""


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    name: str = "arrays",
    task: str | None = None,
    classes: int | None = None,
    standardize: bool = False,
) -> Dataset:
    """A data set from arrays, or from what numpy makes arrays of: lists, columns of a data frame, tensors of torch.

        input = x / 255 for bytes,  (x − mean) / std over the training examples with `standardize`,  else x

    **Arguments:** `x_train`, `x_test`: (examples, ...), the axes after the first flattened, (height, width) and
    (height, width, channels) kept as the image's shape; `y_train`, `y_test`: labels as whole numbers, text, truth
    values or one-hot rows, or float targets (examples,) or (examples, outputs); without a test set a fifth of the
    examples is held out, by a fixed permutation; `name`: what errors call the data; `task`: `"classification"` or
    `"regression"`, where the targets alone do not say it; `classes`: how many, of labels from 0 on; `standardize`:
    shift and scale every feature.

    **Returns:** a `Dataset`.

    **Raises:** `InputError` for arrays of objects, of different lengths, NaN, and targets that could mean several
    things.

    >>> data = from_arrays([[0.0, 1.0], [1.0, 0.0]] * 3, ["cat", "dog"] * 3, [[0.5, 0.5]], ["dog"])
    >>> data.classes, data.y_train.tolist(), data.y_test.tolist()
    (2, [0, 1, 0, 1, 0, 1], [1])
    """
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS)
    if (x_test is None) != (y_test is None):
        raise InputError(
            f"data {name!r}: one of x_test and y_test is None",
            setting="y_test" if y_test is None else "x_test",
            value=None,
            remedy="give both, or none, and a fifth of the examples is held out",
        )
    inputs = {key: _inputs(name, key, x) for key, x in (("x_train", x_train), ("x_test", x_test)) if x is not None}
    targets = {key: _array(name, key, y) for key, y in (("y_train", y_train), ("y_test", y_test)) if y is not None}
    if task == "regression" and classes is not None:
        raise InputError(
            f"data {name!r}: task 'regression' and classes {classes}",
            setting="classes",
            value=classes,
            remedy="give one of them",
        )
    found, count = _meaning(name, targets, task, classes)
    flat = {key: x.reshape(len(x), math.prod(x.shape[1:])) for key, x in inputs.items()}
    whole = Dataset(
        name=name,
        x_train=flat["x_train"],
        y_train=found["y_train"],
        x_test=flat.get("x_test", flat["x_train"]),
        y_test=found.get("y_test", found["y_train"]),
        classes=count,
        image_shape=_image_shape(name, inputs),
        scale=255.0 if flat["x_train"].dtype == np.uint8 else 1.0,
    )
    if x_test is None:
        whole = whole.with_validation(max(1, round(HELD_OUT * len(whole.x_train))))[1]
    if standardize:
        return _standardized(whole)
    if whole.x_train.dtype != np.uint8:
        _warn_of_scale(whole)
    return whole


def _array(name: str, key: str, values: Any) -> np.ndarray:
    """Values as an array of numbers, truth values or text."""
    try:
        found = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"data {name!r}: {key}, a {type(values).__name__}, is no array ({str(error).splitlines()[0]})",
            setting=key,
            value=type(values).__name__,
            remedy="give rows of one length",
        ) from None
    if found.dtype.kind == "O":
        if all(isinstance(one, str) for one in found.ravel()):
            return found.astype(str)
        raise InputError(
            f"data {name!r}: {key} holds Python objects of dtype object",
            setting=key,
            value=found.dtype,
            remedy="give numbers, as with astype('float32'), and columns of text as numbers of their own",
        )
    return found


def _inputs(name: str, key: str, values: Any) -> np.ndarray:
    """Inputs in a type that is kept: bytes, float32 or float64."""
    x = _array(name, key, values)
    if x.dtype.kind not in "buif":
        raise InputError(
            f"data {name!r}: {key} has dtype {x.dtype}",
            setting=key,
            value=x.dtype,
            remedy="expected numbers, so encode text or dates as numbers first",
        )
    if not x.ndim:
        raise InputError(
            f"data {name!r}: {key} has shape ()", setting=key, value=(), remedy="expected one row an example"
        )
    if x.dtype not in (np.uint8, np.float32, np.float64):
        x = x.astype(np.float32 if x.dtype.itemsize <= 4 else np.float64)
    return x[:, None] if x.ndim == 1 else x


def _image_shape(name: str, inputs: dict[str, np.ndarray]) -> tuple[int, int, int] | None:
    shapes = {key: x.shape[1:] for key, x in inputs.items()}
    train, test = shapes["x_train"], shapes.get("x_test", shapes["x_train"])
    if train != test:
        raise InputError(
            f"data {name!r}: an example has shape {train} in x_train and {test} in x_test",
            setting="x_test",
            value=test,
            remedy="expected the same in both",
        )
    match train:
        case height, width:
            return height, width, 1
        case height, width, channels if channels > 4 >= height:
            raise InputError(
                f"data {name!r}: x_train has images of {train}, which look like (channels, height, width)",
                setting="x_train",
                value=train,
                remedy="move the channels last, as with x.transpose(0, 2, 3, 1)",
            )
        case height, width, channels:
            return height, width, channels
    return None


def _standardized(data: Dataset) -> Dataset:
    """Every feature shifted and scaled by its mean and deviation over the training examples alone."""
    mean, std = (of(data.x_train, axis=0, dtype=np.float64) for of in (np.mean, np.std))
    # A feature that never changes is 0.
    return dataclasses.replace(data, shift=mean, scale=np.where(std > 0, std, 1.0))


def _meaning(
    name: str, targets: dict[str, np.ndarray], task: str | None, classes: int | None
) -> tuple[dict[str, np.ndarray], int | None]:
    """Targets as a `Dataset` takes them, and the number of classes; None for regression."""
    kinds = {key: y.dtype.kind for key, y in targets.items()}
    if len(set(kinds.values()) - {"b", "i", "u"}) + bool(set(kinds.values()) & {"b", "i", "u"}) > 1:
        raise InputError(
            f"data {name!r}: y_train has dtype {targets['y_train'].dtype} and y_test {targets['y_test'].dtype}",
            setting="y_test",
            value=targets["y_test"].dtype,
            remedy="expected the same kind in both",
        )
    if task == "regression":
        return {key: _column(name, key, y) for key, y in targets.items()}, None
    kind = kinds["y_train"]
    if all(_one_hot(y) for y in targets.values()) and (kind in "iub" or task == "classification"):
        count = targets["y_train"].shape[1] if classes is None else classes
        return {key: y.argmax(axis=1) for key, y in targets.items()}, count
    if kind == "f" and task is None and classes is None:
        _warn_of_labels(name, targets["y_train"])
        return {key: _column(name, key, y) for key, y in targets.items()}, None
    for key, y in targets.items():
        if y.ndim != 1 and not (y.ndim == 2 and y.shape[1] == 1):
            raise InputError(
                f"data {name!r}: {key} has shape {y.shape}",
                setting=key,
                value=y.shape,
                remedy=f"expected labels of shape (examples,), one-hot rows, or {REGRESSION} for targets",
            )
    labels = {key: y.reshape(-1) for key, y in targets.items()}
    return _labels(name, labels, task, classes)


def _labels(
    name: str, labels: dict[str, np.ndarray], task: str | None, classes: int | None
) -> tuple[dict[str, np.ndarray], int]:
    """Labels numbered from 0, and how many classes there are."""
    values = np.unique(np.concatenate(list(labels.values())))
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and bool((values == np.round(values)).all()))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(
            f"data {name!r}: y_train or y_test holds NaN or infinity",
            setting="y_train",
            value="NaN",
            remedy="drop or mend these examples",
        )
    if classes is not None:
        if not whole:
            raise InputError(
                f"data {name!r}: classes {classes} of labels that are no whole numbers",
                setting="classes",
                value=classes,
                remedy="leave it out: the labels that occur are numbered",
            )
        return {key: y.astype(np.int64) for key, y in labels.items()}, classes
    if whole and len(values) and values[0] >= 0 and task is None:
        most = int(values[-1]) + 1
        if most == len(values):
            return {key: y.astype(np.int64) for key, y in labels.items()}, most
        if most > 2 * len(values):
            raise InputError(
                f"data {name!r}, task None: {len(values)} labels occur, {values[0]} to {values[-1]}: {most} classes?",
                setting="task",
                value=None,
                remedy=f"say {REGRESSION}, or {CLASSIFICATION} to number those that occur, or {_classes(most)}",
            )
        warnings.warn(
            f"data {name!r}: {len(values)} of {most} labels occur: say {CLASSIFICATION} to number those that do, or "
            f"{_classes(most)} if the others exist",
            DataWarning,
            stacklevel=5,
        )
        return {key: y.astype(np.int64) for key, y in labels.items()}, most
    if whole and len(values) and values[0] < 0 and task is None:
        raise InputError(
            f"data {name!r}: y_train or y_test holds the label {values[0]}",
            setting="y_train",
            value=values[0],
            remedy=f"say {CLASSIFICATION} to number the values that occur, or {REGRESSION}",
        )
    if len(values) > max(2, len(labels["y_train"]) // 2) and values.dtype.kind == "f":
        raise InputError(
            f"data {name!r}, task {task!r}: {len(values)} values as labels of {len(labels['y_train'])} examples",
            setting="task",
            value=task,
            remedy=f"say {REGRESSION}",
        )
    return {key: np.searchsorted(values, y) for key, y in labels.items()}, len(values)


def _classes(count: int) -> str:
    return f"classes={count} (--classes {count})"


def _column(name: str, key: str, y: np.ndarray) -> np.ndarray:
    """Float targets, one row an example."""
    if y.dtype.kind not in "biuf":
        raise InputError(
            f"data {name!r}: {key} has dtype {y.dtype}, and task is 'regression'",
            setting=key,
            value=y.dtype,
            remedy="expected numbers, or leave the task out for labels",
        )
    y = y if y.dtype in (np.float32, np.float64) else y.astype(np.float32 if y.dtype.itemsize <= 2 else np.float64)
    return y[:, None] if y.ndim == 1 else y


def _one_hot(y: np.ndarray) -> bool:
    """Whether every row is one 1 among zeros."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def _warn_of_labels(name: str, y: np.ndarray) -> None:
    """Floats that look like labels are targets, and say so."""
    if y.ndim > 1 and y.shape[1] > 1:
        return
    values = np.unique(y)
    if len(values) <= min(LABELS, y.size // OFTEN) and len(values) > 1 and (values == np.round(values)).all():
        warnings.warn(
            f"data {name!r}: y_train holds {len(values)} whole numbers as floats, taken as targets of a regression: "
            f"say {CLASSIFICATION} if they are labels, or {REGRESSION}",
            DataWarning,
            stacklevel=4,
        )


def _warn_of_scale(data: Dataset) -> None:
    """Inputs far from order one make every rate diverge, which no rate mends."""
    rms = np.sqrt(np.mean(np.square(data.x_train, dtype=np.float64), axis=0))
    worst = int(np.argmax(rms))
    if rms[worst] > LARGEST_RMS:
        warnings.warn(
            f"data {data.name!r}: feature {worst} has a root mean square of {rms[worst]:.3g}, and networks expect "
            f"inputs of order one: say standardize=True (--standardize)",
            DataWarning,
            stacklevel=3,
        )
