"""A sweep that still runs, as far as its records go."""

import os
from collections.abc import Iterable
from typing import Any

from .._errors import InputError
from ..optima import summarize, with_divergence
from ..store import jsonable, read_spec, stream
from ._run_sweep import CURVE_FIELDS, SCHEMA_VERSION, costs, kept


def stored_payload(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """What `transfer.json` would hold if the sweep ended now: its stored groups, and `expected` runs in all.

    Records are read one after the other, and of each what a page shows is kept: memory follows the number of runs, and
    not the length of their curves.

    **Arguments:** `directory`: of `widthwise transfer --out`; it is neither locked nor changed.

    **Raises:** `InputError` where it is no such directory, or its records are not those of runs.
    """
    spec = read_spec(directory)
    if spec["kind"] != "transfer":
        raise InputError(
            f"run directory {directory} holds a {spec['kind']!r} run",
            setting="run directory",
            value=directory,
            remedy="expected a sweep of `widthwise transfer`",
        )
    try:
        return jsonable(_payload(spec["spec"], stream(directory)))
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, StopIteration):
        raise InputError(
            f"run directory {directory} holds records that are not a sweep's",
            setting="run directory",
            value=directory,
            remedy="use the --out of its command",
        ) from None


def _payload(whole: dict[str, Any], records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    groups = whole["groups"]
    curves: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    for last in records:
        curves.append(kept(last["run"]))
    curves = with_divergence(curves)
    sizes = {name: {group["settings"][name] for group in groups.values()} for name in ("width", "depth")}
    several = [name for name, found in sizes.items() if len(found) > 1]
    axis = "grid" if len(several) > 1 else several[0] if several else "width"
    first = next(iter(groups.values()))
    shown = {name: value for name, value in first["settings"].items() if value is not None}
    return {
        "schema_version": SCHEMA_VERSION,
        "created": last.get("finished"),
        "versions": last.get("versions") or {},
        "device": last.get("device"),
        "settings": shown | {name: sorted(found) for name, found in sizes.items()} | {"seeds": whole["seeds"]},
        "tables": {},
        "runs": len(curves),
        "expected": sum(map(len, _members(whole))),
        "costs": costs(curves),
        "curves": [{name: row.get(name) for name in CURVE_FIELDS} for row in curves],
        "summary": summarize(curves, axis),
    }


def _members(whole: dict[str, Any]) -> list[range]:
    """As many runs as every group has: a rate and a seed each, and an activity rate where the rule has one."""
    seeds, rates, activity = whole["seeds"], whole["log2_rates"], whole.get("log2_activity_rates")
    rules = [group["settings"]["algorithm"] for group in whole["groups"].values()]
    users = {"pc"} & set(rules) or set(rules[:1])
    return [range(seeds * len(rates) * (len(activity) if activity and rule in users else 1)) for rule in rules]
