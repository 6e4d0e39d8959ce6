"""What `widthwise tune` wrote, as other verbs read it: data that is checked, never executed."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from .._errors import InputError
from ..config import Run, checked

VERSION = 1
LONGEST = 50_000_000
# Of these the command line's own replaces both.
DURATIONS = ("steps", "epochs")


class Tuned(NamedTuple):
    """A tuned rate: `settings` of the run it was tuned for, `log2_rate`, `log2_activity_rate` (None: not searched),
    and `place`: at which size, in words."""

    settings: dict[str, Any]
    log2_rate: float
    log2_activity_rate: float | None
    place: str

    def beneath(self, given: dict[str, Any]) -> dict[str, Any]:
        """The settings of a run: what was given on the command line, and for the rest what was tuned.

        A table's file belongs to the parameterization, so another parameterization leaves it; a rule of one's own is
        named by the algorithm; the tuned activity rate belongs to the rule it was tuned for.
        """
        left = {name for name in DURATIONS if any(other in given for other in DURATIONS)}
        left |= {"table"} if "parameterization" in given else set()
        left |= {"rule"} if "algorithm" in given else set()
        kept = {name: value for name, value in self.settings.items() if name not in left}
        if self.log2_activity_rate is not None:
            kept["activity_rate"] = 2.0**self.log2_activity_rate
        return kept | given


def read_tuned(path: str) -> Tuned:
    """The content of a file that `widthwise tune` wrote, or of the directory that holds it.

    **Raises:** `InputError` where it is missing, too large, damaged or of another version.
    """
    file = Path(path) / "tuned.json" if Path(path).is_dir() else Path(path)
    try:
        # A pipe would block for ever, a device never end; neither has a size.
        if file.exists() and not file.is_file():
            raise InputError(
                f"tuned file {file} is no plain file",
                setting="tuned file",
                value=file,
                remedy="expected what `widthwise tune --out DIR` writes",
            )
        if file.stat().st_size > LONGEST:
            raise InputError(
                f"tuned file {file} is larger than {LONGEST} bytes, as no search of this program is",
                setting="tuned file",
                value=file,
                remedy="run `widthwise tune` again to rewrite it",
            )
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"tuned file {file}: {error.strerror}",
            setting="tuned file",
            value=file,
            remedy="`widthwise tune --out DIR` writes DIR/tuned.json",
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"tuned file {file} is not JSON: {error}",
            setting="tuned file",
            value=file,
            remedy="run `widthwise tune` again to rewrite it",
        ) from None
    if not isinstance(content, dict) or content.get("schema_version") != VERSION or "search" not in content:
        version = content.get("schema_version") if isinstance(content, dict) else None
        raise InputError(
            f"tuned file {file} is no result of `widthwise tune` of schema version {VERSION} (found {version!r})",
            setting="tuned file",
            value=file,
            remedy="run `widthwise tune` again to rewrite it",
        )
    settings = content.get("settings")
    if not isinstance(settings, dict):
        raise InputError(
            f"tuned file {file} lacks its settings",
            setting="tuned file",
            value=file,
            remedy="run `widthwise tune` again to rewrite it",
        )
    run: Run = checked(settings)
    activity = content.get("log2_activity_rate")
    place = f"width {run.width}, depth {run.depth}"
    return Tuned(settings, _log2(file, "log2_rate", content.get("log2_rate")),
                 None if activity is None else _log2(file, "log2_activity_rate", activity), place)  # fmt: skip


def _log2(file: Path, name: str, value: Any) -> float:
    from ..sweep import LARGEST_LOG2

    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or abs(value) > LARGEST_LOG2:
        raise InputError(
            f"tuned file {file}: {name} is {value!r}",
            setting=name,
            value=value,
            remedy=f"expected a number between -{LARGEST_LOG2:g} and {LARGEST_LOG2:g}",
        )
    return float(value)
