"""Every stored sweep over several sizes, judged by its runs: what the smallest size's rate costs at the larger ones.

Sweeps that were made before their tuned rate was run beside the grid are judged at the best grid rate of the smallest
size, which was run at every size. Nothing is trained here: every row is a stored one.

    python recipes/verdicts.py > recipes/verdicts.log
"""

import json
from pathlib import Path

from widthwise.optima import resummarized
from widthwise.report import verdicts

HERE = Path(__file__).parent


def main() -> None:
    """One line a rule."""
    for path in sorted(HERE.glob("*/results/*.json")):
        payload = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(payload, dict) or not payload.get("curves") or not payload.get("summary"):
            continue
        for verdict in verdicts(resummarized(payload)):
            if verdict.transfers is not None:
                print(f"stored {path.relative_to(HERE)}: {verdict.label}: {verdict.sentence}")


if __name__ == "__main__":
    main()
