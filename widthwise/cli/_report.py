"""`widthwise report`: a stored sweep's page, written again, also while the sweep runs."""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .._errors import InputError
from ._flags import Parser
from ._shared import write_result

LONGEST = 100_000_000  # bytes; ten thousand runs are 4 million
# Of transfer.json. 1 has neither activity rates nor grids of sizes, 2 no rates that were run beside the grid.
VERSIONS = (1, 2, 3)


def run(arguments: Sequence[str]) -> int:
    """Render a sweep directory's report."""
    parser = Parser(prog="widthwise report", description="Write a sweep's report from its transfer.json.")
    parser.add_argument("directory", metavar="DIR", help="of `widthwise transfer --out`")
    parser.add_argument("--out", metavar="FILE", help="the page (DIR/report.html)")
    parser.add_argument("--json", metavar="FILE", help="write the verdicts")
    parser.add_argument(
        "--figures", default="auto", help="plotly (interactive), svg, or auto: plotly if installed (auto)"
    )
    parser.add_argument(
        "--watch", nargs="?", type=float, const=10.0, metavar="SECONDS",
        help="while the sweep runs: write the page every so many seconds (10), from what is stored; a browser that "
        "shows it follows",
    )  # fmt: skip
    values = parser.parse_all(arguments)
    if values.out is not None and Path(values.out).is_dir():
        raise InputError(f"--out {values.out} is a folder", setting="--out", value=values.out, remedy="expected a file")
    if values.watch is not None and not 1 <= values.watch < math.inf:
        raise InputError(
            f"--watch {values.watch}", setting="--watch", value=values.watch, remedy="expected at least 1 second"
        )
    from ..report import verdicts, write

    home = Path(values.directory)
    page = Path(values.out) if values.out else home / "report.html"
    if values.watch is not None:
        _watch(home, page, values.figures, values.watch)
    payload = _payload(home / "transfer.json")
    write(payload, page, values.figures)
    found = verdicts(payload)
    print(f"report: {page}")
    for verdict in found:
        print(f"{verdict.label}: {verdict.sentence}")
    write_result(values.json, [dataclasses.asdict(verdict) for verdict in found])
    return 0


def _watch(home: Path, page: Path, figures: str, seconds: float) -> None:
    """Write the page again and again until the sweep has ended: until its transfer.json tells of as many runs."""
    from ..report import write
    from ..sweep import stored_payload

    told, expected, seen = -1, 0, None
    while True:
        # Looked up before the records are read, so that one that is stored meanwhile is read the next time.
        if (now := _stamp(home / "records.jsonl")) != seen:
            payload, seen = stored_payload(home), now
            if payload["runs"] != told:
                write(payload, page, figures, refresh=seconds)
                told, expected = payload["runs"], payload["expected"]
                print(f"widthwise: {told} of {expected} runs: {page}", file=sys.stderr)
        if told >= expected and (home / "transfer.json").exists():
            return
        time.sleep(seconds)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes with a file's content: its size and its time; both 0 where there is no file yet."""
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _payload(path: Path) -> dict:
    """A sweep's transfer.json.

    **Raises:** `InputError` where it is missing, too large, damaged or of another version.
    """
    try:
        # Through a link it could be any file, and a pipe would block for ever.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InputError(
                f"sweep file {path} is a link or no plain file",
                setting="sweep file",
                value=path,
                remedy="remove it, and run the sweep's command again",
            )
        if path.stat().st_size > LONGEST:
            raise InputError(
                f"sweep file {path} is larger than {LONGEST} bytes, as no sweep of this program is",
                setting="sweep file",
                value=path,
                remedy="run the sweep's command again to rewrite it",
            )
        payload = json.loads(path.read_bytes())
    except OSError as error:
        remedy = "`widthwise transfer --out DIR` writes it when it ends"
        if (path.parent / "checkpoint").exists():
            remedy = f"{path.parent} holds a training run, which `widthwise runs {path.parent}` lists"
        raise InputError(
            f"sweep file {path}: {error.strerror}", setting="sweep file", value=path, remedy=remedy
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"sweep file {path} is not JSON: {error}",
            setting="sweep file",
            value=path,
            remedy="run the sweep's command again to rewrite it",
        ) from None
    if not isinstance(payload, dict) or payload.get("schema_version") not in VERSIONS:
        listed = " and ".join(map(str, VERSIONS))
        version = payload.get("schema_version") if isinstance(payload, dict) else None
        raise InputError(
            f"sweep file {path} has schema version {version!r}",
            setting="sweep file",
            value=path,
            remedy=f"this program reads {listed}, so run the sweep's command again to rewrite it",
        )
    rows = [payload.get(name) for name in ("curves", "summary")]
    if not all(isinstance(found, list) and all(isinstance(row, dict) for row in found) for found in rows):
        raise InputError(
            f"sweep file {path} lacks curves or a summary",
            setting="sweep file",
            value=path,
            remedy="run the sweep's command again to rewrite it",
        )
    for name in ("settings", "tables", "versions"):
        if not isinstance(payload.get(name, {}), dict):
            raise InputError(
                f"sweep file {path}: its {name} are no object",
                setting="sweep file",
                value=path,
                remedy="run the sweep's command again to rewrite it",
            )
    from ..optima import resummarized

    try:
        return resummarized(payload)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise InputError(
            f"sweep file {path}: its runs are not a sweep's",
            setting="sweep file",
            value=path,
            remedy="run the sweep's command again to rewrite it",
        ) from None
