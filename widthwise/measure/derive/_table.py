"""The table that a derivation starts from, changes exponent by exponent, and hands over."""

import dataclasses
from collections.abc import Iterable, Mapping
from fractions import Fraction

from ...parameterizations import (
    ALGORITHMS,
    OWN,
    UPDATE_RULES,
    Parameterization,
    Power,
    Role,
    Scaling,
    UpdateRule,
    from_json,
    to_json,
    update_rule,
    width_exponent,
    with_decay,
)

ZERO, HALF, ONE = Fraction(0), Fraction(1, 2), Fraction(1)
FIELDS = {"b": "init", "c": "rate", "g": "epsilon"}
DEEP = "_depth"
Exponents = Mapping[tuple[Role, str], Fraction]


def start_table(
    algorithm: str,
    optimizer: str | UpdateRule,
    *,
    gamma_bar: Fraction = ZERO,
    output_loss: str = "weighted",
    deep: bool = False,
    base_width: int = 64,
) -> Parameterization:
    """Std 1/sqrt(fan-in), every rate the same: what is known before anything is measured.

    **Arguments:** `algorithm`: its name; `optimizer`; `gamma_bar`, `output_loss`: of predictive coding, which are asked
    for and not measured; `deep`: whether depth exponents will be measured: branches then start at 1/L, where their sum
    is small and answers an exponent by the same power, as it does not where it blows up; `base_width`: N_0.
    """
    rule = update_rule(optimizer)
    weight = Scaling(init=Power(fan_in=-HALF))
    small = Power(fan_in=-HALF, depth=-ONE, base_depth=-ONE)
    rows = {role: Scaling() if role.is_bias or role.is_norm else weight for role in Role}
    rows[Role.BRANCH] = Scaling(init=small) if deep else weight
    rows[Role.OUTPUT] = dataclasses.replace(weight, precision=Power(width=-gamma_bar))
    # As the std, the ridge is a matter of the fan-in at the base; unlike it, the same at every width.
    rows[Role.FEEDBACK] = dataclasses.replace(weight, ridge=Power(fan_in=ONE, width=-ONE))
    rows[Role.FEEDBACK_OUTPUT] = dataclasses.replace(weight, ridge=Power(fan_in=ONE))
    return Parameterization(
        name="start",
        algorithm=algorithm if algorithm in ALGORITHMS else OWN,
        optimizer=rule.name,
        richness=None,
        gamma_bar=gamma_bar,
        gauge=None,
        output_loss=output_loss,
        weight_decay_kind="lr",
        base_width=base_width,
        base_depth=8,
        rows=tuple(rows.items()),
        own_rule=None if rule.name in UPDATE_RULES else rule,
    )


def exponent(table: Parameterization, role: Role, letter: str) -> Fraction:
    """One exponent of a table: a letter of `Scaling.letters`, or `ridge`, that of μ ~ M^ridge."""
    row = table.scalings[role]
    return width_exponent(row.ridge, role) if letter == "ridge" else row.letters(role)[letter]


def gauge_part(table: Parameterization, role: Role, letter: str, rule: UpdateRule) -> Fraction:
    """What a gauge move adds to an exponent: b + a, c + (1 + q − p) a and g − a are what no move changes.

    **Arguments:** `rule`: the optimizer of this role's weights; feedback may have its own.
    """
    if letter == "ridge":
        return ZERO
    a = exponent(table, role, "a" + letter[1:])
    return a * {"b": ONE, "c": rule.gauge_degree(role), "g": -ONE}[letter[0]]


def with_exponents(table: Parameterization, exponents: Exponents) -> Parameterization:
    """The table with some exponents set, multipliers as they were; powers of depth of an init are absolute."""
    rows = dict(table.rows)
    for (role, letter), value in exponents.items():
        step = value - exponent(table, role, letter)
        if letter == "ridge":
            rows[role] = dataclasses.replace(rows[role], ridge=rows[role].ridge * Power(width=step))
            continue
        change = Power(depth=-step) if letter.endswith(DEEP) else Power(width=-step)
        if letter == "b" + DEEP:
            change = dataclasses.replace(change, base_depth=-step)
        name = FIELDS[letter[0]]
        rows[role] = dataclasses.replace(rows[role], **{name: getattr(rows[role], name) * change})
    return dataclasses.replace(table, rows=tuple((role, rows[role]) for role, _ in table.rows))


def unmeasured_rows(measured: Iterable[tuple[Role, str]]) -> tuple[str, ...]:
    """What of the feedback's rows nothing was measured of, as a table names it: the network would not see it wrong."""
    found = set(measured)
    parts = {"weights": "c", "ridge": "ridge"}
    return tuple(
        f"{role}.{part}"
        for role in Role
        if role.is_feedback
        for part, letter in parts.items()
        if (role, letter) not in found
    )


def completed(table: Parameterization, measured: Iterable[tuple[Role, str]], richness: Fraction) -> Parameterization:
    """The table to hand over: decays follow rates, and roles that the family lacks follow those it has.

    A role that was not measured is filled as in a file that leaves it out: biases grow as the input layer, branches as
    hidden layers (`parameterization.from_json`). Feedback follows nothing: what was not measured of it is named in the
    table, and refused where a network asks for it.
    """
    roles = {role for role, _ in measured}
    rows = {
        role: row if role.is_feedback else with_decay(role, row, table.rule, table.weight_decay_kind)
        for role, row in table.rows
        if role in roles or role.is_feedback
    }
    if Role.HIDDEN not in rows:
        # Only a chain without skips has hidden layers that are no branches; without powers of depth they are alike.
        rows[Role.HIDDEN] = _without_depth(rows.get(Role.BRANCH, table.scalings[Role.HIDDEN]))
    everything = {role: rows.get(role, table.scalings[role]) for role in Role}
    full = dataclasses.replace(
        table,
        name="derived",
        gauge="measured",
        richness=richness,
        rows=tuple(everything.items()),
        unmeasured=unmeasured_rows(measured),
    )
    payload = to_json(full)
    payload["roles"] = {name: row for name, row in payload["roles"].items() if Role(name) in rows}
    return from_json(payload)


def _without_depth(row: Scaling) -> Scaling:
    """A row without its powers of depth."""
    powers = {field.name: getattr(row, field.name) for field in dataclasses.fields(Scaling)}
    return Scaling(**{name: dataclasses.replace(p, depth=ZERO, base_depth=ZERO) for name, p in powers.items()})
