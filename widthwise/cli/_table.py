"""`widthwise table`: the exponents of a parameterization."""

from collections.abc import Sequence
from typing import Any

from ..config import table_of
from ..parameterization import TARGET, Role, to_json
from ._flags import Parser, add_run_flags, given
from ._output import run_from, write_result

LETTERS = ("a", "b", "c", "g", "d")


def run(arguments: Sequence[str]) -> int:
    """Print a table, and write it as JSON where asked."""
    parser = Parser(
        prog="widthwise table",
        description="W = M^-a w, std M^-b, rate M^-c, epsilon M^-g, decay M^-d, with M the width over the base's.",
    )
    add_run_flags(parser, "table")
    parser.add_argument("--json", metavar="FILE", help="write the table, to be edited and read as a parameterization")
    values = parser.parse_all(arguments)
    table = table_of(run_from(given(values)))
    payload = to_json(table)
    print(_text(payload))
    write_result(values.json, payload)
    return 0


def _text(payload: dict[str, Any]) -> str:
    head = f"{payload['name']} for {payload['algorithm']}, {payload['optimizer']}"
    details = [f"gauge {payload['gauge'] or 'own'}", f"base width {payload['base']['width']}"]
    details += [f"base depth {payload['base']['depth']}", f"gamma_bar {payload['gamma_bar']}"]
    if payload["richness"] is not None:
        details.append(f"richness {payload['richness']}")
    lines = [head, ", ".join(details), "", f"{'role':14s}" + "".join(f"{letter:>8s}" for letter in LETTERS)]
    deep = any(row[f"{letter}_depth"] != "0" for row in payload["roles"].values() for letter in LETTERS)
    for role, row in payload["roles"].items():
        if Role(role).is_feedback and payload["algorithm"] not in TARGET:
            continue
        line = f"{role:14s}" + "".join(f"{row[letter]:>8s}" for letter in LETTERS)
        lines.append(line + ("   depth:" + "".join(f"{row[f'{x}_depth']:>6s}" for x in LETTERS) if deep else ""))
    precision = payload["precision"]["output"]
    lines.append(f"output precision ~ width^{precision['width']} depth^{precision['depth']}")
    return "\n".join(lines)
