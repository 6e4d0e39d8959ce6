"""Gauges: moves between multiplier, init, rate, epsilon and decay that leave training exactly unchanged.

With W = m w, moving a factor s = M^t from m into w (w' = s w, m' = m / s) leaves W, and so the network,
unchanged; gradients become ∂/∂w' = (1/s) ∂/∂w. Training is unchanged when

|                               | SGD, any momentum | Adam           | any rule             |
|-------------------------------|-------------------|----------------|----------------------|
| a, b                          | a + t, b − t      | a + t, b − t   | a + t, b − t         |
| rate c                        | c − 2t            | c − t          | c − (1 + q − p) t    |
| epsilon                       | -                 | ε M^-t         | ε M^-t               |
| decay in the gradient         | λ M^-2t           | λ M^-2t        | λ M^-2t              |
| decay times the rate (AdamW)  | λ M^-2t           | λ M^-t         | λ M^-(1 + q − p) t   |
| decay independent of the rate | λ                 | λ              | λ                    |

q and p are the optimizer's degrees in the gradient and in the weight (`UpdateRule`); t is free for every tensor.
Source: arXiv 2404.19719; docs/theory.md A3.
"""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction

from ._power import Rational, fraction, width_power
from ._role import Role
from ._scaling import Scaling
from ._update_rule import UpdateRule

GAUGES = ("stp", "mup", "rescaling")


@dataclasses.dataclass(frozen=True)
class Move:
    """How far one role moves: multiplier times M^-width L^-depth (M, L relative to the base)."""

    width: Fraction = Fraction(0)
    depth: Fraction = Fraction(0)

    @classmethod
    def of(cls, value: "Move | Rational | tuple[Rational, Rational]") -> "Move":
        """A move from a number (width alone) or a pair (width, depth)."""
        if isinstance(value, Move):
            return value
        width, depth = value if isinstance(value, tuple) else (value, 0)
        return cls(fraction(width), fraction(depth))


def moved(role: Role, scaling: Scaling, move: Move, *, rule: UpdateRule, weight_decay_kind: str) -> Scaling:
    """A role's scaling after a gauge move: the same training from other numbers.

    (a, b, c) -> (a + t, b − t, c − (1 + q − p) t),   ε M^-t
    """
    step = width_power(move.width, move.depth)
    rate = step ** rule.gauge_degree(role)
    decay = {"coupled": step**-2, "lr": rate**-1, "independent": step**0}[weight_decay_kind]
    return dataclasses.replace(
        scaling,
        multiplier=scaling.multiplier / step,
        init=scaling.init * step,
        rate=scaling.rate * rate,
        epsilon=scaling.epsilon / step,
        decay=scaling.decay * decay,
    )


def moves_to(gauge: str, rows: Mapping[Role, Scaling], r: Fraction) -> dict[Role, Move]:
    """The moves that bring a table of richness r into a named gauge.

    **Arguments:** `gauge`: `"stp"` (no multipliers: a = 0), `"mup"` (Yang and Hu: a = (−r, 1/2 − r, 1/2),
    one rate for all layers under SGD) or `"rescaling"` (Bordelon and Pehlevan: a = (0, 1/2, 1/2 + r), unit
    Gaussians).
    """
    half = Fraction(1, 2)
    target = {
        "stp": dict.fromkeys(Role, Fraction(0)),
        "mup": {
            Role.INPUT: -r,
            Role.HIDDEN: half - r,
            Role.BRANCH: half - r,
            Role.OUTPUT: half,
            Role.HIDDEN_BIAS: -r,
            Role.BRANCH_BIAS: -r,
            Role.NORM: -r,
            Role.BRANCH_NORM: -r,
        },
        "rescaling": {Role.HIDDEN: half, Role.BRANCH: half, Role.OUTPUT: half + r},
    }[gauge]
    moves = {}
    for role, scaling in rows.items():
        letters = scaling.letters(role)
        depth = -letters["a_depth"] if gauge == "stp" else Fraction(0)
        moves[role] = Move(target.get(role, Fraction(0)) - letters["a"], depth)
    return moves
