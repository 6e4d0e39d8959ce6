"""Is it the same algorithm: our T = L steps beside jpc's, float32 beside float32 and float64 beside float64.

A gradient is a product of errors, differences of activities: float32 leaves a layer's gradient as many digits as its
errors have beyond the activities' rounding. Two float32 runs of one algorithm differ by that, so the distances of both
from float64 stand beside theirs from each other, and so does jpc's from itself with its hidden units renumbered, which
alone changes the order in which float32 adds: no library can be nearer to jpc than jpc is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

ACTIVITIES = GRADIENTS = 1e-6
UPDATES = 1e-2
# Both sides in float64, each on its own version of JAX.
FLOAT64 = 1e-9
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


def layers_apart(found: Arrays, reference: Arrays, kind: str) -> list[float]:
    """The distance of every layer's array of a kind."""
    pairs = zip(numbered(found, kind), numbered(reference, kind), strict=True)
    return [distance([a], [b]) for a, b in pairs]


def compare(ours: Arrays, theirs: Arrays, theirs_64: Arrays, renumbered: Arrays) -> dict[str, Any]:
    """Our run beside jpc's three.

    **Arguments:** `ours`: float32, and float64 under names that end in `_64`; `theirs`: float32; `theirs_64`;
    `renumbered`: float32, hidden units computed in another order.

    **Returns:** `activities`, `gradients`: distances over all layers; `float64`: the same of the float64 runs;
    `renumbered`: the same, and `updates`, of jpc from itself;
    `updates`: the largest of any hidden layer that holds signal (None where none does), and `updates_from_float64`;
    `agree_above`: the part of the largest layer's gradient above which every hidden layer's update agrees; `passed`;
    and what `rounding` says.
    """
    exact = numbered(ours, "grad", "_64")
    lengths = [float(np.linalg.norm(gradient)) for gradient in exact]
    signal = [index for index, length in enumerate(lengths) if length > SIGNAL * max(lengths)]
    inner = range(1, len(lengths) - 1)
    learning = [index for index in signal if index in inner]
    by_layer = layers_apart(ours, theirs, "update")
    hidden = [by_layer[index] for index in learning]
    apart = layers_apart(renumbered, theirs, "update")
    differing = [lengths[index] / max(lengths) for index in inner if by_layer[index] > UPDATES]
    kinds = {"activities": "activity", "gradients": "grad"}
    found: dict[str, Any] = {
        **{name: distance(numbered(ours, kind), numbered(theirs, kind)) for name, kind in kinds.items()},
        "float64": {n: distance(numbered(ours, kind, "_64"), numbered(theirs_64, kind)) for n, kind in kinds.items()},
        "renumbered": {
            **{n: distance(numbered(renumbered, kind), numbered(theirs, kind)) for n, kind in kinds.items()},
            "updates": max((apart[index] for index in learning), default=None),
        },
        "updates": max(hidden, default=None),
        "agree_above": max(differing, default=0.0),
        "update_by_layer": by_layer,
        "gradient_norm_float64": lengths,
        "signal": [index + 1 for index in signal],
    }
    found["passed"] = {
        "activities": found["activities"] <= ACTIVITIES,
        "gradients": found["gradients"] <= GRADIENTS,
        "updates": max(hidden, default=0.0) <= UPDATES,
        "float64": max(found["float64"].values()) <= FLOAT64,
    }
    exact_updates = {name.removesuffix("_64"): array for name, array in ours.items() if name.endswith("_64")}
    found["updates_from_float64"] = {
        name: max((layers_apart(side, exact_updates, "update")[index] for index in learning), default=None)
        for name, side in {"ours": ours, "jpc": theirs}.items()
    }
    return found | rounding({"ours": ours, "jpc": theirs}, ours)


def rounding(sides: Mapping[str, Arrays], exact: Arrays) -> dict[str, Any]:
    """How far each float32 run is from float64, and which layers, counted from 1, are noise in all of them."""
    states, gradients = numbered(exact, "activity", "_64"), numbered(exact, "grad", "_64")
    by_layer = {
        name: [distance([a], [b]) for a, b in zip(numbered(arrays, "grad"), gradients, strict=True)]
        for name, arrays in sides.items()
    }
    return {
        "activities_from_float64": {n: distance(numbered(a, "activity"), states) for n, a in sides.items()},
        "gradients_from_float64": {n: distance(numbered(a, "grad"), gradients) for n, a in sides.items()},
        "gradient_from_float64_by_layer": by_layer,
        "noise": [i + 1 for i in range(len(gradients)) if min(wrong[i] for wrong in by_layer.values()) > WRONG],
    }


def spans(numbers: list[int]) -> str:
    """`1-3, 5` for 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"
