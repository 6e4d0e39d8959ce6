"""The one form every data set takes: flat arrays, a normalization still to be applied, and an identity."""

import hashlib
import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .._errors import InputError, unknown

_INPUT_DTYPES = [np.dtype(kind) for kind in (np.uint8, np.float32, np.float64)]
# Labels are kept as int32.
_MOST_CLASSES = 2**31 - 1
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


# eq=False: comparing arrays field by field has no truth value, and identity keeps a Dataset hashable.
@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples to train and to test on: the network's input is (x - shift) / scale.

    The stored arrays stay raw (one byte a pixel); whoever feeds the network normalizes, in the network's
    float type. They are read-only, since `digest` names their content.

    **Arguments:**

    - `name`: what records and errors call the data.
    - `x_train`, `x_test`: inputs (examples, features); uint8, float32 or float64, the same in both.
    - `y_train`, `y_test`: integer labels (examples,) in 0 to classes - 1, kept as int32; or, where
      `classes` is None, float targets (examples, outputs).
    - `shift`, `scale`: a number or one per feature (features,), in the units of x; scale > 0.
    - `classes`: number of classes, at least 2; None for regression.
    - `image_shape`: (height, width, channels) of one flat x, last axis fastest; None if x is no image.
      `x_train.reshape(-1, *image_shape)` are the images.

    **Raises:** `InputError` where shapes disagree, an array is empty or of another type, a number is not
    finite, or a label is out of range; it names the array and the first bad row.

    >>> import numpy as np
    >>> x = np.array([[0, 2], [4, 6], [8, 2]], np.uint8)
    >>> data = Dataset("toy", x, np.array([0, 1, 2]), x, np.array([0, 1, 2]), shift=4, scale=4, classes=3)
    >>> data.in_size, data.out_size
    (2, 3)
    >>> ((data.x_train - data.shift) / data.scale).tolist()
    [[-1.0, -0.5], [0.0, 0.5], [1.0, -0.5]]
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    shift: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0
    classes: int | None = None
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        for field in _ARRAYS:
            self._store(field, np.asarray(getattr(self, field)))
        if isinstance(self.classes, np.integer):
            object.__setattr__(self, "classes", int(self.classes))
        for field in ("shift", "scale"):
            self._store(field, np.asarray(getattr(self, field), np.float64))
        self._check_inputs()
        self._check_image_shape()
        self._check_normalization()
        if self.classes is None:
            self._check_targets()
        else:
            self._check_labels(self.classes)
            for field in ("y_train", "y_test"):
                self._store(field, getattr(self, field).astype(np.int32))

    @property
    def in_size(self) -> int:
        """The number of features of one example."""
        return self.x_train.shape[1]

    @property
    def out_size(self) -> int:
        """The number of classes, or of regression targets, of one example."""
        return self.y_train.shape[1] if self.classes is None else self.classes

    @cached_property
    def digest(self) -> str:
        """The sha256 of all that training can see of the data (the name is not part of it)."""
        sha = hashlib.sha256(repr((self.classes, self.image_shape)).encode())
        for field in (*_ARRAYS, "shift", "scale"):
            array = getattr(self, field)
            sha.update(f"{field} {array.dtype.str} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def first(self, examples: int) -> "Dataset":
        """The same data with some of the training examples only; the test set stays.

        They are the first of a fixed permutation, every class by its share, so that the order of the rows decides
        nothing; the rows that are kept stay in order.

        **Arguments:** `examples`: how many to keep, from 1 to all.

        **Returns:** a new data set.

        **Raises:** `InputError` if there are fewer, or if `examples` is less than 1.

        >>> from widthwise.data import digits
        >>> shares = np.bincount(digits().first(100).y_train)
        >>> int(shares.min()) >= 9, int(shares.max()) <= 11
        (True, True)
        """
        whole = len(self.x_train)
        if not isinstance(examples, int | np.integer) or not 1 <= examples <= whole:
            raise self._error(f"{examples} training examples asked for", "examples", examples, f"expected 1 to {whole}")
        if examples == whole:
            return self
        kept = np.sort(self._drawn()[:examples])
        return replace(self, x_train=self.x_train[kept], y_train=self.y_train[kept])

    def with_validation(self, count: int) -> tuple["Dataset", "Dataset"]:
        """Hold out some training examples, drawn as by `first`: one data set to report on, one to choose with.

        **Arguments:** `count`: how many to hold out, from 1 to all but one.

        **Returns:** a pair that shares the remaining training examples: `(final, choosing)`. The test
        set of `final` is this data set's; that of `choosing` is the examples held out.

        **Raises:** `InputError` if no training example would be left, or if `count` is less than 1.

        >>> from widthwise.data import linear_teacher
        >>> final, choosing = linear_teacher(4, 2, examples=8, test_examples=5).with_validation(3)
        >>> len(final.x_train), len(final.x_test), len(choosing.x_train), len(choosing.x_test)
        (5, 5, 5, 3)
        """
        most = len(self.x_train) - 1
        if not isinstance(count, int | np.integer) or not 1 <= count <= most:
            raise self._error(f"{count} validation examples asked for", "validation", count, f"expected 1 to {most}")
        drawn = self._drawn()
        held, kept = np.sort(drawn[:count]), np.sort(drawn[count:])
        final = replace(self, x_train=self.x_train[kept], y_train=self.y_train[kept])
        return final, replace(final, x_test=self.x_train[held], y_test=self.y_train[held])

    def _drawn(self) -> np.ndarray:
        """The rows of the training examples in a fixed random order, every beginning with each class's share."""
        order = np.random.default_rng(0).permutation(len(self.x_train))
        if self.classes is None:
            return order
        labels = self.y_train[order]
        # An example that is the k-th of n of its class stands where (k + 1/2) / n of all are.
        by_class = np.argsort(labels, kind="stable")
        sizes = np.bincount(labels, minlength=self.classes)
        rank = np.empty(len(labels))
        rank[by_class] = np.concatenate([np.arange(size) for size in sizes])
        return order[np.argsort((rank + 0.5) / sizes[labels], kind="stable")]

    def shrunk(self, image_size: int) -> "Dataset":
        """The same images with `image_size` rows of pixels: averages over blocks of f x f, f = height / image_size.

            x'[i, j, c] = mean of x[f i + a, f j + b, c] over a, b = 0 .. f - 1

        Bytes are rounded to the nearest byte (halves to the even one) and stay bytes. A `shift` and a
        `scale` per feature are averaged over the same blocks: the input's mean stays, and its deviation
        falls as far as neighbouring pixels differ.

        **Arguments:** `image_size`: the height wanted; f must divide the width too.

        **Returns:** a new data set of image_size * (width / f) * channels features.

        **Raises:** `InputError` if the data are no images, or no whole f gives this height.

        >>> from widthwise.data import digits
        >>> digits().shrunk(4).image_shape
        (4, 4, 1)
        """
        if self.image_shape is None:
            raise self._error(
                f"image_size {image_size} asked for, and these are no images",
                "image_size",
                image_size,
                "leave it out, or give x as (examples, height, width) or (examples, height, width, channels) in an "
                ".npz file",
            )
        height, width, channels = self.image_shape
        sizes = [height // f for f in range(1, height + 1) if height % f == width % f == 0]
        if image_size not in sizes:
            raise self._error(
                f"image_size {image_size} asked for, of images of {height} x {width} pixels",
                "image_size",
                image_size,
                f"expected {', '.join(map(str, sizes))}, as whole blocks of pixels are averaged",
            )
        factor = height // image_size
        return replace(
            self,
            x_train=_pooled(self.x_train, self.image_shape, factor),
            x_test=_pooled(self.x_test, self.image_shape, factor),
            shift=_pooled(np.asarray(self.shift), self.image_shape, factor),
            scale=_pooled(np.asarray(self.scale), self.image_shape, factor),
            image_shape=(image_size, width // factor, channels),
        )

    def targets(self, split: str) -> np.ndarray:
        """What the network's output is compared with: one-hot rows, or the regression targets themselves.

        **Arguments:** `split`: `"train"` or `"test"`.

        **Returns:** (examples, out_size); float32 for one-hot rows.

        **Raises:** `InputError` for another split.

        >>> from widthwise.data import digits
        >>> digits().targets("test").sum(axis=1).max().item()
        1.0
        """
        if split not in ("train", "test"):
            raise unknown("split", split, ("train", "test"))
        y = self.y_train if split == "train" else self.y_test
        return y if self.classes is None else (y[:, None] == np.arange(self.classes)).astype(np.float32)

    def _store(self, field: str, array: np.ndarray) -> None:
        view = array.view()
        view.setflags(write=False)
        object.__setattr__(self, field, view)

    def _error(self, problem: str, setting: str, value: Any, remedy: str) -> InputError:
        return InputError(f"data {self.name!r}: {problem}", setting=setting, value=value, remedy=remedy)

    def _check_inputs(self) -> None:
        for field in ("x_train", "x_test"):
            x = getattr(self, field)
            if x.dtype not in _INPUT_DTYPES:
                raise self._error(
                    f"{field} has dtype {x.dtype}",
                    field,
                    x.dtype,
                    "expected uint8, float32 or float64, so convert it with astype",
                )
            self._check_matrix(field, x, "features")
        if (self.x_train.dtype, self.in_size) != (self.x_test.dtype, self.x_test.shape[1]):
            raise self._error(
                f"x_train is {self.x_train.dtype} with {self.in_size} features and x_test {self.x_test.dtype}"
                f" with {self.x_test.shape[1]}",
                "x_test",
                self.x_test.shape[1] if self.x_train.dtype == self.x_test.dtype else self.x_test.dtype,
                "expected the same in both",
            )

    def _check_image_shape(self) -> None:
        shape = self.image_shape
        if shape is not None and (len(shape) != 3 or min(shape) < 1 or math.prod(shape) != self.in_size):
            raise self._error(
                f"image_shape is {shape}",
                "image_shape",
                shape,
                f"expected (height, width, channels), each at least 1, with product {self.in_size}",
            )

    def _check_normalization(self) -> None:
        for field, lowest in (("shift", -np.inf), ("scale", 0.0)):
            array = np.asarray(getattr(self, field))
            if array.shape not in ((), (self.in_size,)):
                raise self._error(
                    f"{field} has shape {array.shape}", field, array.shape, f"expected () or ({self.in_size},)"
                )
            if not (np.isfinite(array) & (array > lowest)).all():
                kind = "finite" if field == "shift" else "finite and greater than 0"
                raise self._error(
                    f"{field} runs from {array.min()} to {array.max()}", field, array.min(), f"expected {kind}"
                )

    def _check_targets(self) -> None:
        for field in ("y_train", "y_test"):
            y = getattr(self, field)
            if y.dtype not in (np.float32, np.float64):
                raise self._error(
                    f"{field} has dtype {y.dtype}",
                    field,
                    y.dtype,
                    "expected float32 or float64 targets, or integer labels with the number of classes",
                )
            self._check_matrix(field, y, "outputs")
            self._check_length(field, y)
        if self.out_size != self.y_test.shape[1]:
            raise self._error(
                f"y_train has {self.out_size} outputs and y_test {self.y_test.shape[1]}",
                "y_test",
                self.y_test.shape[1],
                "expected the same in both",
            )

    def _check_labels(self, classes: int) -> None:
        if not 2 <= classes <= _MOST_CLASSES:
            raise self._error(
                f"classes is {classes}", "classes", classes, f"expected 2 to {_MOST_CLASSES}, or None for regression"
            )
        for field in ("y_train", "y_test"):
            y = getattr(self, field)
            if y.dtype.kind not in "iu" or y.ndim != 1:
                raise self._error(
                    f"{field} has dtype {y.dtype} and shape {y.shape}",
                    field,
                    y.shape if y.dtype.kind in "iu" else y.dtype,
                    "expected integer labels of shape (examples,), as argmax(axis=1) takes from one-hot rows",
                )
            self._check_length(field, y)
            bad = np.flatnonzero((y < 0) | (y >= classes))
            if bad.size:
                label, row = y[bad[0]], bad[0]
                raise self._error(
                    f"{field} holds the label {label} in row {row}", field, label, f"expected 0 to {classes - 1}"
                )

    def _check_matrix(self, field: str, array: np.ndarray, columns: str) -> None:
        if array.ndim != 2 or not array.size:
            remedy = f"expected (examples, {columns}), each at least 1"
            raise self._error(f"{field} has shape {array.shape}", field, array.shape, remedy)
        # Skipped for bytes, which would cost a second copy of all images.
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1)) if array.dtype.kind == "f" else np.empty(0)
        if bad.size:
            raise self._error(
                f"{field} holds NaN or infinity in row {bad[0]} ({bad.size} such rows)",
                field,
                bad[0],
                "expected finite numbers, so drop or mend these rows",
            )

    def _check_length(self, field: str, y: np.ndarray) -> None:
        x = getattr(self, field.replace("y", "x", 1))
        if len(y) != len(x):
            raise self._error(f"{field} has {len(y)} rows", field, len(y), f"expected {len(x)}, one for each row of x")


def _pooled(flat: np.ndarray, shape: tuple[int, int, int], factor: int) -> np.ndarray:
    """Averages over blocks of factor x factor pixels of (..., height * width * channels); a scalar stays."""
    if not flat.ndim:
        return flat
    images = flat.reshape(-1, *shape)
    # Sums of fewer than 65 793 bytes are exact in float32.
    kind = np.float32 if flat.dtype == np.uint8 else flat.dtype
    total = np.zeros((len(images), shape[0] // factor, shape[1] // factor, shape[2]), kind)
    for row, column in itertools.product(range(factor), repeat=2):
        total += images[:, row::factor, column::factor]
    total /= factor**2
    if flat.dtype == np.uint8:
        total = np.rint(total, out=total).astype(np.uint8)
    return total.reshape(*flat.shape[:-1], -1)
