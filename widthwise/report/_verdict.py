"""Does the best rate transfer? One sentence for each rule."""

import dataclasses

from ._curves import Group, Payload, Row, finite, groups
from ._formatting import NONE, decimal, label, listed, name, octaves, percent

# ‖C‖ above which predictive coding's update differs visibly from its wide limit.
CURVED = 0.1


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
    regret, tuned, best = (finite(row.get(key)) for key in ("regret", "log2_rate", "best_log2_rate"))
    start = f"the rate tuned at {place}, {decimal(tuned)} in log₂,"
    if regret is None:
        return f"{start} diverges or has no loss here. Not verified."
    error = finite(row.get("regret_se"))
    cost = percent(regret) if error is None else f"{decimal(100 * regret, 1)} ± {decimal(100 * error, 1)} %"
    if row.get("at_edge"):
        return f"{start} costs at least {cost}: the best rate, {decimal(best)}, is the last that was run. Not verified."
    answer = "Verified." if row.get("passes") else "Not verified."
    return f"{start} costs {cost} against the best rate here, {decimal(best)}. {answer}"


def transfers(group: Group) -> bool | None:
    """The summary's verdict; None where there is none or only one size."""
    answer = group.summary.get("transfers")
    return bool(answer) if answer is not None and len(group.sizes) > 1 else None


def undecided(group: Group) -> bool:
    """Whether nothing speaks against transfer but that the rates end too soon, or the seeds are too few to tell."""
    return transfers(group) is False and group.summary.get("decided") is False


def headline(group: Group) -> str:
    """The verdict as a title: `transfers`, or what moves."""
    answer, (drift, what) = transfers(group), _largest_drift(group)
    if len(group.sizes) < 2:
        return "one size, no verdict"
    if answer is None:
        return "no verdict"
    if answer:
        return "transfers"
    if undecided(group):
        more = [
            name
            for name, flag in (("rates", "at_edge"), ("seeds", "few_seeds"))
            if any(_flagged(group, kind + flag) for kind in ("", "activity_"))
        ]
        return f"not decided: run more {' and '.join(more)}"
    if drift is None:
        return "does not transfer: no optimum to follow"
    moves = f"{what} moves {decimal(drift, 2 if abs(drift) < 0.95 else 1, sign=True)} octave per doubling"
    return f"does not transfer: {moves}"


def _flagged(group: Group, flag: str) -> list[int]:
    """The sizes at which the summary raises a flag of one of the rates."""
    return [size for size in group.sizes if group.flag(flag, size)]


def _largest_drift(group: Group) -> tuple[float | None, str]:
    """The drift of the rate that drifts more, and what to call it."""
    weight, activity = (group.scalar(f"{kind}drift_octaves_per_doubling") for kind in ("", "activity_"))
    if weight is None or activity is None or abs(activity) <= abs(weight):
        return weight, "optimum"
    return activity, "activity optimum"


def sentence(group: Group) -> str:
    """The verdict in full: how far the best rate moves, what it costs and what limits the answer."""
    found = {size: best for size in group.sizes if (best := group.value("optimum_log2", size)) is not None}
    if not found:
        return " ".join(["no best rate was found.", *_answer(group)])
    if len(group.sizes) == 1:
        start = f"one {group.axis} only ({group.sizes[0]}): nothing to compare."
    elif len(found) == 1:
        start = f"a best rate was found at {group.axis} {min(found)} alone."
    else:
        start = _moves(group, found)
    return " ".join([start, *_activity(group), *_answer(group), *_transient(group, found), *_limits(group)])


def _moves(group: Group, found: dict[int, float]) -> str:
    cost = _cost(group, min(found), found[min(found)])
    return f"the best rate moves {_shift(found)} over {group.axis} {min(found)} to {max(found)}{cost}."


def _shift(found: dict[int, float]) -> str:
    """How far a rate moves from the smallest to the largest size, and which way."""
    shift = found[max(found)] - found[min(found)]
    return octaves(shift) + ("" if abs(shift) < 0.05 else " up" if shift > 0 else " down")


def _activity(group: Group) -> list[str]:
    """How far the best activity rate moves, where activity rates were swept over several sizes."""
    found = {size: best for size in group.sizes if (best := group.value("optimum_activity_log2", size)) is not None}
    return [f"The best activity rate moves {_shift(found)}."] if len(found) > 1 else []


def _cost(group: Group, first: int, begin: float) -> str:
    last = group.sizes[-1]
    stable, regret = group.value("largest_stable_log2", last), group.scalar("regret")
    if stable is not None and begin > stable:
        return f" (tuned at {first}: diverges at {last})"
    return "" if regret is None else f" (tuned at {first}: costs {percent(regret)} at {last})"


def _answer(group: Group) -> list[str]:
    answer = transfers(group)
    if undecided(group):
        return ["Whether it transfers is not decided."]
    return [] if answer is None else ["It transfers." if answer else "It does not transfer."]


def _transient(group: Group, found: dict[int, float]) -> list[str]:
    """Why a rule that transfers in the limit may drift at small sizes: its curvature is still falling."""
    sizes = sorted(found)
    first, last = (group.value("curvature_at_optimum", size) for size in (sizes[0], sizes[-1]))
    falls = first is not None and last is not None and first >= CURVED and last <= first / 2
    if transfers(group) is not False or len(sizes) < 3 or not falls:
        return []
    ending = octaves(found[sizes[-1]] - found[sizes[-2]])
    return [
        f"Why: ‖C‖ falls from {decimal(first or 0, 2)} to {decimal(last or 0, 2)}, so at small sizes inference still "
        f"leaves backprop's path and the best rate is another; from {sizes[-2]} to {sizes[-1]} it moves {ending}."
    ]


def _limits(group: Group) -> list[str]:
    limits = []
    for kind, it, rates in (("", "it", "rates"), ("activity_", "the activity rate", "activity rates")):
        edge, few, cliff = (_flagged(group, kind + flag) for flag in ("at_edge", "few_seeds", "at_cliff"))
        if edge:
            limits.append(
                f"At {listed(edge)} {it} or the largest stable one lies at the edge of the {rates} that were run: "
                f"run more {rates}."
            )
        if few:
            limits.append(
                f"At {listed(few)} {rates} more than an octave away do as well, as far as the seeds tell: run more "
                f"seeds."
            )
        if cliff:
            limits.append(f"At {listed(cliff)} {it} is the last {'rate ' if it == 'it' else ''}before divergence.")
    return limits
