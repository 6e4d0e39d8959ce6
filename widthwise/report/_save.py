"""Figures as files and as inline SVG that a screen reader can name."""

import hashlib
import html
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import InputError
from ._style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".png", ".svg")
_TAG = re.compile(r"<[^>]+>")
_REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')


def save(figure: "Figure", path: str | Path) -> Path:
    """Writes a figure, in the format of the file's suffix: .png, .svg or .pdf.

    **Returns:** the path. **Raises:** `InputError` for any other suffix.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"path {path.name!r} is no figure's",
            setting="path",
            value=path.name,
            remedy=f"the suffix must be {', '.join(SUFFIXES)}",
        )
    if suffix == ".svg":
        text = f'<?xml version="1.0" encoding="utf-8"?>\n{svg(figure)}\n'
        return atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
    metadata = {"Title": alternative(figure)} | ({"CreationDate": None} if suffix == ".pdf" else {})
    with styled():
        return atomically(path, lambda file: figure.savefig(file, format=suffix[1:], dpi=200, metadata=metadata))


def svg(figure: "Figure") -> str:
    """A figure as inline SVG: text as text, no header, ids of its own and an alternative text.

    The same figure gives the same text; ids carry a digest of the drawing, so two drawings never clash.
    """
    buffer = io.StringIO()
    with styled(**{"svg.fonttype": "none", "svg.hashsalt": "widthwise"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    drawing = text[text.index("<svg") :].strip()
    # The metadata names web addresses; the style would reach out of the drawing into the page around it.
    for part in ("metadata", "style"):
        drawing = re.sub(rf"<{part}\b.*?</{part}>\s*", "", drawing, flags=re.DOTALL)
    prefix = f"f{hashlib.sha256(drawing.encode()).hexdigest()[:10]}-"
    drawing = _TAG.sub(lambda tag: _REFERENCE.sub(rf"\g<1>{prefix}", tag[0]), drawing)
    return _named(drawing, html.escape(alternative(figure)))


def _named(drawing: str, words: str) -> str:
    style = "stroke-linejoin:round;stroke-linecap:butt"
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{words}" style="{style}"', 1)
    end = drawing.index(">", drawing.index("<svg")) + 1
    return f"{drawing[:end]}\n <title>{words}</title>{drawing[end:]}"


def alternative(figure: "Figure") -> str:
    """The alternative text: the figure's label, else the titles of its axes."""
    titles = [axes.get_title(loc=where) for axes in figure.axes for where in ("left", "center")]
    return str(figure.get_label()) or "; ".join(filter(None, titles)) or "Figure"


def atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Lets `write` fill a neighbour of the path, then puts it in place: never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path
