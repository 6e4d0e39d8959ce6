"""Handwritten digits that come with scikit-learn: the default, since it needs no network."""

import numpy as np

from ._dataset import Dataset

_TRAIN_EXAMPLES = 1437


def digits() -> Dataset:
    """Handwritten digits, 8 x 8 pixels of 0 to 16, 1437 to train on and 360 to test on.

    Input: (x - mean) / (std + 0.1), per pixel, over the training examples, in units of 0 to 16; pixels
    that are always 0 stay 0. The split is the same for every seed of a run.

    **Returns:** the data set: 64 features, 10 classes.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998); the test
    part, as `sklearn.datasets.load_digits` carries it.

    >>> data = digits()
    >>> data.x_train.shape, data.x_test.shape, data.classes, data.x_train.max().item()
    ((1437, 64), (360, 64), 10, 16)
    """
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(values))
    x, y = values[order].astype(np.uint8), labels[order]
    x_train, x_test = np.split(x, [_TRAIN_EXAMPLES])
    y_train, y_test = np.split(y, [_TRAIN_EXAMPLES])
    return Dataset(
        name="digits",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        shift=x_train.mean(axis=0),
        # Nearly constant pixels would otherwise be blown up to dozens of standard deviations.
        scale=x_train.std(axis=0) + 0.1,
        classes=10,
        image_shape=(8, 8, 1),
    )
