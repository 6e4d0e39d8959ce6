"""Stages: one layer of the chain z_l = f_l(z_{l-1}), with its activation and, where it has one, its skip."""

import abc
from typing import Any, TypeAlias

import equinox as eqx
from jaxtyping import PRNGKeyArray

from .._errors import InputError
from ._layer import Linear, activation

# A pytree of arrays with a leading batch axis.
State: TypeAlias = Any


class AbstractStage(eqx.Module):
    """One layer f_l of the chain, on batches.

    A stage maps the state of the layer below, a pytree of arrays with a leading batch axis, to its own. Inside
    a segment its arrays carry a leading axis of depth; `network/_chain.py` alone takes it away.
    """

    @property
    @abc.abstractmethod
    def is_linear(self) -> bool:
        """Whether f_l is affine in its input, so that the equilibrium has a closed form."""

    @abc.abstractmethod
    def __call__(self, x: State, *, key: PRNGKeyArray | None = None, train: bool = True) -> State:
        """The layer's prediction f_l(x)."""

    @property
    def places(self) -> int:
        """At how many places of its state each weight acts: the pixels of a convolution."""
        return 1

    @property
    def has_statistics(self) -> bool:
        """Whether the stage normalizes by statistics of the batch, which `calibrated` measures."""
        return False

    def calibrated(self, x: State) -> "AbstractStage":
        """The stage with the statistics of a batch: itself, unless it has some."""
        return self

    def transposed(self, z: State, like: State) -> State:
        """W_l^T z, of the stage's linear map with its multiplier: the way down of tied feedback.

        **Arguments:** `z`: a state of this layer; `like`: one of the layer below, whose shape the result has.

        **Raises:** `InputError` where the stage has none.
        """
        raise InputError(
            f"the stage {type(self).__name__} has no transposed map",
            setting="stage",
            value=type(self).__name__,
            remedy="use the feedback 'ridge'",
        )


class Dense(AbstractStage):
    """An affine map between two activations, and a skip around all of it where `residual`.

        f(x) = after(a W before(x) + b)  (+ x)

    **Arguments:** `linear`; `before`, `after`: names of activations (pre-activation states use `before`,
    post-activation states `after`, the other is `"linear"`); `residual`.
    """

    linear: Linear
    before: str = eqx.field(static=True, default="linear")
    after: str = eqx.field(static=True, default="linear")
    residual: bool = eqx.field(static=True, default=False)

    @property
    def is_linear(self) -> bool:
        """Whether both activations are the identity."""
        return self.before == self.after == "linear"

    def __call__(self, x: State, *, key: PRNGKeyArray | None = None, train: bool = True) -> State:
        """f(x) on a batch; deterministic, so `key` and `train` change nothing."""
        out = activation(self.after)(self.linear(activation(self.before)(x)))
        return out + x if self.residual else out

    def transposed(self, z: State, like: State) -> State:
        """a W^T z; a residual stage has no one map that its feedback could be tied to."""
        return super().transposed(z, like) if self.residual else self.linear.transposed(z)
