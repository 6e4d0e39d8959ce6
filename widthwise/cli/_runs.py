"""`widthwise runs`: what a run directory holds, as a table, run by run, or two runs beside each other."""

import difflib
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from typing import Any

from .._errors import InputError, unknown
from ._flags import Parser
from ._shared import write_result

# Of a sweep's run, and of a training run, whichever a directory holds.
COLUMNS = (
    "hash", "algorithm", "parameterization", "optimizer", "width", "depth", "log2_rate", "log2_activity_rate", "seed",
    "rate", "final_loss", "diverged", "residual_median", "test_accuracy", "test_loss", "engine",
)  # fmt: skip
CONDITION = re.compile(r"([\w.]+)(<=|>=|!=|=|<|>)(.*)")
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
WORDS = {"true": True, "false": False, "none": None, "null": None}

Row = dict[str, Any]
Condition = tuple[str, Callable[[Any], bool]]
ABSENT = object()


def run(arguments: Sequence[str]) -> int:
    """List, filter, show or compare the runs of a directory; reading changes nothing in it."""
    values = _parser().parse_all(arguments)
    if values.show and values.compare:
        raise InputError(
            f"--show {' '.join(values.show)} and --compare {' '.join(values.compare)}",
            setting="--show",
            value=values.show,
            remedy="give one of them",
        )
    chosen = [_condition(text) for text in values.where or []]
    result: Any
    try:
        if values.show or values.compare:
            result = _named(values.directory, values.show or values.compare)
            lines = _beside(result) if values.compare else [line for one in result for line in (*_whole(one), "")]
        else:
            result = _selected(values, chosen)
            lines = _table(result, values.columns)
        print("\n".join(map(_printable, lines)))
        write_result(values.json, result)
    except RecursionError:
        raise InputError(
            f"run directory {values.directory}: a record is nested deeper than any that this program writes",
            setting="run directory",
            value=values.directory,
            remedy="remove the record, or name another directory",
        ) from None
    return 0


def _parser() -> Parser:
    parser = Parser(prog="widthwise runs", description="List, filter, show and compare the runs of a directory.")
    parser.add_argument("directory", metavar="DIR", help="of `widthwise transfer --out` or `widthwise train --out`")
    parser.add_argument(
        "--where", nargs="+", metavar="CONDITION",
        help="only runs of which all hold, as width=128 'final_loss<0.3' diverged=false; names with dots go into the "
        "record: spec.settings.activation=tanh",
    )  # fmt: skip
    parser.add_argument("--sort", metavar="NAME", help="by this field, ascending; runs without it come last")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N runs")
    parser.add_argument("--columns", nargs="+", metavar="NAME", help="instead of the usual ones")
    parser.add_argument("--show", nargs="+", metavar="HASH", help="everything stored of these runs")
    parser.add_argument("--compare", nargs="+", metavar="HASH", help="the fields in which these runs differ")
    parser.add_argument(
        "--json", metavar="FILE", help="write what was selected, whole records for --show and --compare"
    )
    return parser


def _selected(values: Any, chosen: Sequence[Condition]) -> list[Row]:
    """The rows of the table; records are read one after the other and only their columns kept."""
    from ..sweep import stream

    if values.limit is not None and values.limit < 1:
        raise InputError(
            f"--limit is {values.limit}", setting="--limit", value=values.limit, remedy="expected at least 1"
        )
    kept = values.columns or COLUMNS
    sort = [values.sort] if values.sort else []
    unseen = {*(values.columns or ()), *sort, *(name for name, _ in chosen)}
    last: Row = {}

    def rows() -> Iterator[tuple[Any, int, Row]]:
        nonlocal last
        for index, last in enumerate(stream(values.directory)):
            unseen.difference_update([name for name in unseen if _field(last, name) is not ABSENT])
            if all(holds(_field(last, name)) for name, holds in chosen):
                found = {name: value for name in kept if (value := _field(last, name)) is not ABSENT}
                yield [_order(_field(last, name)) for name in sort], index, found

    ordered = nsmallest(values.limit, rows()) if values.limit else sorted(rows(), key=lambda row: row[:2])
    if unseen and last:
        name, known = min(unseen), [path for path, _ in (*_bare(last).items(), *_paths(last))]
        # A record has hundreds of fields; the nearest is enough, and those without dots.
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise unknown("field", name, {*near, *(path for path in known if path.isidentifier())})
    return [row for _, _, row in ordered]


def _field(record: Row, name: str) -> Any:
    """A record's field: of its run or its place by the bare name, of any part by its path with dots."""
    value: Any = record
    for part in name.split("."):
        value = value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
    if value is ABSENT and isinstance(run := record.get("run"), dict):
        value = run.get(name, ABSENT)
    return value if _plain(value) else ABSENT


def _bare(record: Row) -> Row:
    run = record.get("run")
    return {name: value for name, value in (record | (run if isinstance(run, dict) else {})).items() if _plain(value)}


def _paths(value: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _paths(item, f"{prefix}{name}.")
        elif _plain(item):
            yield f"{prefix}{name}", item


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _condition(text: str) -> Condition:
    """Of `width=128` the field's name, and whether a run's value meets the condition; where there is none, never."""
    match = CONDITION.fullmatch(text)
    if match is None:
        raise InputError(
            f"--where {text!r}",
            setting="--where",
            value=text,
            remedy="expected NAME=VALUE, or with != < <= > >=, as width=128 or 'final_loss<0.3'",
        )
    name, sign, wanted = match.groups()
    value = _value(wanted)

    def holds(found: Any) -> bool:
        if found is ABSENT:
            return False
        if _is_number(found) and _is_number(value):
            return COMPARED[sign](found, value)
        truth = isinstance(found, bool)
        # Compared as text it would hold of no run, or of all, and nobody would know why.
        if value is not None and (not isinstance(value, bool) if truth else _is_number(found)):
            wants = "true or false" if truth else "a number"
            raise InputError(
                f"--where {text!r}: {name} is {wants}, as {str(found).lower()}",
                setting="--where",
                value=text,
                remedy="compare it with one",
            )
        same = found == (wanted if isinstance(found, str) else value)
        return sign in ("=", "!=") and same == (sign == "=")

    return name, holds


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return float(text)
    except ValueError:
        return text


def _order(value: Any) -> tuple[int, Any]:
    """Numbers before texts before what is missing."""
    if isinstance(value, int | float):
        return 0, value
    return (2, "") if value is None or value is ABSENT else (1, str(value))


def _named(directory: str, names: Sequence[str]) -> list[Row]:
    """Whole records by their hash, or by as much of its beginning as is unambiguous."""
    from ..sweep import stream

    found: dict[str, list[Row]] = {name: [] for name in names}
    for record in stream(directory):
        for name in names:
            if record["hash"].startswith(name):
                found[name].append(record)
    for name, records in found.items():
        if len(records) != 1:
            many = f"{len(records)} runs begin so" if records else "no run begins so"
            raise InputError(
                f"run {name!r} of {directory}: {many}",
                setting="run",
                value=name,
                remedy=f"`widthwise runs {directory}` lists them",
            )
    return [records[0] for records in found.values()]


def _whole(record: Row) -> list[str]:
    """Everything stored of a run; long lists by their length and ends."""
    lines = []
    for name, value in record.items():
        items = list(_paths(value, f"{name}.")) if isinstance(value, dict) else [(name, value)]
        # A table's hundred exponents are for `widthwise table`.
        items = [item for item in items if not item[0].startswith(("spec.table.roles", "spec.table.precision"))]
        lines += [f"{path:40s} {_text(item)}" for path, item in items]
        lists = value.items() if isinstance(value, dict) else ()
        for path, item in lists:
            if isinstance(item, list) and item:
                lines.append(f"{f'{name}.{path}':40s} {len(item)} values, {_text(item[0])} to {_text(item[-1])}")
    return lines


def _beside(records: Sequence[Row]) -> list[str]:
    """The fields in which runs differ, one column a run."""
    if len(records) < 2:
        raise InputError(
            f"--compare {' '.join(record['hash'] for record in records)} is one run",
            setting="--compare",
            value=[record["hash"] for record in records],
            remedy="give two or more",
        )
    flat = [dict(_paths(record)) for record in records]
    names = list(dict.fromkeys(name for one in flat for name in one))
    rows = [[name, *(_text(one.get(name, "-")) for one in flat)] for name in names]
    return _aligned([row for row in rows if len(set(row[1:])) > 1])


def _table(rows: Sequence[Row], columns: Sequence[str] | None) -> list[str]:
    """A line a run; of the usual columns only those that some run has."""
    if not rows:
        return ["no runs"]
    names = columns or [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    lines = _aligned([list(names), *([_text(row.get(name)) for name in names] for row in rows)])
    return [*lines, f"{len(rows)} runs"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _printable(line: str) -> str:
    """Records may come from anyone: what would move the terminal's cursor or colour it is shown, not sent."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
