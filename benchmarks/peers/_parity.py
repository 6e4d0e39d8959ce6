"""Is it the same algorithm: our T = L steps beside jpc's own float32 run, and both beside float64."""

from collections.abc import Mapping
from typing import Any

import numpy as np

ACTIVITIES = GRADIENTS = 1e-6
UPDATES = 1e-2
# A layer whose float64 gradient is smaller than this part of the largest layer's holds rounding, not signal.
SIGNAL = 1e-6
WRONG = 0.5

Arrays = Mapping[str, np.ndarray]


def distance(found: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """|found - reference| / |reference| over all arrays together, in float64; 0/0 = 0."""
    wide = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(found, reference, strict=True)]
    gap = np.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in wide))
    length = np.sqrt(sum(float(np.sum(b**2)) for _, b in wide))
    return 0.0 if gap == 0 else float(gap / length) if length else float("inf")


def numbered(arrays: Arrays, kind: str, suffix: str = "") -> list[np.ndarray]:
    """`kind0`, `kind1`, ... in order, up to the first that is missing."""
    found = []
    while (name := f"{kind}{len(found)}{suffix}") in arrays:
        found.append(arrays[name])
    return found


def compare(ours: Arrays, theirs: Arrays) -> dict[str, Any]:
    """Distances from jpc, layer by layer where layers differ in kind, and which layers hold rounding noise.

    **Returns:** `activities`, `gradients`: over all layers; `updates`: the largest of any hidden layer that holds
    signal (None where none does); `noise`: layers, counted from 1, whose float32 gradient is more than half wrong
    in both libraries; the same against float64 for either side; `passed`.
    """
    exact = numbered(ours, "grad", "_64")
    lengths = [float(np.linalg.norm(gradient)) for gradient in exact]
    signal = [index for index, length in enumerate(lengths) if length > SIGNAL * max(lengths)]
    sides = {"ours": ours, "jpc": theirs}
    gradients = {name: numbered(arrays, "grad") for name, arrays in sides.items()}
    updates = {name: numbered(arrays, "update") for name, arrays in sides.items()}
    wrong = {name: [distance([a], [b]) for a, b in zip(stack, exact, strict=True)] for name, stack in gradients.items()}
    by_layer = [distance([a], [b]) for a, b in zip(updates["ours"], updates["jpc"], strict=True)]
    hidden = [by_layer[index] for index in signal if 0 < index < len(lengths) - 1]
    found: dict[str, Any] = {
        "activities": distance(numbered(ours, "activity"), numbered(theirs, "activity")),
        "gradients": distance(gradients["ours"], gradients["jpc"]),
        "updates": max(hidden, default=None),
        "update_by_layer": by_layer,
        "activities_from_float64": {
            name: distance(numbered(arrays, "activity"), numbered(ours, "activity", "_64"))
            for name, arrays in sides.items()
        },
        "gradients_from_float64": {name: distance(stack, exact) for name, stack in gradients.items()},
        "gradient_from_float64_by_layer": wrong,
        "gradient_norm_float64": lengths,
        "signal": [index + 1 for index in signal],
        "noise": [index + 1 for index in range(len(lengths)) if min(w[index] for w in wrong.values()) > WRONG],
    }
    found["passed"] = {
        "activities": found["activities"] <= ACTIVITIES,
        "gradients": found["gradients"] <= GRADIENTS,
        "updates": max(hidden, default=0.0) <= UPDATES,
    }
    return found


def spans(numbers: list[int]) -> str:
    """`1-3, 5` for 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"
