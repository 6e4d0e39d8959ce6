"""The report as one HTML page that asks nothing of the network."""

from pathlib import Path
from typing import Any

from . import _tables as tables
from ._drift import drift_figure
from ._figures import transfer_figure
from ._groups import Payload, failed, finite
from ._save import atomically, svg
from ._surfaces import activity_figure
from ._verdict import verdicts, verifications
from ._words import duration, name


def write(payload: Payload, path: str | Path) -> Path:
    """Writes the page; the file is never seen half written.

    **Returns:** the path.
    """
    text = render(payload)
    return atomically(Path(path), lambda file: file.write_text(text, encoding="utf-8"))


def render(payload: Payload) -> str:
    """The page: verdicts, figures, tables and everything that is needed to run the sweep again.

    **Arguments:** `payload`: the dict of `transfer.json`; missing parts are left out of the page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    # The drawings are our own and escape their text themselves.
    drawn = {
        "transfer": transfer_figure(payload),
        "activity": activity_figure(payload),
        "drift": drift_figure(payload),
    }
    figures = {name: None if figure is None else Markup(svg(figure)) for name, figure in drawn.items()}
    return environment.get_template("template.html").render(_content(payload) | {"figures": figures})


def _content(payload: Payload) -> dict[str, Any]:
    curves = payload.get("curves") or []
    return {
        "command": payload.get("command") or "",
        "created": payload.get("created") or "",
        "verdicts": [*verifications(payload), *verdicts(payload)],
        "summary": tables.summary_table(payload),
        "optima": tables.optima_table(payload),
        "settled": tables.settled_table(payload),
        "scalings": [_scaling(key, table or {}) for key, table in (payload.get("tables") or {}).items()],
        "settings": tables.settings_table(payload),
        "facts_of_run": _facts(payload, len(curves)),
        "failures": tables.failures_table(payload),
        "first": tables.first_failures(payload),
        "lost": sum(map(failed, curves)),
        "runs": len(curves),
    }


def _scaling(key: str, table: dict[str, Any]) -> dict[str, Any]:
    base = table.get("base") or {}
    facts = {
        "algorithm": name(table.get("algorithm") or ""),
        "optimizer": name(table.get("optimizer") or ""),
        "gauge": table.get("gauge"),
        "richness": table.get("richness"),
        "gamma_bar": table.get("gamma_bar"),
        "output loss": table.get("output_loss"),
        "base": ", ".join(f"{axis} {size}" for axis, size in base.items()),
    }
    kept = {fact: value for fact, value in facts.items() if value not in (None, "")}
    return {"name": name(table.get("name") or key), "facts": kept, "table": tables.scaling_table(table)}


def _facts(payload: Payload, curves: int) -> dict[str, str]:
    runs = payload.get("runs")
    facts = {
        "device": payload.get("device"),
        "runs": curves if runs is None else runs,
        "wall time": duration(finite(payload.get("wall_seconds"))),
    }
    return {key: str(value) for key, value in (facts | (payload.get("versions") or {})).items() if value is not None}
