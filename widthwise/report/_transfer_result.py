"""A finished sweep: its curves, its verdict, its report."""

import dataclasses
from pathlib import Path
from typing import Any

from ..store import jsonable, write_json
from ._html import write
from ._save import save
from ._text_table import summary_text
from .figures import activity_figure, transfer_figure


@dataclasses.dataclass(frozen=True)
class TransferResult:
    """A finished sweep.

    **Arguments:** `payload`: what `transfer.json` holds: `curves`, one row a run, `summary`, one row a rule, and the
    tables, settings and versions they were measured with.
    """

    payload: dict[str, Any]

    @property
    def curves(self) -> list[dict[str, Any]]:
        """One row a run."""
        return self.payload["curves"]

    @property
    def transfers(self) -> bool:
        """Whether the best rate of every rule stayed where it was."""
        return all(row["transfers"] for row in self.payload["summary"])

    def summary(self) -> str:
        """The optimum at every size, and the verdict, as text."""
        return summary_text(self.payload)

    def plot(self, path: str | Path) -> None:
        """The curves, minima marked, as .png, .svg or .pdf.

        Where activity rates were swept, a second file, its name ending in `_activity`, shows the loss over both rates.
        """
        payload, path = jsonable(self.payload), Path(path)
        save(transfer_figure(payload), path)
        if (figure := activity_figure(payload)) is not None:
            save(figure, path.with_stem(f"{path.stem}_activity"))

    def write(self, directory: str | Path) -> Path:
        """Write `transfer.json` and `report.html`; returns the report's path."""
        home = Path(directory)
        home.mkdir(parents=True, exist_ok=True)
        payload = jsonable(self.payload)
        write_json(home / "transfer.json", payload)
        return Path(write(payload, home / "report.html"))
