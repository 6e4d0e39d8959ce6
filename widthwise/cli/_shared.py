"""What verbs share: the JSON file of a result, progress on stderr, and the table file that a name may be."""

import contextlib
import math
from pathlib import Path
from typing import Any

from .._errors import InputError
from ..config import Run, checked, mesh_of
from ..parameterizations import TARGET, Role, table_content
from ..report import SUFFIXES

LETTERS = ("a", "b", "c", "g", "d")


def with_table(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a run, with the content of the table's file where the parameterization is a file."""
    path = Path(str(values.get("parameterization", "")))
    if path.suffix != ".json" or values.get("table") is not None:
        return values
    return values | {"table": table_content(path)}


def run_from(values: dict[str, Any]) -> Run:
    """A validated run from the command line's values."""
    return checked(with_table(values))


def use_dtype(run: Run) -> None:
    """Let JAX compute in float64 where the run asks for it; the process belongs to the command line."""
    import jax

    if run.dtype == "float64":
        jax.config.update("jax_enable_x64", True)


def use_devices(run: Run, processes: int = 1) -> None:
    """Let a CPU's cores be as many devices as the run asks for; where JAX has started already, it has what it has.

    **Arguments:** `run`; `processes`: that share the devices evenly.
    """
    import jax

    devices = math.prod((mesh_of(run) or {"data": run.devices}).values())
    if devices > 1:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", max(1, devices // processes))


def write_result(path: str | None, payload: Any) -> None:
    """Write a result as JSON where a file was named."""
    if path is not None:
        from ..sweep import write_json

        write_json(Path(path), payload)


def table_text(payload: dict[str, Any]) -> str:
    """A table's exponents, one line a role."""
    head = f"{payload['name']} for {payload['algorithm']}, {payload['optimizer']}"
    details = [f"gauge {payload['gauge'] or 'own'}", f"base width {payload['base']['width']}"]
    details += [f"base depth {payload['base']['depth']}", f"gamma_bar {payload['gamma_bar']}"]
    if payload["richness"] is not None:
        details.append(f"richness {payload['richness']}")
    if payload["gamma_0"] != 1:
        details.append(f"gamma_0 {payload['gamma_0']:g}")
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


def check_figure(path: str | None) -> None:
    """Found out now, and not when hours of work wait to be drawn."""
    if path is not None and (Path(path).suffix.lower() not in SUFFIXES or not Path(path).parent.is_dir()):
        raise InputError(
            f"--out {path}",
            setting="--out",
            value=path,
            remedy=f"expected a file in a folder that exists, its suffix {', '.join(SUFFIXES)}",
        )
