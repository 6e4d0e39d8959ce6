"""The report as one HTML page that asks nothing of the network."""

import base64
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from .._errors import InputError, unknown
from . import _tables as tables
from ._curves import Payload, failed, finite
from ._formatting import duration, name
from ._interactive import drawings
from ._save import atomically, svg
from ._verdict import COST, PLUS_MINUS, verdicts, verifications
from .figures import activity_figure, drift_figure, map_figure, measured_figure, transfer_figure

FIGURES = ("auto", "plotly", "svg")
# Plotly draws each panel where the page has its place, and again where the page's width changes, as in print.
DRAW = """
const panels = JSON.parse(document.getElementById("panels").textContent);
const draw = { responsive: true, displaylogo: false };
for (const [id, panel] of Object.entries(panels)) Plotly.newPlot(id, panel.data, panel.layout, draw);
const fit = () => document.querySelectorAll(".plot").forEach((plot) => Plotly.Plots.resize(plot));
addEventListener("beforeprint", fit);
addEventListener("afterprint", fit);
"""


def write(payload: Payload, path: str | Path, figures: str = "auto", refresh: float | None = None) -> Path:
    """Writes the page; the file is never seen half written.

    **Arguments:** as of `render`.

    **Returns:** the path.
    """
    text = render(payload, figures, refresh)
    return atomically(Path(path), lambda file: file.write_text(text, encoding="utf-8"))


def render(payload: Payload, figures: str = "auto", refresh: float | None = None) -> str:
    """The page: verdicts, figures, tables and everything that is needed to run the sweep again.

    **Arguments:** `payload`: the dict of `transfer.json`; missing parts are left out of the page; `figures`:
    `"plotly"`, interactive, the page then holds Plotly's program; `"svg"`, drawn by matplotlib; `"auto"`, Plotly where
    it is installed; `refresh`: seconds after which a browser reads the page again (None: never).

    **Raises:** `InputError` for other figures, and for Plotly where it is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    drawn = _plotted(payload) if _kind(figures) == "plotly" else _drawn(payload)
    return environment.get_template("template.html").render(_content(payload) | drawn | {"refresh": refresh})


def _kind(figures: str) -> str:
    if figures not in FIGURES:
        raise unknown("figures", figures, FIGURES)
    installed = importlib.util.find_spec("plotly") is not None
    if figures == "plotly" and not installed:
        raise InputError(
            "figures 'plotly': it is not installed",
            setting="figures",
            value=figures,
            remedy="pip install 'widthwise[report]', or use svg",
        )
    return ("plotly" if installed else "svg") if figures == "auto" else figures


def _drawn(payload: Payload) -> dict[str, Any]:
    """Figures as inline SVG; these drawings are our own and escape their text themselves."""
    from markupsafe import Markup

    drawn = {
        "transfer": transfer_figure(payload),
        "map": map_figure(payload),
        "activity": activity_figure(payload),
        "drift": drift_figure(payload),
        "measured": measured_figure(payload),
    }
    figures = {name: None if figure is None else Markup(svg(figure)) for name, figure in drawn.items()}
    return {"figures": figures, "plots": None, "scripts": [], "panels": None, "script_hashes": ""}


def _plotted(payload: Payload) -> dict[str, Any]:
    """Figures as places that Plotly fills, the data that it draws there, and its program, allowed by its hash alone."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    drawn = drawings(payload)
    plots = {
        figure: [{"id": f"{figure}-{index}", "words": panel.words} for index, panel in enumerate(panels)]
        for figure, panels in drawn.items()
    }
    data = {
        f"{figure}-{index}": {"data": panel.data, "layout": panel.layout}
        for figure, panels in drawn.items()
        for index, panel in enumerate(panels)
    }
    # No markup can begin inside the data, whatever a rule is called.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    scripts = [get_plotlyjs().replace("</script", "<\\/script"), DRAW]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    figures = {name: name in drawn or None for name in ("transfer", "map", "activity", "drift", "measured")}
    return {
        "figures": figures,
        "plots": plots,
        "panels": Markup(text),
        "scripts": [Markup(script) for script in scripts],
        "script_hashes": " ".join(f"'sha256-{digest}'" for digest in hashes),
    }


def _content(payload: Payload) -> dict[str, Any]:
    curves = payload.get("curves") or []
    return {
        "command": payload.get("command") or "",
        "created": payload.get("created") or "",
        "verdicts": [*verifications(payload), *verdicts(payload)],
        "key": f"{PLUS_MINUS} {COST}",
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
        "expected": payload.get("expected"),
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
