"""Tables as JSON: saved, edited by hand, loaded, and accepted wherever a name is."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from .._errors import InputError, unknown
from ._power import ONE, Power, fraction, width_power
from ._role import Role
from ._scaling import Scaling, growth
from ._table import ALGORITHMS, OUTPUT_LOSSES, OWN, TARGET, WEIGHT_DECAY_KINDS, Parameterization, prefactor
from ._target_propagation import feedback_rows
from ._update_rule import OPTIMIZERS, UPDATE_RULES, UpdateRule, rule_from_json, rule_to_json

SCHEMA_VERSION = 1
LONGEST = 10_000_000  # bytes; a table with its derivation has some ten thousand
LETTERS = ("a", "b", "c", "g", "d")
_LETTER_NAMES = tuple(letter + suffix for letter in LETTERS for suffix in ("", "_depth"))


def to_json(table: Parameterization) -> dict[str, Any]:
    """A table as a JSON object.

    **Returns:** `roles`, each with a, b, c, g, d (W = M^-a w, std M^-b, rate M^-c, epsilon M^-g, decay
    M^-d), the same with suffix `_depth`, and `powers`, each exact power split into its parts; beside it what
    the table was made for. Fractions are strings.
    """
    roles = {}
    for role, scaling in table.rows:
        letters = {name: str(value) for name, value in scaling.letters(role).items()}
        powers = {field.name: _split(getattr(scaling, field.name)) for field in dataclasses.fields(Scaling)}
        roles[str(role)] = letters | {"powers": powers}
    # Only of derived tables, so that all others' files are as they were.
    unmeasured = {"unmeasured": list(table.unmeasured)} if table.unmeasured else {}
    # Likewise: a built-in optimizer's row stands in the library.
    rule = {} if table.own_rule is None else {"update_rule": rule_to_json(table.own_rule)}
    return (
        unmeasured
        | rule
        | {
            "schema_version": SCHEMA_VERSION,
            "name": table.name,
            "algorithm": table.algorithm,
            "optimizer": table.optimizer,
            "richness": None if table.richness is None else str(table.richness),
            "gamma_bar": str(table.gamma_bar),
            "base": {"width": table.base_width, "depth": table.base_depth},
            "gauge": table.gauge,
            "output_loss": table.output_loss,
            "weight_decay_kind": table.weight_decay_kind,
            "gamma_0": table.gamma_0,
            "precision": {str(role): _split(scaling.precision) for role, scaling in table.rows},
            "roles": roles,
        }
    )


def from_json(payload: Mapping[str, Any], source: str = "the table") -> Parameterization:
    """A table from its JSON object; `powers` may be left out, and then follow from a, b, c, g, d.

    **Arguments:** `payload`: as `to_json` returns it; `source`: a name for error messages.

    **Raises:** `InputError` where something is missing, is no fraction, or where letters and powers
    contradict each other.
    """
    try:
        if payload["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"{source} has schema version {payload['schema_version']!r}",
                setting="schema version",
                value=payload["schema_version"],
                remedy=f"this program reads {SCHEMA_VERSION}",
            )
        richness = payload.get("richness")
        for kind, names in (
            ("role", payload["roles"]),
            ("role of a precision", payload.get("precision", {})),
        ):
            _all_known(kind, names, list(Role), source)
        rule = _rule(payload, source)
        rows = tuple((role, _row(role, payload, source, rule)) for role in Role)
        table = Parameterization(
            name=str(payload["name"]),
            algorithm=_one_of("algorithm", payload["algorithm"], (*ALGORITHMS, OWN), source),
            optimizer=rule.name,
            richness=None if richness is None else fraction(richness),
            gamma_bar=fraction(payload.get("gamma_bar", 0)),
            gauge=payload.get("gauge"),
            output_loss=_one_of("output_loss", payload.get("output_loss", "weighted"), OUTPUT_LOSSES, source),
            weight_decay_kind=_one_of(
                "weight_decay_kind", payload.get("weight_decay_kind", "lr"), WEIGHT_DECAY_KINDS, source
            ),
            base_width=_size(payload["base"]["width"], source),
            base_depth=_size(payload["base"]["depth"], source),
            rows=rows,
            gamma_0=_prefactor(payload.get("gamma_0", 1.0), rows, source),
            unmeasured=_unmeasured(payload.get("unmeasured", []), source),
            own_rule=None if rule.name in UPDATE_RULES else rule,
        )
    except KeyError as error:
        if "derivation" in payload and "roles" not in payload:
            raise InputError(
                f"{source} is of a derivation that found no table",
                setting="table",
                value=source,
                remedy="its verdicts say what was unsure",
            ) from None
        raise InputError(
            f"{source} lacks {error}",
            setting=error.args[0],
            value=source,
            remedy="a table as `widthwise table --json` writes it has it",
        ) from None
    except (TypeError, AttributeError):
        raise InputError(
            f"{source} is no table",
            setting="table",
            value=source,
            remedy="write one with `widthwise table --json FILE`",
        ) from None
    return table


def save(table: Parameterization, path: str | Path) -> None:
    """Write a table to a JSON file."""
    Path(path).write_text(json.dumps(to_json(table), indent=1) + "\n", encoding="utf-8")


def load(path: str | Path) -> Parameterization:
    """Read a table from a JSON file.

    **Raises:** `InputError` where the file is missing, no plain file, too large, no JSON or no table.
    """
    return from_json(table_content(path), f"table file {path}")


def table_content(path: str | Path) -> dict[str, Any]:
    """What a table's file holds, not yet looked at.

    **Arguments:** `path`: a plain file, or a link to one.

    **Returns:** its JSON object.

    **Raises:** `InputError` where the file is missing, no plain file, too large or no JSON object.

    >>> import tempfile, widthwise as ww
    >>> with tempfile.TemporaryDirectory() as home:
    ...     save(ww.parameterization("mup"), f"{home}/t.json")
    ...     table_content(f"{home}/t.json")["name"]
    'mup'
    """
    path = Path(path)
    try:
        # A pipe would block for ever, a device never end; neither has a size.
        strange = path.exists() and not path.is_file()
        text = b"" if strange else _beginning(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"table file {path}: {reason}",
            setting="table file",
            value=path,
            remedy="write one with `widthwise table --json FILE`",
        ) from None
    if strange:
        raise InputError(
            f"table file {path} is no plain file",
            setting="table file",
            value=path,
            remedy="write one with `widthwise table --json FILE`",
        )
    if len(text) > LONGEST:
        raise InputError(
            f"table file {path} is larger than {LONGEST} bytes",
            setting="table file",
            value=path,
            remedy="no table is, so name another file",
        )
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"table file {path} is not JSON: {error}",
            setting="table file",
            value=path,
            remedy="write one with `widthwise table --json FILE`",
        ) from None
    if not isinstance(found, dict):
        raise InputError(
            f"table file {path} is no table",
            setting="table file",
            value=path,
            remedy="write one with `widthwise table --json FILE`",
        )
    return found


def _beginning(path: Path) -> bytes:
    """As much of a file as a table has at most, and one byte more."""
    with path.open("rb") as file:
        return file.read(LONGEST + 1)


def _split(power: Power) -> dict[str, str]:
    return {field.name: str(getattr(power, field.name)) for field in dataclasses.fields(Power)}


def _rule(payload: Mapping[str, Any], source: str) -> UpdateRule:
    """The optimizer's row: a built-in one by its name, one of the user's own from its facts."""
    facts = payload.get("update_rule")
    if facts is None:
        return UPDATE_RULES[_one_of("optimizer", payload["optimizer"], OPTIMIZERS, source)]
    try:
        rule = rule_from_json(facts)
    except InputError as error:
        raise error.within(source) from None
    if rule.name != payload["optimizer"]:
        raise InputError(
            f"{source}: optimizer is {payload['optimizer']!r}, its update_rule is of {rule.name!r}",
            setting="update_rule",
            value=rule.name,
            remedy="name the same optimizer in both",
        )
    return rule


def _row(role: Role, payload: Mapping[str, Any], source: str, rule: UpdateRule) -> Scaling:
    """One role's scaling, from its powers where they are given, else from its letters."""
    row = payload["roles"].get(str(role))
    if row is None:
        if role in (Role.INPUT, Role.HIDDEN, Role.OUTPUT):
            raise InputError(
                f"{source} lacks the role {str(role)!r}",
                setting="role",
                value=str(role),
                remedy="a table as `widthwise table --json` writes it has it",
            )
        # A table of weights alone: branches are hidden layers, biases and norms scale like the role they sit beside.
        if role.is_feedback:
            return feedback_rows()[role]
        if role is Role.OUTPUT_BIAS:
            return Scaling()
        like = Role.HIDDEN if role is Role.BRANCH else Role.INPUT
        row = _row(like, payload, source, rule)
        if role is Role.BRANCH:
            return row
        # A vector has no fan-in, and sits outside the multiplier of its layer: only the growth carries over.
        return dataclasses.replace(row, multiplier=growth(row.multiplier, like), init=growth(row.init, like))
    _all_known(f"entry of role {str(role)!r}", row, [*_LETTER_NAMES, "powers"], source)
    precision = _power(payload.get("precision", {}).get(str(role), {}), source)
    letters = {name: fraction(row.get(name, 0)) for name in _LETTER_NAMES}
    if "powers" not in row:
        # The letters have none for the ridge, nor for layers of different widths.
        ratio = rule.fan_ratio(role, targets=payload["algorithm"] in TARGET)
        ridge = feedback_rows()[role].ridge if role.is_feedback else ONE
        return dataclasses.replace(_from_letters(role, letters, ratio), precision=precision, ridge=ridge)
    scaling = Scaling(**{name: _power(parts, source) for name, parts in row["powers"].items()})
    if role.value in payload.get("precision", {}) and precision != scaling.precision:
        raise InputError(
            f"{source}: 'precision' of role {str(role)!r} and its powers differ",
            setting="precision",
            value=str(role),
            remedy="edit both, or delete 'powers'",
        )
    for name, value in scaling.letters(role).items():
        if letters[name] != value:
            raise InputError(
                f"{source}: role {str(role)!r} says {name} = {letters[name]} but its powers give {value}",
                setting=name,
                value=letters[name],
                remedy="edit both, or delete 'powers'",
            )
    return scaling


def _from_letters(role: Role, letters: Mapping[str, Fraction], ratio: Power) -> Scaling:
    """The scaling with given exponents whose std is 1/sqrt(fan_in) at the base, as all names have it."""

    def power(letter: str) -> Power:
        return width_power(-letters[letter], -letters[f"{letter}_depth"])

    init = power("b")
    if not (role.is_bias or role.is_norm):
        half = Fraction(1, 2)
        init = init * Power(fan_in=-half, width=half if role.grows_with_fan_in else Fraction(0))
    return Scaling(
        multiplier=power("a"), init=init, rate=ratio * power("c"), epsilon=power("g"), decay=power("d"), precision=ONE
    )


def _unmeasured(names: Any, source: str) -> tuple[str, ...]:
    """What of the feedback's rows a derivation did not measure."""
    options = [f"{role}.{part}" for role in Role if role.is_feedback for part in ("weights", "ridge")]
    if not isinstance(names, list):
        raise InputError(
            f"{source}: unmeasured is {names!r}",
            setting="unmeasured",
            value=names,
            remedy=f"expected a list of {', '.join(options)}",
        )
    _all_known("entry of unmeasured", names, options, source)
    return tuple(names)


def _prefactor(value: Any, rows: Iterable[tuple[Role, Scaling]], source: str) -> float:
    """γ_0, refused where no power of the table would see it."""
    try:
        gamma_0 = prefactor(value)
    except InputError as error:
        raise error.within(source) from None
    powers = (getattr(row, field.name) for _, row in rows for field in dataclasses.fields(Scaling))
    if gamma_0 != 1 and not any(power.prefactor for power in powers):
        raise InputError(
            f"{source}: gamma_0 is {gamma_0}, but no power has a part 'prefactor', so it would change nothing",
            setting="gamma_0",
            value=gamma_0,
            remedy="write the table with `widthwise table --gamma-0`",
        )
    return gamma_0


def _power(parts: Mapping[str, Any], source: str) -> Power:
    names = [field.name for field in dataclasses.fields(Power)]
    for name in parts:
        if name not in names:
            raise InputError(
                f"{source}: power has no part {name!r}",
                setting="power",
                value=name,
                remedy=f"expected {', '.join(names)}",
            )
    return Power(**{name: fraction(value) for name, value in parts.items()})


def _all_known(kind: str, names: Any, options: Iterable[str], source: str) -> None:
    """Refuse a misspelt name, which would otherwise be left out in silence."""
    options = [str(option) for option in options]
    for name in names:
        if name not in options:
            raise unknown(kind, name, options).within(source)


def _one_of(kind: str, value: Any, options: tuple[str, ...], source: str) -> str:
    if value not in options:
        raise InputError(
            f"{source}: {kind} is {value!r}", setting=kind, value=value, remedy=f"expected one of {', '.join(options)}"
        )
    return str(value)


def _size(value: Any, source: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"{source}: base size is {value!r}",
            setting="base size",
            value=value,
            remedy="expected a whole number of at least 1",
        )
    return value
