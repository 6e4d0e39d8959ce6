"""Regression on the outputs of a random network: data of any size whose best solution is known."""

import itertools
import math
from collections.abc import Callable

import numpy as np

from .._errors import InputError
from ._dataset import Dataset

Teacher = Callable[[np.ndarray], np.ndarray]


def linear_teacher(
    in_size: int,
    out_size: int,
    examples: int,
    *,
    seed: int = 0,
    noise: float = 0.0,
    test_examples: int = 512,
) -> Dataset:
    """Regression on a random linear map: y = x Tᵀ / √in_size + noise ξ; x, T and ξ are standard normal.

    **Arguments:** `in_size`, `out_size`: features and outputs of one example; `examples`,
    `test_examples`: how many to train and to test on; `seed`: of everything random here, and only of
    that; `noise`: standard deviation of what is added to each output (in training and in test), where
    each output itself has standard deviation near 1.

    **Returns:** the data set, float32; with the same seed, more examples extend the fewer.

    **Raises:** `InputError` for a size below 1, or a seed or a noise below 0.

    >>> data = linear_teacher(20, 5, examples=100)
    >>> data.x_train.shape, data.y_train.shape, data.classes
    ((100, 20), (100, 5), None)
    """
    _check_sizes(in_size=in_size, out_size=out_size, examples=examples, test_examples=test_examples)
    (teacher,) = _weights([in_size, out_size], seed)
    return _sampled("linear_teacher", lambda x: x @ teacher, in_size, (examples, test_examples), seed=seed, noise=noise)


def mlp_teacher(
    in_size: int,
    width: int,
    out_size: int,
    examples: int,
    *,
    depth: int = 3,
    seed: int = 0,
    noise: float = 0.0,
    test_examples: int = 512,
) -> Dataset:
    """Regression on a random tanh network: y = W_L h_{L-1} / √width + noise ξ, hₗ = tanh(Wₗ hₗ₋₁ / √nₗ₋₁).

    **Arguments:** `in_size`, `width`, `out_size`: features, units of each hidden layer, outputs;
    `depth`: L, the number of weight matrices (1 is the linear teacher); `examples`, `test_examples`,
    `seed`, `noise`: as in `linear_teacher`. h₀ is x; x, ξ and every Wₗ are standard normal.

    **Returns:** the data set, float32; with the same seed, more examples extend the fewer.

    **Raises:** `InputError` for a size or a depth below 1, or a seed or a noise below 0.

    >>> data = mlp_teacher(20, 64, 5, examples=100, depth=2)
    >>> data.x_test.shape, data.y_test.shape, data.y_test.dtype.name
    ((512, 20), (512, 5), 'float32')
    """
    sizes = {"in_size": in_size, "width": width, "out_size": out_size, "depth": depth}
    _check_sizes(**sizes, examples=examples, test_examples=test_examples)
    *hidden, last = _weights([in_size, *[width] * (depth - 1), out_size], seed)

    def teacher(x: np.ndarray) -> np.ndarray:
        for weight in hidden:
            x = np.tanh(x @ weight)
        return x @ last

    return _sampled("mlp_teacher", teacher, in_size, (examples, test_examples), seed=seed, noise=noise)


def _weights(sizes: list[int], seed: int) -> list[np.ndarray]:
    """Standard normal matrices (inputs, outputs), divided by √inputs."""
    if seed < 0:
        raise InputError(f"seed is {seed}", setting="seed", value=seed, remedy="expected 0 or more")
    rng = np.random.default_rng([seed, 0])
    return [rng.standard_normal((m, n)) / math.sqrt(m) for m, n in itertools.pairwise(sizes)]


def _sampled(name: str, teacher: Teacher, in_size: int, counts: tuple[int, int], *, seed: int, noise: float) -> Dataset:
    if not (math.isfinite(noise) and noise >= 0):
        raise InputError(
            f"noise is {noise}", setting="noise", value=noise, remedy="expected a standard deviation, 0 or more"
        )
    x_and_y = []
    for split, count in enumerate(counts):
        # Streams of their own: the number of training examples changes neither the test set nor the noise.
        x = np.random.default_rng([seed, 1, split]).standard_normal((count, in_size)).astype(np.float32)
        y = teacher(x.astype(np.float64))
        y += noise * np.random.default_rng([seed, 2, split]).standard_normal(y.shape)
        x_and_y.append((x, y.astype(np.float32)))
    (x_train, y_train), (x_test, y_test) = x_and_y
    return Dataset(name, x_train, y_train, x_test, y_test)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name} is {size}", setting=name, value=size, remedy="expected at least 1")
