"""Does the best rate transfer? One sentence for each rule."""

import dataclasses
import math

from ._curves import Group, Payload, Row, finite, groups
from ._formatting import NONE, decimal, label, listed, name, octaves, percent, with_error

# ‖C‖ above which predictive coding's update differs visibly from its wide limit.
CURVED = 0.1
NOTHING = "nothing to compare"
PLUS_MINUS = "±: standard error over seeds."
COST = "Cost: how far the loss is above that of the best rate that was run there; below 0 it beats the grid."


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The sentence on one rule: `transfers` is None where there is nothing to decide."""

    label: str
    sentence: str
    transfers: bool | None


def verdicts(payload: Payload) -> list[Verdict]:
    """One verdict for each algorithm, parameterization, optimizer, axis and, on a grid of sizes, other size.

    A tuned rate verified at one size asks only whether it holds there: `verifications` answers.
    """
    found = [group for group in groups(payload) if len(group.sizes) > 1 or not payload.get("verification")]
    return [Verdict(group.title, sentence(group), transfers(group)) for group in found]


def verifications(payload: Payload) -> list[Verdict]:
    """One verdict for each rule and size at which a tuned rate was verified; none where none was."""
    found = payload.get("verification") or {}
    place = name(found.get("tuned_at") or "another size")
    return [Verdict(_place(row), _verification(row, place), bool(row.get("passes"))) for row in found.get("rows") or []]


def _place(row: Row) -> str:
    rule = label(*(row.get(key) or "?" for key in ("algorithm", "parameterization", "optimizer")))
    return f"{rule}, width {row.get('width', NONE)}, depth {row.get('depth', NONE)}"


def _verification(row: Row, place: str) -> str:
    """What the rate that was tuned elsewhere costs here."""
    tuned, best = (finite(row.get(key)) for key in ("log2_rate", "best_log2_rate"))
    value, error = row.get("cost", row.get("regret")), row.get("cost_se", row.get("regret_se"))
    cost = _cost(value, error, row.get("cost_diverged"), row.get("seeds"))
    start = f"the rate tuned at {place}, {decimal(tuned)} in log₂, {cost}"
    if finite(value) is None:
        return f"{start} here. Not verified."
    if row.get("at_edge"):
        return f"{start} or more: the best rate, {decimal(best)}, is the last that was run. Not verified."
    against = f"{start} against the best rate here, {decimal(best)}."
    if row.get("passes"):
        return f"{against} Verified."
    if row.get("holds", False) is None:
        return f"{against} Not decided: {_seeds_wanted(row.get('seeds'), row.get('seeds_to_decide'))}."
    return f"{against} Not verified."


def _cost(value: object, error: object, diverged: object = None, seeds: object = None) -> str:
    """What a rate costs, with its error, as the rest of a sentence."""
    cost, known = finite(value), finite(error)
    if isinstance(diverged, int) and diverged:
        return f"diverges in {diverged} of {seeds} seeds"
    if cost is None:
        return "diverges or has no loss"
    shown = percent(cost) if known is None else f"{decimal(100 * cost, 1)} ± {decimal(100 * known, 1)} %"
    return f"costs {shown}"


def _seeds_wanted(seeds: object, wanted: object) -> str:
    """How many seeds would decide."""
    if seeds == 1:
        return "with one seed the error is unknown, run at least 2"
    return f"about {wanted} seeds would" if isinstance(wanted, int) else "more than 1000 seeds would be needed"


def transfers(group: Group) -> bool | None:
    """The summary's verdict; None where there is none or only one size."""
    answer = group.summary.get("transfers")
    return bool(answer) if answer is not None and len(group.sizes) > 1 and _word(group) != NOTHING else None


def undecided(group: Group) -> bool:
    """Whether neither transfer nor its contrary is known."""
    return transfers(group) is False and group.summary.get("decided") is False


def _word(group: Group) -> str:
    return str(group.summary.get("verdict") or "")


def headline(group: Group) -> str:
    """The verdict as a title: the answer, what the tuned rate costs, and how far the optimum moves."""
    answer = transfers(group)
    if len(group.sizes) < 2:
        return "one size, no verdict"
    if answer is None:
        return "one rate, no verdict" if _word(group) == NOTHING else "no verdict"
    if undecided(group):
        return f"not decided: {_reason(group)}"
    facts = [part for part in (_cost_at_its_worst(group), _drift(group)) if part]
    return ": ".join(["transfers" if answer else "does not transfer", *([", ".join(facts)] if facts else [])])


def headline_lines(group: Group) -> str:
    """The headline in lines that a phone shows whole: the answer, the cost, the drift."""
    return headline(group).replace(": ", ":\n").replace(", drift", ",\ndrift").replace(", activity", ",\nactivity")


def cost_words(group: Group, size: int) -> str:
    """What the smallest size's tuned rate does at a larger size, like `costs 1.3 ± 0.4 %`; empty where it never ran."""
    value, lost = group.value("cost", size), group.value("cost_diverged", size)
    if value is None and not lost:
        return ""
    kind = " of the fall of the loss" if group.summary.get("cost_of") == "fall" else ""
    words = _cost(value, group.value("cost_se", size), int(lost or 0), group.summary.get("seeds"))
    return words + (kind if value is not None else "")


def _worst(group: Group) -> int | None:
    """The larger size that decides: where the cost less two errors is largest, or where it holds, with two more."""
    larger = [size for size in group.sizes[1:] if cost_words(group, size)]
    errors = -2 if _word(group) == "does not transfer" else 2

    def most(size: int) -> float:
        value = group.value("cost", size)
        return math.inf if value is None else value + errors * (group.value("cost_se", size) or 0.0)

    return max(reversed(larger), key=most) if larger else None


def _cost_at_its_worst(group: Group) -> str:
    worst = _worst(group)
    return "" if worst is None else f"{cost_words(group, worst)} at {worst}"


def _drift(group: Group) -> str:
    """How fast the optimum of the rate that drifts more moves."""
    weight, activity = (group.scalar(f"{kind}drift_octaves_per_doubling") for kind in ("", "activity_"))
    if weight is None:
        return ""
    more = activity is not None and abs(activity) > abs(weight)
    what, drift, kind = ("activity drift", activity, "activity_") if more else ("drift", weight, "")
    moves = with_error(drift, group.scalar(f"{kind}drift_se"), sign=True)
    return f"{what} {moves} octave per doubling"


def _reason(group: Group) -> str:
    """Why nothing is decided, and what would decide."""
    why = [str(one) for one in group.summary.get("why") or []]
    edges = sorted({size for kind in ("", "activity_") for size in _flagged(group, f"{kind}at_edge")})
    reasons = {
        "edge": f"at {listed(edges)} the best rate is the last that was run, run more rates",
        "seeds": f"{_seeds_wanted(None, group.summary.get('seeds_to_decide'))}",
        "one seed": _seeds_wanted(1, None),
        "no optimum": f"every rate diverged at {group.sizes[0]}",
        "not known": "what the tuned rate costs is not known at every larger size",
    }
    return "; ".join(reasons.get(one, one) for one in why) or "run more rates or seeds"


def _flagged(group: Group, flag: str) -> list[int]:
    """The sizes at which the summary raises a flag of one of the rates."""
    return [size for size in group.sizes if group.flag(flag, size)]


def sentence(group: Group) -> str:
    """The verdict in full: what the tuned rate costs, the answer, how far the optimum moves, and what limits it."""
    found = {size: best for size in group.sizes if (best := group.value("optimum_log2", size)) is not None}
    if not found:
        return " ".join(["no best rate was found.", *_answer(group)])
    if len(group.sizes) == 1:
        start = [f"one {group.axis} only ({group.sizes[0]}): nothing to compare."]
    elif _word(group) == NOTHING:
        start = ["one rate only: nothing to compare."]
    else:
        start = [*_tuned(group), *_answer(group), *_moves(group, found), *_beyond(group)]
    return " ".join([*start, *_transient(group, found), *_limits(group)])


def _tuned(group: Group) -> list[str]:
    """What the smallest size's rate costs at the largest, and at another size where that is worse."""
    rate, last = group.scalar("tuned_log2"), group.sizes[-1]
    if rate is None or not cost_words(group, last):
        return []
    which = "best grid rate" if group.summary.get("tuned_on_grid") else "rate tuned"
    activity = group.scalar("tuned_activity_log2")
    rates = decimal(rate) + ("" if activity is None else f", activity rate {decimal(activity)}")
    worst = _worst(group)
    worse = "" if worst in (None, last) else f" ({cost_words(group, worst or last)} at {worst})"
    begin = f"the {which} at {group.axis} {group.sizes[0]} ({rates} in log₂)"
    return [f"{begin} {cost_words(group, last)} at {last}{worse}."]


def _answer(group: Group) -> list[str]:
    answer = transfers(group)
    if undecided(group):
        return [f"Whether it transfers is not decided: {_reason(group)}."]
    if answer is None:
        return []
    begins = group.scalar("transfers_from")
    if answer:
        return ["It transfers."]
    later = f" From {group.axis} {begins:.0f} on it does." if begins is not None else ""
    return [f"It does not transfer.{later}"]


def _moves(group: Group, found: dict[int, float]) -> list[str]:
    """How far the optima move, in all and per doubling."""
    if len(found) < 2:
        return [f"A best rate was found at {group.axis} {min(found)} alone."]
    sizes = f"{group.axis} {min(found)} to {max(found)}"
    moves = [f"The best rate moves {_shift(found)} over {sizes} ({drift_words(group)})."]
    activity = {size: best for size in group.sizes if (best := group.value("optimum_activity_log2", size)) is not None}
    return moves + ([f"The best activity rate moves {_shift(activity)}."] if len(activity) > 1 else [])


def drift_words(group: Group) -> str:
    """The drift in octaves per doubling of the size, with its standard error."""
    drift = with_error(group.scalar("drift_octaves_per_doubling"), group.scalar("drift_se"), sign=True)
    return f"{drift} octave per doubling"


def _shift(found: dict[int, float]) -> str:
    """How far a rate moves from the smallest to the largest size, and which way."""
    shift = found[max(found)] - found[min(found)]
    return octaves(shift) + ("" if abs(shift) < 0.05 else " up" if shift > 0 else " down")


def _beyond(group: Group) -> list[str]:
    """What the tuned rate would cost at sizes that were not run, if the optimum went on as it did."""
    rows = [row for row in group.summary.get("extrapolated") or [] if finite(row.get("cost")) is not None]
    costs = [f"{percent(row['cost']) if row['cost'] < 10 else 'more than 1000 %'} at {row['size']}" for row in rows]
    return [f"Extrapolated, not run: {listed(costs)}."] if costs else []


def _transient(group: Group, found: dict[int, float]) -> list[str]:
    """Why a rule that transfers in the limit may drift at small sizes: its curvature is still falling."""
    sizes = sorted(found)
    first, last = (group.value("curvature_at_optimum", size) for size in (sizes[0], sizes[-1]))
    falls = first is not None and last is not None and first >= CURVED and last <= first / 2
    if transfers(group) is not False or len(sizes) < 3 or not falls:
        return []
    ending = octaves(found[sizes[-1]] - found[sizes[-2]])
    return [
        f"Why: ‖C‖, the curvature that inference meets, falls from {decimal(first or 0)} to {decimal(last or 0)}, so "
        f"at small sizes inference still leaves backprop's path and the best rate is another; from {sizes[-2]} to "
        f"{sizes[-1]} it moves {ending}."
    ]


def _limits(group: Group) -> list[str]:
    limits = []
    for kind, it in (("", "the best rate"), ("activity_", "the best activity rate")):
        edge, cliff, opened = (_flagged(group, kind + flag) for flag in ("at_edge", "at_cliff", "stable_open"))
        if edge:
            limits.append(f"At {listed(edge)} {it} is the last that was run: run more rates.")
        if cliff:
            limits.append(f"At {listed(cliff)} a rate next to {it} diverged.")
        if opened and len(opened) < len(group.sizes):
            limits.append(f"At {listed(opened)} stability ends beyond the {kind.replace('_', ' ')}rates that were run.")
    return limits
