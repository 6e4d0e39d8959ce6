"""A parameterization: one row of exponents for every role, and the size at which all of them coincide."""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from .._errors import InputError, unknown
from .._numbers import real_number, whole_number
from ._depth import PUBLISHED, depth_rows
from ._gauge import GAUGES, Move, moved, moves_to
from ._power import ONE, Power, Rational, Size, fraction
from ._richness import HALF, gradient_growth, output_growth, richness_rows, standard_rows, with_prefactor
from ._role import Role
from ._scaling import Scaling, growth
from ._target_propagation import feedback_rows, target_rows
from ._update_rule import ADAM, UPDATE_RULES, UpdateRule, update_rule

NAMES = ("sp", "ntp", "mup", "richness", "depth_mup", "mupc", *PUBLISHED)
ALGORITHMS = ("bp", "pc", "tp", "dtp")
# What a table derived for a user's own algorithm says it was made for.
OWN = "own"
# Algorithms that carry targets down through feedback.
TARGET = ("tp", "dtp")
LONG = dict.fromkeys(TARGET, "target propagation") | {"bp": "backprop", "pc": "predictive coding"}
OUTPUT_LOSSES = ("weighted", "unweighted")
WEIGHT_DECAY_KINDS = ("coupled", "lr", "independent")


@dataclasses.dataclass(frozen=True)
class Parameterization:
    """How every tensor of a network scales: a table of exact powers, role by role.

    Made by `parameterization`, by a gauge move or from a file. Equal tables are equal objects.

    **Arguments:** `name`, `algorithm`, `optimizer`, `richness`, `gamma_bar`, `gauge`, `output_loss`,
    `weight_decay_kind`: what the table was made for; `base_width`, `base_depth`: the size at which all
    parameterizations coincide; `rows`: the scalings, in the order of `Role`; `gamma_0`: prefactor of the richness;
    `unmeasured`: of a derived table what of the feedback's rows was not measured, which networks refuse to ask for:
    `"feedback.weights"`, `"feedback.ridge"` and the same of `feedback_output`; `own_rule`: the row of an optimizer
    that is not built in, None for the built-in ones.
    """

    name: str
    algorithm: str
    optimizer: str
    richness: Fraction | None
    gamma_bar: Fraction
    gauge: str | None
    output_loss: str
    weight_decay_kind: str
    base_width: int
    base_depth: int
    rows: tuple[tuple[Role, Scaling], ...]
    gamma_0: float = 1.0
    unmeasured: tuple[str, ...] = ()
    own_rule: UpdateRule | None = None

    @property
    def rule(self) -> UpdateRule:
        """The optimizer's row."""
        return UPDATE_RULES[self.optimizer] if self.own_rule is None else self.own_rule

    @property
    def scalings(self) -> Mapping[Role, Scaling]:
        """The scaling of each role."""
        return MappingProxyType(dict(self.rows))

    def size(self, *, fan_in: int, fan_out: int, width: int, depth: int) -> Size:
        """A layer's size beside this table's base."""
        return Size(fan_in, fan_out, width, depth, self.base_width, self.base_depth, self.gamma_0)

    def gauged(self, moves: Mapping[Any, Move | Rational | tuple[Rational, Rational]]) -> "Parameterization":
        """The same training in another gauge: each named role moves by M^-t from its weights to its multiplier.

            W = M^-a w:   (a, b, c) -> (a + t, b − t, c − (1 + q − p) t),   ε M^-t

        **Arguments:** `moves`: role -> t, or (t of width, t of depth); roles left out do not move.

        **Raises:** `InputError` for a role that does not exist.

        >>> table = parameterization("mup").gauged({"hidden": "1/2"})
        >>> table.scalings["hidden"].letters(Role.HIDDEN)["c"]
        Fraction(-1, 1)

        Source: arXiv 2404.19719; docs/theory.md A3.
        """
        steps = {_role(role): Move.of(move) for role, move in moves.items()}
        rows = tuple(
            (
                role,
                moved(
                    role,
                    scaling,
                    steps.get(role, Move()),
                    rule=self.rule,
                    weight_decay_kind=self.weight_decay_kind,
                ),
            )
            for role, scaling in self.rows
        )
        return dataclasses.replace(self, rows=rows, gauge="moved")

    def in_gauge(self, gauge: str) -> "Parameterization":
        """The same training in a named gauge: `"stp"`, `"mup"` or `"rescaling"` (see `_gauge.moves_to`)."""
        if gauge not in GAUGES:
            raise unknown("gauge", gauge, GAUGES)
        r = Fraction(0) if self.richness is None else self.richness
        return dataclasses.replace(self.gauged(moves_to(gauge, self.scalings, r)), gauge=gauge)


def parameterization(
    name: str,
    *,
    algorithm: str = "bp",
    optimizer: str | UpdateRule = "sgd",
    richness: Rational | None = None,
    gauge: str | None = None,
    gamma_bar: Rational = 0,
    output_loss: str = "weighted",
    weight_decay_kind: str = "lr",
    base_width: int = 64,
    base_depth: int = 8,
    gamma_0: float = 1.0,
) -> Parameterization:
    """The table of a named parameterization.

    **Arguments:**

    - `name`: `"sp"`, `"ntp"` (r = 0), `"mup"` (r = 1/2), `"richness"` (any r), `"depth_mup"` or, the
      same table under its other name, `"mupc"`; `"mupc_constant"` and `"mupc_uniform"`: the same with the one
      Adam rate of two papers for every role, 1 and (N L)^-1/2, for comparison (see `_depth`).
    - `algorithm`: `"bp"`, `"pc"`, `"tp"` or `"dtp"`, of which the last two have `"sp"` and `"mup"` alone (see
      `_target_propagation`); `optimizer`: `"sgd"` (any momentum), `"adam"`, `"lion"`, `"rmsprop"`, `"muon"`, or an
      `UpdateRule` of your own.
    - `richness`: r in [0, 1/2], with the name `"richness"`.
    - `gauge`: `"stp"`, `"mup"`, `"rescaling"`, or None for the name's own (no multipliers; unit Gaussians
      for `"mupc"`).
    - `gamma_bar`: exponent of the output precision γ_L = γ' (N/N_0)^-γ̄ (times (L/L_0)^γ̄ in `"mupc"`):
      0 is the gradient-descent end, −1 the Gauss-Newton end.
    - `output_loss`: `"weighted"` by γ_L in the output layer's own update, or `"unweighted"`.
    - `weight_decay_kind`: `"coupled"` (in the gradient), `"lr"` (times the rate) or `"independent"`.
    - `base_width`, `base_depth`: N_0 and L_0.
    - `gamma_0`: prefactor of the richness, at every size: features move γ_0 times as much, the output as before
      (`_richness.with_prefactor`).

    **Returns:** a `Parameterization`.

    **Raises:** `InputError` for unknown names, values out of range, a published Adam rule without Adam, and a name that
    target propagation has no table for.

    >>> table = parameterization("mup", algorithm="pc", gamma_bar=-1)
    >>> [str(table.scalings[role].letters(role)["c"]) for role in (Role.INPUT, Role.HIDDEN, Role.OUTPUT)]
    ['0', '1', '2']

    Source: docs/theory.md, exponent table; arXiv 2411.02001 Theorem 4.2, 2404.19719, 2505.13124.
    """
    for kind, value, options in (
        ("parameterization", name, NAMES),
        ("algorithm", algorithm, ALGORITHMS),
        ("output loss", output_loss, OUTPUT_LOSSES),
        ("kind of weight decay", weight_decay_kind, WEIGHT_DECAY_KINDS),
    ):
        if value not in options:
            raise unknown(kind, value, options)
    rule = update_rule(optimizer)
    gamma_bar = fraction(gamma_bar)
    if algorithm != "pc" and gamma_bar != 0:
        raise InputError(
            f"gamma_bar {gamma_bar} has no meaning for {LONG[algorithm]}",
            setting="gamma_bar",
            value=gamma_bar,
            remedy="use algorithm 'pc' or gamma_bar 0",
        )
    if algorithm != "pc" and output_loss != "weighted":
        raise InputError(
            f"output_loss {output_loss!r} has no meaning for {LONG[algorithm]}, which has no output precision",
            setting="output_loss",
            value=output_loss,
            remedy="use algorithm 'pc', or leave it out",
        )
    if algorithm in TARGET and name not in ("sp", "mup"):
        raise InputError(
            f"no parameterization {name!r} is known for {LONG[algorithm]}, which has no richness scale (there is no "
            f"kernel regime) and no rule over depth yet",
            setting="parameterization",
            value=name,
            remedy="use 'mup', or 'sp' for contrast",
        )
    if name in PUBLISHED and rule.facts != ADAM.facts:
        raise InputError(
            f"{name!r} is a rule for Adam and what scales like it, got optimizer {rule.name!r}",
            setting="optimizer",
            value=rule.name,
            remedy="use 'adam', or the name 'mupc'",
        )
    gamma_0 = prefactor(gamma_0)
    if gamma_0 != 1 and (name == "sp" or algorithm in TARGET):
        what = f"the name {name!r}" if name == "sp" else LONG[algorithm]
        raise InputError(
            f"gamma_0 {gamma_0}: {what} has no richness that it could scale",
            setting="gamma_0",
            value=gamma_0,
            remedy="leave it out",
        )
    r = _richness(name, richness)
    k = gradient_growth(algorithm, gamma_bar, Fraction(0) if r is None else r)
    k_output = output_growth(k, gamma_bar, output_loss)
    if name == "sp":
        rows = standard_rows(gamma_bar)
    elif name in ("depth_mup", "mupc", *PUBLISHED):
        rows = depth_rows(name, rule=rule, k=k, k_output=k_output, gamma_bar=gamma_bar)
    elif algorithm in TARGET:
        rows = target_rows(rule)
    else:
        assert r is not None
        rows = richness_rows(r, rule=rule, k=k, k_output=k_output, gamma_bar=gamma_bar)
    if gamma_0 != 1:
        rows = with_prefactor(rows, rule)
    rows = {role: with_decay(role, rows[role], rule, weight_decay_kind) for role in rows}
    if name in PUBLISHED:
        # Only now: the decay follows the gradients' entries, which the published rules leave out of epsilon.
        rows = {role: dataclasses.replace(row, epsilon=ONE) for role, row in rows.items()}
    # Feedback has a rate of its own and no decay.
    rows = rows | feedback_rows(scaled=name != "sp")
    table = Parameterization(
        name=name,
        algorithm=algorithm,
        optimizer=rule.name,
        richness=r,
        gamma_bar=gamma_bar,
        gauge=None,
        output_loss=output_loss,
        weight_decay_kind=weight_decay_kind,
        base_width=_at_least_one("base_width", base_width),
        base_depth=_at_least_one("base_depth", base_depth),
        rows=tuple((role, rows[role]) for role in Role),
        gamma_0=gamma_0,
        own_rule=None if rule.name in UPDATE_RULES else rule,
    )
    return table if gauge is None else table.in_gauge(gauge)


def prefactor(value: Any) -> float:
    """γ_0 as a float. **Raises:** `InputError` where it is no positive number."""
    return real_number("gamma_0", value)


def _richness(name: str, richness: Rational | None) -> Fraction | None:
    """The richness r that a name stands for; None for SP, which lies off the scale."""
    if name != "richness":
        if richness is not None:
            raise InputError(
                f"richness {richness} does not go with {name!r}",
                setting="richness",
                value=richness,
                remedy="use the name 'richness', or leave it out",
            )
        return None if name == "sp" else Fraction(0) if name == "ntp" else HALF
    if richness is None:
        raise InputError(
            "the name 'richness' needs richness",
            setting="richness",
            value=None,
            remedy="give r between 0 (lazy) and 1/2 (rich)",
        )
    r = fraction(richness)
    if not 0 <= r <= HALF:
        raise InputError(
            f"richness {r} is outside [0, 1/2], where training would vanish or blow up with width",
            setting="richness",
            value=r,
            remedy="give r between 0 (lazy) and 1/2 (rich)",
        )
    return r


def with_decay(role: Role, scaling: Scaling, rule: UpdateRule, kind: str) -> Scaling:
    """A row with the decay that keeps its effect the same at every size.

    λ η rate constant where the decay is multiplied by the rate, and in the gradient of an update proportional to it;
    λ constant where it is independent of the rate; and where the optimizer normalizes the sum of gradient and λ w,
    λ std as the gradient's entries.
    """
    decay = Power()
    if kind == "coupled" and not rule.of(role).is_linear:
        decay = growth(scaling.epsilon, role) / growth(scaling.init, role)
    elif kind != "independent":
        decay = growth(scaling.rate, role) ** -1
    return dataclasses.replace(scaling, decay=decay)


def _role(name: Role | str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise unknown("role", name, list(Role)) from None


def _at_least_one(name: str, value: int) -> int:
    return whole_number(name, value)
