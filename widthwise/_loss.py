"""Output losses: per example, summed over outputs, on the prediction and its target."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._errors import InputError

Loss = Callable[[Float[Array, "batch out"], Float[Array, "batch out"]], Float[Array, " batch"]]


LOSS_FORM = "expected loss(predictions, targets) -> one number an example, both of shape (examples, outputs)"


def output_error(
    loss: Loss, prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]
) -> Float[Array, "batch out"]:
    """−∂loss/∂f, which for MSE is y − f."""
    return -jax.grad(lambda f: jnp.sum(loss(f, y)))(prediction)


def check_loss(loss: Loss, data: Any, dtype: Any, batch: int = 2) -> None:
    """Refuse, before anything is trained, a loss that is not one number an example, and targets that it cannot have.

    **Arguments:** `loss`; `data`: a `Dataset`; `dtype`: of predictions; `batch`: how many examples to try, abstractly.

    **Raises:** `InputError`.
    """
    name = getattr(loss, "__name__", type(loss).__name__)
    rows = jax.ShapeDtypeStruct((batch, data.out_size), dtype)
    try:
        found = jax.eval_shape(loss, rows, rows)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"loss {name} cannot be called with predictions and targets of shape {rows.shape} ({reason})",
            setting="loss",
            value=name,
            remedy=LOSS_FORM,
        ) from None
    shape = getattr(found, "shape", None)
    if shape != (batch,):
        mean = "; leave its mean over examples out, as training takes it" if shape == () else ""
        raise InputError(
            f"loss {name} returns shape {shape} for {batch} examples",
            setting="loss",
            value=name,
            remedy=LOSS_FORM + mean,
        )
    if loss is cross_entropy and data.classes is None:
        rows_of = np.concatenate([data.targets("train"), data.targets("test")])
        if (rows_of < 0).any() or not np.allclose(rows_of.sum(axis=1), 1, atol=1e-3):
            raise InputError(
                f"targets of {data.name} are no rows of probabilities, and the loss is cross_entropy",
                setting="loss",
                value="cross_entropy",
                remedy="give integer labels, rows that are at least 0 and sum to 1, or use mse",
            )


def mse(prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]) -> Float[Array, " batch"]:
    """Half the squared error, summed over outputs.

        1/2 |y − f|²

    >>> mse(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]])).tolist()
    [2.5]
    """
    return 0.5 * jnp.sum((prediction - y) ** 2, axis=-1)


def cross_entropy(prediction: Float[Array, "batch out"], y: Float[Array, "batch out"]) -> Float[Array, " batch"]:
    """Cross-entropy of logits f with target probabilities y, to relative precision also where it is tiny.

        −Σ_k y_k log softmax(f)_k = Σ_k y_k (f_m − f_k) + Σ_k y_k log(1 + Σ_{k≠m} exp(f_k − f_m)),   m = argmax f

    **Raises:** `InputError` for one output.

    >>> float(cross_entropy(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))[0])  # log 2
    0.693147...
    """
    if prediction.shape[-1] < 2:
        raise InputError(
            f"loss cross_entropy of {prediction.shape[-1]} output, whose softmax is 1 whatever is predicted",
            setting="loss",
            value="cross_entropy",
            remedy="give integer labels, so that each class has an output, or use mse",
        )
    largest = jnp.argmax(prediction, axis=-1, keepdims=True)
    below = prediction - jnp.take_along_axis(prediction, largest, axis=-1)
    # The largest is left out of the sum: 1 + tiny would round the rest away.
    others = jnp.arange(prediction.shape[-1]) != largest
    rest = jnp.log1p(jnp.sum(jnp.where(others, jnp.exp(below), 0), axis=-1))
    return jnp.sum(y, axis=-1) * rest - jnp.sum(y * below, axis=-1)
