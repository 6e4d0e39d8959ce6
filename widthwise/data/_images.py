"""Data sets of images from the table of sources: their pixels and labels, with the source's normalization."""

import os

import numpy as np

from ._dataset import Dataset
from ._idx import read_idx
from ._places import folder_of
from ._sources import SOURCES, Source

Split = tuple[np.ndarray, np.ndarray]


def idx_images(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The data set `name` of gray images, from its four IDX files in the first place that has them all.

    **Arguments:** `name`: its name in the table of sources; `data_dir`: the only folder to look in, or
    None for the usual places.

    **Returns:** the data set, by `normalized_images`.

    **Raises:** `InputError` if a file is missing, damaged, or not the expected one.
    """
    source = SOURCES[name]
    folder = folder_of(name, source, data_dir)
    x_train, y_train, x_test, y_test = (read_idx(folder / file.name, file.sha256) for file in source.files)
    return normalized_images(name, source, (x_train[..., None], y_train), (x_test[..., None], y_test))


def normalized_images(name: str, source: Source, train: Split, test: Split) -> Dataset:
    """A data set from bytes as they are stored: (x / 255 - mean) / std is its shift and scale.

    **Arguments:** `name`; `source`: its entry in the table, whose mean and std are a number or one for
    each channel; `train`, `test`: images (examples, height, width, channels), uint8, and their labels.

    **Returns:** the data set, rows flat; pixels stay 0 to 255.
    """
    (x_train, y_train), (x_test, y_test) = train, test
    height, width, channels = x_train.shape[1:]
    return Dataset(
        name=name,
        x_train=x_train.reshape(len(x_train), -1),
        y_train=y_train,
        x_test=x_test.reshape(len(x_test), -1),
        y_test=y_test,
        shift=_per_feature(source.mean, height * width),
        scale=_per_feature(source.std, height * width),
        classes=source.classes,
        image_shape=(height, width, channels),
    )


def _per_feature(value: float | tuple[float, ...], pixels: int) -> np.ndarray | float:
    """In units of a byte; one number stays one, numbers a channel repeat with the channels, the fastest axis."""
    return 255 * np.tile(value, pixels) if isinstance(value, tuple) else 255 * value
