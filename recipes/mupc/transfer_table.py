"""What the sweeps of transfer_rates.sh say: optima, stability, cost of other rates, and iterations against size.

    python recipes/mupc/transfer_table.py

Reads the curves in results/transfer_*.json and summarizes them as `widthwise transfer` does. The second block of a
joint sweep shows, at each size, the least loss over weight rates for every activity rate relative to the best of all,
the median residual and the inference iterations that it took there ("-": inference left equilibrium).
"""

import json
import math
import statistics
from pathlib import Path
from typing import Any

from widthwise.sweep import summarize, summary_text

RESULTS = Path(__file__).parent / "results"


def along_activity(rows: list[dict[str, Any]], axis: str) -> list[str]:
    """The second block."""
    lines = [f"     {axis:>6s}  log2 activity rate: loss over best, residual, iterations"]
    rates = sorted({row["log2_rate"] for row in rows})
    for size in sorted({row[axis] for row in rows}):
        cells, least = {}, []
        for activity in sorted({row["log2_activity_rate"] for row in rows}):
            here = [row for row in rows if row[axis] == size and row["log2_activity_rate"] == activity]
            stable = statistics.median(row["residual_median"] for row in here) <= 1
            # The mean over seeds at the weight rate that is best for this activity rate.
            at = [[row for row in here if row["log2_rate"] == rate] for rate in rates]
            at = [held for held in at if held and not any(row["diverged"] for row in held)]
            if stable and at:
                best = min(at, key=lambda held: statistics.mean(row["final_loss"] for row in held))
                loss = statistics.mean(row["final_loss"] for row in best)
                residual, iterations = (
                    statistics.median(row.get(name, math.nan) for row in best)
                    for name in ("residual_median", "iterations_median")
                )
                cells[activity] = (loss, residual, iterations)
                least.append(loss)
            else:
                cells[activity] = None
        shown = [
            f"{activity:g}: " + ("-" if held is None else f"{held[0] / min(least):.3f}, {held[1]:.1e}, {held[2]:g}")
            for activity, held in cells.items()
        ]
        lines.append(f"     {size:6d}  " + "   ".join(shown))
    return lines


def main() -> None:
    """Every sweep that was run."""
    for path in sorted(RESULTS.glob("transfer_*.json")):
        payload = json.loads(path.read_text())
        rows = payload["curves"]
        axis = "depth" if len({row["depth"] for row in rows}) > 1 else "width"
        print(f"\n## {path.stem}")
        print(summary_text(payload | {"summary": summarize(rows, axis)}))
        if rows[0]["log2_activity_rate"] is not None:
            print("\n".join(along_activity(rows, axis)))


if __name__ == "__main__":
    main()
