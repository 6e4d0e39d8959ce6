"""Fashion-MNIST: articles of clothing, the standard data set of this library's experiments."""

import os

from ._dataset import Dataset
from ._images import idx_images


def fashion_mnist(data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Fashion-MNIST, 28 x 28 gray pixels of 0 to 255, 60 000 to train on and 10 000 to test on.

    Input: (x / 255 - 0.2860) / 0.3530. The four gzipped IDX files are looked for, in this order, in
    the folder of the environment variable WIDTHWISE_DATA, the user's cache (WIDTHWISE_CACHE or the
    platform's), the folder of Debian's package dataset-fashion-mnist, and the mirrors, from which they
    are downloaded to the cache. Their sha256 is checked wherever they come from.

    **Arguments:** `data_dir`: the only folder to look in (itself or its subfolder `fashion_mnist`).

    **Returns:** the data set: 784 features, 10 classes, images of shape (28, 28, 1).

    **Raises:** `InputError` if a file is missing and cannot be downloaded, or is not the expected one.

    Source: H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv:1708.07747 (MIT licence).
    """
    return idx_images("fashion_mnist", data_dir)
