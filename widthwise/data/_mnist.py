"""MNIST: handwritten digits, the oldest benchmark of all."""

import os

from ._dataset import Dataset
from ._images import idx_images


def mnist(data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """MNIST, 28 x 28 gray pixels of 0 to 255, 60 000 to train on and 10 000 to test on.

    Input: (x / 255 - 0.1307) / 0.3081. The four gzipped IDX files are looked for where `fashion_mnist`
    looks, Debian's folder apart, and their sha256 is checked. Their names are those of Fashion-MNIST:
    where both are kept, each needs a folder of its name.

    **Arguments:** `data_dir`: the only folder to look in (itself or its subfolder `mnist`).

    **Returns:** the data set: 784 features, 10 classes, images of shape (28, 28, 1).

    **Raises:** `InputError` if a file is missing and cannot be downloaded, or is not the expected one.

    Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits (1998).
    """
    return idx_images("mnist", data_dir)
