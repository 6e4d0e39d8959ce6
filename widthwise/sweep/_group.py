"""What the runs of one compiled program share, and what tells them apart."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import InputError
from ..algorithms import AbstractAlgorithm
from ..network import Built
from ..parameterizations import Parameterization


class Member(NamedTuple):
    """What tells one run of a group from the others.

    **Fields:** `log2_activity_rate`: None where none is swept; `tuned`: True of a rate that was tuned at a smaller
    size and is run beside the grid, else None. It says why the run was made, and is no part of its name.
    """

    seed: int
    log2_rate: float
    log2_activity_rate: float | None = None
    tuned: bool | None = None

    def named(self) -> dict[str, float]:
        """The fields that are set: what a run's name is made from."""
        return {name: value for name, value in self._asdict().items() if value is not None and name != "tuned"}


def member_at(seed: int, point: Sequence[float], tuned: bool | None = None) -> Member:
    """The member at a point of the search: its log2 rate, or also its log2 activity rate."""
    return Member(seed, point[0], point[1] if len(point) > 1 else None, tuned)


class Work(NamedTuple):
    """Runs of one group that are to be trained: the group's index in the sweep, and which of its members.

    **Fields:** `together`: how many runs of the sweep's grid share an activity rate, from which follows how many share
    a call: runs beside the grid then share its compiled program.
    """

    group: int
    members: tuple[Member, ...]
    together: int


def members(
    log2_rates: Sequence[float], seeds: Sequence[int], log2_activity_rates: Sequence[float] | None = None
) -> list[Member]:
    """A group's runs in order, a function of the sweep alone: one activity rate after the other."""
    activity = [None] if log2_activity_rates is None else log2_activity_rates
    return [Member(seed, rate, other) for other in activity for seed in seeds for rate in log2_rates]


class Group(NamedTuple):
    """The runs that share one compiled program: all rates and seeds at one size.

    **Fields:** `build(key)`: the network; `algorithm`; `table`; `labels`: algorithm, parameterization, optimizer,
    width, depth; `log2_activity_rates`: of the relaxation, instead of its own `rate`; None to leave it as it is.
    """

    build: Callable[[PRNGKeyArray], Built]
    algorithm: AbstractAlgorithm
    table: Parameterization
    labels: dict[str, Any]
    log2_activity_rates: Sequence[float] | None = None

    def members(self, log2_rates: Sequence[float], seeds: Sequence[int]) -> list[Member]:
        """The group's runs in order."""
        return members(log2_rates, seeds, self.log2_activity_rates)

    def described(self) -> dict[str, Any]:
        """What all rows of the group say: its labels, and γ̄ and γ' where there is an output precision."""
        precision = self.algorithm.output_precision
        return self.labels | {
            "gamma_bar": None if precision is None else str(self.table.gamma_bar),
            # The shortest decimal of the array's own precision: 0.1, not 0.10000000149.
            "output_precision": None if precision is None else float(str(np.asarray(precision))),
        }


def with_activity_rate(algorithm: AbstractAlgorithm, rate: Float[Array, ""]) -> AbstractAlgorithm:
    """The algorithm whose relaxation makes steps of another size.

    **Arguments:** `algorithm`: with a `relaxation` that has an array field `rate`; `rate`.

    **Raises:** `InputError` where there is no such field.
    """
    relaxation = algorithm.relaxation
    if relaxation is None:
        raise InputError(
            f"log2_activity_rates: the algorithm {algorithm.name!r} has no activity rate to sweep",
            setting="algorithm",
            value=algorithm.name,
            remedy="predictive coding ('pc') has one",
        )
    if not relaxation.has_rate:
        raise InputError(
            f"log2_activity_rates: the relaxation {type(relaxation).__name__} has no rate to sweep",
            setting="relaxation",
            value=type(relaxation).__name__,
            remedy="ErrorDescent ('error') and ActivityDescent ('descent') have one",
        )
    return eqx.tree_at(lambda rule: rule.relaxation.rate, algorithm, rate, is_leaf=lambda leaf: leaf is None)
