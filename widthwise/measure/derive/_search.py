"""Exponents by measurement: from an algorithm, a network family and an optimizer, and no table, to a table.

The desiderata, each the slope of one measurement of `_response` against the width M:

| exponent of | measured | should grow as | because |
|---|---|---|---|
| init, all but the readout | signal | M^0 | states stay of order one at initialization |
| init of the readout | passed | M^(1/2 − r) | what moved by M^(r − 1/2) changes the output by order one |
| rate, hidden | own | M^(r − 1/2) | every layer moves by as much as the richness r asks for |
| rate of the readout | own | M^0 | it changes the output by order one |
| epsilon | gradient | as it does | Adam's ε stays below the gradient's entries |

Feedback, where the algorithm has some, has measurements of its own (`_way_down`).

Over depth L all should be L^0, measured as `branches` (init) and `through` (rates): the residual stages together move
the state by order one. A measurement answers a change of its exponent by the same power, so that

    exponent <- exponent + (slope − desired)

is right at once where the others are, and is repeated until nothing changes. Init exponents of layers below the
readout come first, from the forward pass alone; the readout's and the rates follow together. What is rounded are the
exponents that no gauge move changes, A = a + b, C = c + 2a (SGD) or c + a (Adam), g − a: a stays as it was given.

Sources: arXiv 2404.19719, 2411.02001 (desiderata); 2203.03466 (own contributions); docs/theory.md A2, C1, D2.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import numpy as np

from ..._errors import InputError
from ..._loss import Loss, mse
from ..._numbers import whole_number
from ...algorithms import AbstractAlgorithm
from ...network import Built
from ...parameterizations import Parameterization, Rational, Role, fraction, update_rule
from ...training import leaves_steps, streams
from .._feedback_movement import feedback_rule
from .._layer_response import FIRST_RATE, Found, forward_program, response_program
from .._preconditions import check_algorithm, check_gradient, check_growth, check_normalization
from .._probe import LINEAR_MOVEMENT, check_settings, increasing, networks_of
from .._slopes import Slope
from ._estimates import Axis, Estimates, forward_estimates, learning_estimates
from ._feedback_exponents import feedback_estimates, feedback_program, held_feedback, learns_unseen
from ._result import Derivation
from ._rounding import CONFIDENT, LEAST_SIZES, Exponent, rounded, settled_slope
from ._table import DEEP, completed, exponent, gauge_part, start_table, unmeasured_rows, with_exponents

HALF = Fraction(1, 2)
ROUNDS = 10
# No exponent moves farther at once: where states blow up a slope says no more than its sign.
LARGEST_STEP = Fraction(2)
# The prediction may vanish with the width, not grow with it.
LARGEST_GROWTH = 0.2


def derive(
    build: Callable[..., Built],
    algorithm: AbstractAlgorithm,
    *,
    optimizer: Any = "sgd",
    richness: Rational = HALF,
    gamma_bar: Rational | None = None,
    start: Parameterization | None = None,
    widths: Sequence[int] = (64, 128, 256, 512),
    depths: Sequence[int] | None = None,
    seeds: int = 16,
    steps: int = 1,
    rate: float | None = None,
    loss: Loss = mse,
    epsilon: float = 1e-12,
    denominator: int = 4,
    on_round: Callable[[str], None] = lambda text: None,
) -> Derivation:
    """Find the exponents with which a network family and an algorithm keep the desiderata, by measuring.

    **Arguments:** `build(width, key, table)`: the family, as a function of the table too; with `depths`
    `build(width, depth, key, table)`; `algorithm`: ours or one's own; `optimizer`: a name, an
    `UpdateRule`, or a pair of one and a function (see `training.train`); `richness`: r
    that is asked for; `gamma_bar`: exponent of predictive coding's output precision that is asked for (0); `start`: any
    table, whose exponents are where the search begins, and whose multipliers, precisions and base stay (default: std
    1/sqrt(fan-in), one rate); `widths`: increasing, at least 3 to be sure of anything; `depths`: measured at the
    smallest width, the widths at the smallest depth; `seeds`: at least 2; `steps`: full-batch steps on the coordinate
    check's probe; `rate`: base rate, or None for one at each size that moves the network by about 2 %; `loss`;
    `epsilon`: Adam's; `denominator`: of the fractions that exponents are rounded to; `on_round`: told what is measured.

    **Returns:** a `Derivation`: print it, or take its `.table` where `.reasons` is empty.

    **Raises:** `InputError` for sizes that do not increase, settings out of range, networks built from another table
    than `build` is given, and, by the layer's name, stages that do not grow and an algorithm whose errors or gradients
    have other shapes than the network or are not finite.

    >>> import widthwise as ww
    >>> family = lambda width, key, table: ww.mlp(8, width, 3, depth=2, table=table, key=key)
    >>> found = derive(family, ww.Backprop(), widths=(64, 256, 1024), seeds=4)
    >>> [str(one.value) for one in found.exponents if one.letter == "c"]
    ['-1', '1']
    """
    widths = increasing(widths)
    depths = None if depths is None else increasing(depths, "depths")
    r = fraction(richness)
    row = optimizer[0] if isinstance(optimizer, tuple) and len(optimizer) == 2 else optimizer
    own = update_rule(row)
    check_settings(seeds, steps, rate)
    denominator = whole_number("denominator", denominator)
    leaves_steps(algorithm, steps)
    table = start or start_table(
        algorithm.name,
        own,
        gamma_bar=fraction(0 if gamma_bar is None else gamma_bar),
        output_loss=algorithm.output_loss,
        deep=depths is not None,
    )
    if gamma_bar is not None and fraction(gamma_bar) != table.gamma_bar:
        raise InputError(
            f"the start's gamma_bar is {table.gamma_bar}, asked for is {gamma_bar}",
            setting="gamma_bar",
            value=gamma_bar,
            remedy="give one of them",
        )
    if table.rule != own:
        raise InputError(
            f"the start's optimizer is {table.optimizer!r}, asked for is {own.name!r}",
            setting="optimizer",
            value=own.name,
            remedy="give the same",
        )
    settings = _Settings(build, algorithm, r, seeds, steps, rate, loss, epsilon, denominator, on_round, optimizer)
    # What another derivation did not measure, this one may.
    search = _Search(settings, dataclasses.replace(table, unmeasured=()))
    over_width = Axis(widths, None if depths is None else depths[0], "")
    search.check(over_width)
    search.settle(over_width)
    if depths is not None:
        search.settle(Axis(depths, widths[0], DEEP))
    return search.derivation(widths, depths)


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What stays the same through a derivation."""

    build: Callable[..., Built]
    algorithm: AbstractAlgorithm
    richness: Fraction
    seeds: int
    steps: int
    rate: float | None
    loss: Loss
    epsilon: float
    denominator: int
    on_round: Callable[[str], None]
    optimizer: Any


class _Search:
    """The table so far, and what was measured on the way."""

    def __init__(self, settings: _Settings, table: Parameterization) -> None:
        self.settings, self.table = settings, table
        self.rounds = 0
        self.programs: dict[Any, Any] = {}
        self.rates: dict[tuple[str, int], float] = {}
        self.estimates: Estimates = {}
        self.has_feedback = False
        self.reasons: list[str] = []

    def check(self, axis: Axis) -> None:
        """Refuse a family that does not grow and an algorithm that is not sound, before hours are spent."""
        held, key = self.settings, streams(0).init
        sizes = (axis.sizes[0], axis.sizes[1])
        # Built in earnest, as a family may look at the numbers that it draws (`own_network` does).
        built, wider = (axis.built(held.build, size, key, self.table) for size in sizes)
        check_growth(built, wider, sizes)
        check_normalization(built)
        check_algorithm(held.algorithm, built, held.loss)
        check_gradient(held.algorithm, built, held.loss)
        feedback = held_feedback(held.algorithm, built, key)
        self.has_feedback = feedback is not None
        if learns_unseen(held.algorithm, feedback):
            self.reasons.append(
                f"the feedback of {held.algorithm.name!r} learns by a rule of its own, whose exponents are not "
                f"measured: use `TrainedFeedback`, or feedback without weights"
            )

    def settle(self, axis: Axis) -> None:
        """Find all exponents of one axis: those of the forward pass, then those of learning."""
        self._repeat(axis, self._forward, forward_estimates)
        founds = self._repeat(axis, self._learning, learning_estimates)
        self._doubts(axis, founds)

    def _repeat(self, axis: Axis, measure: Callable[..., Found], estimate: Callable[..., Estimates]) -> list[Found]:
        """Measure at every size, correct, and again until nothing changes."""
        for _ in range(ROUNDS):
            self.rounds += 1
            founds = [measure(axis, size) for size in axis.sizes]
            estimates = estimate(self.table, founds, axis, self.settings.richness)
            estimates |= self._down(axis)
            self.estimates |= estimates
            found = {(role, letter): self._value(role, letter, slope) for (role, letter), slope in estimates.items()}
            following = with_exponents(self.table, {key: value for key, value in found.items() if value is not None})
            if following == self.table:
                return founds
            self.table = following
        self.reasons.append(f"exponents over {axis.name} still changed after {ROUNDS} rounds")
        return founds

    def _value(self, role: Role, letter: str, slope: Slope) -> Fraction | None:
        """The fraction that an exponent is set to, sure or not; None where nothing finite was measured."""
        if not math.isfinite(slope.value):
            return None
        now, fixed = exponent(self.table, role, letter), self._gauge_part(role, letter)
        value, _ = rounded(slope.value + float(fixed), slope.error, self.settings.denominator)
        return max(now - LARGEST_STEP, min(now + LARGEST_STEP, value - fixed))

    def _gauge_part(self, role: Role, letter: str) -> Fraction:
        table = self.table
        own = feedback_rule(self.settings.algorithm, table) if role.is_feedback else table.rule
        return gauge_part(table, role, letter, own)

    def _networks(self, axis: Axis, size: int) -> tuple[Built, Any]:
        table = self.table
        return networks_of(
            lambda size, key: axis.built(self.settings.build, size, key, table), table, size, self.settings.seeds
        )

    def _program(self, axis: Axis, size: int, kind: str, make: Callable[[], Any]) -> Any:
        """A compiled measurement: what changes from round to round, but for feedback, are its arguments."""
        # Of feedback the targets depend on all that the table says of it, its own measurements on what it starts as.
        whole = {"learning": lambda row: row, "feedback": lambda row: row.init}.get(kind, lambda row: None)
        fixed = tuple(
            (row.multiplier, row.precision, whole(row) if role.is_feedback else None) for role, row in self.table.rows
        )
        key = (axis.name, size, kind, fixed)
        if key not in self.programs:
            self.programs[key] = make()
        return self.programs[key]

    def _forward(self, axis: Axis, size: int) -> Found:
        self.settings.on_round(f"round {self.rounds}: states at {axis.name} {size}")
        built, networks = self._networks(axis, size)
        program = self._program(axis, size, "forward", lambda: forward_program(built))
        return program(networks, self.settings.seeds)

    def _down(self, axis: Axis) -> Estimates:
        """The exponents of feedback, which none of depth are known to depend on."""
        held = self.settings
        if not self.has_feedback or axis.suffix:
            return {}
        founds = []
        for size in axis.sizes:
            built, networks = self._networks(axis, size)
            make = partial(feedback_program, built, held.algorithm)
            founds.append(self._program(axis, size, "feedback", make)(networks, held.seeds))
        return feedback_estimates(self.table, founds, axis, feedback_rule(held.algorithm, self.table))

    def _learning(self, axis: Axis, size: int) -> Found:
        held = self.settings
        held.on_round(f"round {self.rounds}: updates at {axis.name} {size}")
        built, networks = self._networks(axis, size)

        def make() -> Any:
            return response_program(
                built,
                held.algorithm,
                held.loss,
                steps=held.steps,
                epsilon=held.epsilon,
                deep=bool(axis.suffix),
                optimizer=held.optimizer,
            )

        program = self._program(axis, size, "learning", make)
        rates = jax.tree.map(lambda label: label.rate, built.scalings)
        # From round to round the rate that moves the network by little changes little.
        found = program(networks, held.seeds, rates, held.rate, self.rates.get((axis.name, size), FIRST_RATE))
        self.rates[axis.name, size] = found["rate"]
        return found

    def _doubts(self, axis: Axis, founds: list[Found]) -> None:
        """Why what was measured over an axis may not be what it seems."""
        if len(axis.sizes) < LEAST_SIZES:
            self.reasons.append(
                f"{len(axis.sizes)} {axis.name}s cannot show whether slopes have settled: give at least {LEAST_SIZES}"
            )
        for size, found in zip(axis.sizes, founds, strict=True):
            if not found["moved"] <= LINEAR_MOVEMENT:
                self.reasons.append(
                    f"at rate {found['rate']:.3g} and {axis.name} {size} a layer moves by {found['moved']:.0%} of its "
                    f"own size, where the response is no longer linear: give a smaller rate, or none"
                )
        growth = settled_slope(axis.sizes, np.stack([found["prediction"] for found in founds], axis=1))
        if growth.value > LARGEST_GROWTH:
            self.reasons.append(
                f"the prediction grows as {axis.name}^{growth.value:.2f} at initialization: no table gives this "
                f"algorithm richness {self.settings.richness}"
            )

    def derivation(self, widths: list[int], depths: list[int] | None) -> Derivation:
        """What was found."""
        held, rows = self.settings, []
        for (role, letter), slope in self.estimates.items():
            fixed = self._gauge_part(role, letter)
            value, sure = rounded(slope.value + float(fixed), slope.error, held.denominator)
            rows.append(Exponent(str(role), letter, slope.value, slope.error, value - fixed, sure))
        reasons = tuple(self.reasons)
        doubtful = tuple(f"{one.letter} of {one.role}" for one in rows if one.confidence < CONFIDENT)
        if doubtful:
            reasons += (f"{', '.join(doubtful)}: no fraction is likely enough",)
        if self.reasons:
            rows = [one._replace(confidence=0.0) for one in rows]
        rows = [one if one.confidence >= CONFIDENT else one._replace(value=None) for one in rows]
        table = None if reasons else completed(self.table, self.estimates, held.richness)
        sizes = None if depths is None else tuple(depths)
        ordered = sorted(rows, key=lambda one: (list(Role).index(Role(one.role)), one.letter))
        return Derivation(
            tuple(ordered), table, reasons, tuple(widths), sizes, held.seeds, held.steps, self.rounds, held.rate,
            unmeasured_rows(self.estimates),
        )  # fmt: skip
