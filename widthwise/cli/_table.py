"""`widthwise table`: the exponents of a parameterization."""

from collections.abc import Sequence

from ..config import table_of
from ..parameterizations import to_json
from ._flags import Parser, add_run_flags, given
from ._shared import run_from, table_text, write_result


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
    print(table_text(payload))
    write_result(values.json, payload)
    return 0
