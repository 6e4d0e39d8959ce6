"""Tables that are known, derived again by measurement, without looking at them; and three that nobody knows.

Each row gives `widthwise.derive` an algorithm, an optimizer, the richness asked for and a family of networks with
biases (4 weight layers, tanh; two convolutions and a readout; residual networks over depth too), and compares every
exponent b, c, g of every role with the known table in the gauge without multipliers, and of feedback what the
algorithm uses: the ridge's exponent, and b, c, g of weights that learn. Blind rows: the algorithm's
gradient is multiplied by (N/64)^q, q drawn at random, and the search starts from the standard parameterization in a
random gauge, multipliers M^-t included; what comes back must be the known table, moved by t, its rates lowered by q
(SGD) and its epsilons raised. Doubtful rows must come back without a table: two widths, a rate that is too large, and
target propagation at r = 0.

    python recipes/derive/rediscover.py [ROW ...] [--seeds 16] [--draw 5] [--widths 64 128 256]

Appends each row to results/rediscover.log as it ends; seconds of CPU are all threads'.
"""

import argparse
import dataclasses
import random
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import equinox as eqx
import jax

import widthwise as ww
from widthwise.algorithms import AbstractAlgorithm, Inference
from widthwise.measure import Derivation
from widthwise.parameterizations import Parameterization, Role, width_exponent

LOG = Path(__file__).parent / "results" / "rediscover.log"
# The blocks are L − 2, and a transient of (L − 2)/L is in every slope.
DEEP = {"depths": (32, 64, 128), "widths": (64, 128, 256), "seeds": 32}
CHANNELS = {"widths": (32, 64, 128, 256)}
GRADIENT_DESCENT_END = 1 / 64  # γ', so that ‖C‖ <= 0.05 at width 64


class Rescaled(AbstractAlgorithm):
    """An algorithm whose gradient is multiplied by (N/64)^q."""

    inner: AbstractAlgorithm
    power: float = eqx.field(static=True)

    @property
    def name(self) -> str:
        """The inner one's."""
        return self.inner.name

    def init(self, built, *, key):
        """The inner one's."""
        return self.inner.init(built, key=key)

    def infer(self, learner, batch, loss, *, key) -> Inference:
        """The inner one's."""
        return self.inner.infer(learner, batch, loss, key=key)

    def grads(self, learner, batch, loss, *, key):
        """The inner one's, times (N/64)^q."""
        gradients, metrics = self.inner.grads(learner, batch, loss, key=key)
        factor = (learner.network.segments[0].stages.linear.weight.shape[-2] / 64) ** self.power
        return jax.tree.map(lambda gradient: factor * gradient, gradients), metrics


@dataclasses.dataclass(frozen=True)
class Row:
    """What is asked for, and the table that should come back."""

    algorithm: AbstractAlgorithm
    optimizer: str
    known: tuple[str, dict]
    richness: Fraction | str = "1/2"
    gamma_bar: Fraction | str = 0
    deep: bool = False
    images: bool = False
    blind: bool = False
    asked: dict = dataclasses.field(default_factory=dict)


def rows() -> dict[str, Row]:
    """All rows by name."""
    found = {}
    for optimizer in ("sgd", "adam"):
        found[f"bp_mup_{optimizer}"] = Row(ww.Backprop(), optimizer, ("mup", {}))
        found[f"bp_ntp_{optimizer}"] = Row(ww.Backprop(), optimizer, ("ntp", {}), richness=0)
        found[f"bp_r1_4_{optimizer}"] = Row(ww.Backprop(), optimizer, ("richness", {"richness": "1/4"}), richness="1/4")
        for gamma_bar, precision in (("0", GRADIENT_DESCENT_END), ("-1/2", GRADIENT_DESCENT_END), ("-1", 1.0)):
            pc = ww.PredictiveCoding(ww.ErrorDescent(iterations=12), output_precision=precision)
            known = ("mup", {"algorithm": "pc", "gamma_bar": gamma_bar})
            found[f"pc_gamma_bar{gamma_bar.replace('/', '_')}_{optimizer}"] = Row(
                pc, optimizer, known, gamma_bar=gamma_bar
            )
        for name, difference in (("tp", False), ("dtp", True)):
            rule = ww.TargetPropagation(ww.RidgeFeedback(1e-3), difference=difference)
            found[f"{name}_{optimizer}"] = Row(rule, optimizer, ("mup", {"algorithm": name}))
        learned = ww.TargetPropagation(ww.TrainedFeedback(optimizer=optimizer))
        found[f"dtp_trained_{optimizer}"] = Row(learned, optimizer, ("mup", {"algorithm": "dtp"}))
        found[f"bp_cnn_{optimizer}"] = Row(ww.Backprop(), optimizer, ("mup", {}), images=True)
        found[f"bp_depth_{optimizer}"] = Row(ww.Backprop(), optimizer, ("depth_mup", {}), deep=True)
    pc = ww.PredictiveCoding(ww.ErrorDescent(iterations=12))
    found["blind_bp_sgd"] = Row(ww.Backprop(), "sgd", ("mup", {}), blind=True)
    found["blind_pc_sgd"] = Row(pc, "sgd", ("mup", {"algorithm": "pc", "gamma_bar": -1}), gamma_bar=-1, blind=True)
    found["blind_dtp_adam"] = Row(ww.TargetPropagation(), "adam", ("mup", {"algorithm": "dtp"}), blind=True)
    found["doubt_two_widths"] = Row(ww.Backprop(), "sgd", ("mup", {}), asked={"widths": (64, 256)})
    found["doubt_rate"] = Row(ww.Backprop(), "sgd", ("mup", {}), asked={"rate": 30.0})
    found["doubt_tp_r0"] = Row(ww.TargetPropagation(difference=False), "sgd", ("mup", {"algorithm": "tp"}), richness=0)
    return found


def families(row: Row) -> Callable:
    """The networks, as a function of their sizes, a key and the table."""
    if row.deep:
        return lambda width, depth, key, table: ww.residual_mlp(
            8, width, 3, depth=depth, bias=True, table=table, key=key
        )
    if row.images:
        return lambda width, key, table: ww.cnn((8, 8, 1), width, 3, depth=3, bias=True, table=table, key=key)
    state = "post" if isinstance(row.algorithm, ww.TargetPropagation) else "pre"
    return lambda width, key, table: ww.mlp(8, width, 3, depth=4, bias=True, state=state, table=table, key=key)


def blind(row: Row, draw: random.Random) -> tuple[AbstractAlgorithm, Parameterization, Parameterization]:
    """The rescaled algorithm, where the search starts, and what should come back."""
    q = Fraction(draw.choice([k for k in range(-4, 5) if k]), 4)
    moves = {str(role): Fraction(draw.randrange(-8, 9), 8) for role in ROLES}
    name, settings = row.known
    start = ww.parameterization("sp", optimizer=row.optimizer, **settings).gauged(moves)
    known = ww.parameterization(name, optimizer=row.optimizer, gauge="stp", **settings).gauged(moves)
    print(f"q = {q}, t = {', '.join(f'{role} {t}' for role, t in moves.items())}")
    one = Fraction(1)

    def lowered(scaling):
        growth = ww.parameterization("mup").scalings[Role.INPUT].rate  # (N/64)^1
        change = {"rate": scaling.rate * growth ** (-q)} if row.optimizer == "sgd" else {}
        return dataclasses.replace(scaling, epsilon=scaling.epsilon * growth**q, **change)

    assert ww.parameterization("mup").scalings[Role.INPUT].letters(Role.INPUT)["c"] == -one
    expected = dataclasses.replace(known, rows=tuple((role, lowered(scaling)) for role, scaling in known.rows))
    return Rescaled(row.algorithm, float(q)), start, expected


ROLES = (Role.INPUT, Role.HIDDEN, Role.OUTPUT, Role.HIDDEN_BIAS, Role.OUTPUT_BIAS)
DEEP_ROLES = (Role.INPUT, Role.BRANCH, Role.OUTPUT, Role.HIDDEN_BIAS, Role.BRANCH_BIAS, Role.OUTPUT_BIAS)


WAY_DOWN = (Role.FEEDBACK, Role.FEEDBACK_OUTPUT)


def feedback_differences(found: Derivation, known: Parameterization) -> list[str]:
    """The exponents of feedback that were measured and differ; at least the ridge's are."""
    ridges = {str(role): width_exponent(known.scalings[role].ridge, role) for role in WAY_DOWN}
    measured = {(one.role, one.letter): one.value for one in found.exponents if one.role in ridges}
    wanted = {
        (role, letter): ridges[role] if letter == "ridge" else known.scalings[Role(role)].letters(Role(role))[letter]
        for role, letter in measured.keys() | {(role, "ridge") for role in ridges}
    }
    return [
        f"{letter} of {role}: {measured.get((role, letter))}, known {value}"
        for (role, letter), value in wanted.items()
        if measured.get((role, letter)) != value
    ]


def differences(found: Parameterization, known: Parameterization, roles: tuple[Role, ...], deep: bool) -> list[str]:
    """The exponents that differ; a bias drawn as zeros has no b."""
    letters = [letter + suffix for suffix in (("", "_depth") if deep else ("",)) for letter in "bcg"]
    different = []
    for role in roles:
        ours, theirs = (table.scalings[role].letters(role) for table in (found, known))
        for letter in letters:
            if not (role.is_bias and letter[0] == "b") and ours[letter] != theirs[letter]:
                different.append(f"{letter} of {role}: {ours[letter]}, known {theirs[letter]}")
    return different


def derived(name: str, row: Row, seeds: int, draw: random.Random, widths: list[int] | None = None) -> str:
    """One row: what was measured, and whether it is the known table."""
    algorithm, asked = row.algorithm, {"seeds": seeds} | row.asked
    settings = {"optimizer": row.optimizer} | row.known[1]
    known = ww.parameterization(row.known[0], gauge="stp", **settings)
    if row.blind:
        algorithm, start, known = blind(row, draw)
        asked["start"] = start
    if row.deep:
        asked |= DEEP
    if row.images:
        asked |= CHANNELS
    if widths is not None:
        asked["widths"] = widths
    began, cpu = time.perf_counter(), time.process_time()
    found = ww.derive(
        families(row),
        algorithm,
        optimizer=row.optimizer,
        richness=row.richness,
        gamma_bar=row.gamma_bar,
        on_round=lambda text: print(f"\r{name}: {text}", end="", file=sys.stderr, flush=True),
        **asked,
    )
    took = f"{time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} s of CPU"
    print(file=sys.stderr)
    if found.table is None:
        verdict = "no table" if name.startswith("doubt") else "MISSED: no table"
    elif name.startswith("doubt"):
        verdict = "MISSED: a table"
    else:
        different = differences(found.table, known, DEEP_ROLES if row.deep else ROLES, row.deep)
        if isinstance(row.algorithm, ww.TargetPropagation):
            different += feedback_differences(found, known)
        verdict = f"DIFFERENT: {'; '.join(different)}" if different else "the known table, exactly"
    return f"== {name}\n{found}\n{verdict}, {took}\n"


def main() -> None:
    """Derive, print, log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help="names; none is all")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--draw", type=int, default=5, help="seed of the blind rows' q and gauges")
    parser.add_argument("--widths", type=int, nargs="+", help="of all rows; else each row's own")
    values = parser.parse_args()
    everything = rows()
    LOG.parent.mkdir(exist_ok=True)
    for index, name in enumerate(everything):
        if values.rows and name not in values.rows:
            continue
        draw = random.Random(values.draw * 1000 + index)
        text = derived(name, everything[name], values.seeds, draw, values.widths)
        print(text, flush=True)
        with LOG.open("a", encoding="utf-8") as log:
            log.write(text + "\n")


if __name__ == "__main__":
    main()
