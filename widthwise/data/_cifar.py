"""CIFAR-10 and CIFAR-100: small color photographs, from the archives of plain bytes (nothing is unpickled)."""

import os
from dataclasses import dataclass

import numpy as np

from .._errors import InputError
from ._dataset import Dataset
from ._images import Split, normalized_images
from ._places import folder_of
from ._sources import SOURCES
from ._tar import read_members

_CHANNELS, _HEIGHT, _WIDTH = 3, 32, 32


@dataclass(frozen=True)
class Layout:
    """Which members of an archive hold which split, and how many bytes of labels, the finest last, start a record."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: int


_LAYOUTS = {
    "cifar10": Layout(
        train=tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
        test=("cifar-10-batches-bin/test_batch.bin",),
        labels=1,
    ),
    "cifar100": Layout(train=("cifar-100-binary/train.bin",), test=("cifar-100-binary/test.bin",), labels=2),
}


def cifar10(data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """CIFAR-10, 32 x 32 pixels of three colors of 0 to 255, 50 000 to train on and 10 000 to test on.

    Input: (x / 255 - mean) / std with the training set's mean and std of each color, (0.4914, 0.4822,
    0.4465) and (0.2470, 0.2435, 0.2616). The archive `cifar-10-binary.tar.gz` is looked for where
    `fashion_mnist` looks, Debian's folder apart; it stays packed, and its sha256 is checked.

    **Arguments:** `data_dir`: the only folder to look in (itself or its subfolder `cifar10`).

    **Returns:** the data set: 3072 features, the color fastest, 10 classes, images of shape (32, 32, 3).

    **Raises:** `InputError` if the archive is missing and cannot be downloaded, or is not the expected one.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    return _cifar("cifar10", data_dir)


def cifar100(data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """CIFAR-100, as `cifar10` but of 100 classes (the fine labels), 600 images each.

    Input: (x / 255 - mean) / std with mean (0.5071, 0.4865, 0.4409) and std (0.2673, 0.2564, 0.2762) of
    the colors. The archive is `cifar-100-binary.tar.gz`.

    **Arguments:** `data_dir`: the only folder to look in (itself or its subfolder `cifar100`).

    **Returns:** the data set: 3072 features, the color fastest, 100 classes, images of shape (32, 32, 3).

    **Raises:** `InputError` if the archive is missing and cannot be downloaded, or is not the expected one.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    return _cifar("cifar100", data_dir)


def _cifar(name: str, data_dir: str | os.PathLike[str] | None) -> Dataset:
    source, layout = SOURCES[name], _LAYOUTS[name]
    (file,) = source.files
    path = folder_of(name, source, data_dir) / file.name
    members = read_members(path, (*layout.train, *layout.test), file.archive_sha256)

    def split(names: tuple[str, ...]) -> Split:
        parts = [cifar_records(f"{path}: {member}", members.pop(member), layout.labels) for member in names]
        count = sum(len(images) for images, _ in parts)
        # Copied once, to where they stay: three copies of 150 MB would be in memory at a time.
        images = np.empty((count, _HEIGHT, _WIDTH, _CHANNELS), np.uint8)
        np.concatenate([part for part, _ in parts], out=images)
        return images, np.concatenate([labels for _, labels in parts])

    return normalized_images(name, source, split(layout.train), split(layout.test))


def cifar_records(place: str, content: bytes, labels: int) -> Split:
    """The images and labels in one file of records: bytes of labels, then a plane of pixels for each color.

        x[n, row, column, color] = record n[labels + 1024 color + 32 row + column]

    **Arguments:** `place`: what errors call the file; `content`: its bytes; `labels`: how many of them
    start a record, of which the last is taken.

    **Returns:** images (examples, 32, 32, 3), uint8, and labels (examples,), uint8: views of the content.

    **Raises:** `InputError` where the content is no whole number of records, or none.

    Source: the section on the binary version of A. Krizhevsky, The CIFAR-10 and CIFAR-100 datasets.
    """
    size = labels + _CHANNELS * _HEIGHT * _WIDTH
    if not content or len(content) % size:
        raise InputError(
            f"data file {place} has {len(content)} bytes, of records of {size}",
            setting="data file",
            value=place,
            remedy="fetch the archive again",
        )
    table = np.frombuffer(content, np.uint8).reshape(-1, size)
    planes = table[:, labels:].reshape(-1, _CHANNELS, _HEIGHT, _WIDTH)
    return np.moveaxis(planes, 1, -1), table[:, labels - 1]
