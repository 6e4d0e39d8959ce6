"""Target propagation: muP of the forward weights, of feedback weights, and of the ridge.

In the gauge without multipliers, W = M^-a w, std M^-b, rate M^-c, epsilon M^-g, for SGD and for Adam; for any
optimizer c is `UpdateRule.rate_exponent`, with gradients M times and a readout M^1/2 times muP's under backprop:

|                 | fan-in, fan-out  | b   | c | g | ridge     |
|-----------------|------------------|-----|---|---|-----------|
| input           | finite, infinite | 0   | 0 | 0 | -         |
| hidden          | infinite twice   | 1/2 | 1 | 0 | -         |
| output          | infinite, finite | 1/2 | 1 | 0 | -         |
| hidden bias     | -                | 0   | 0 | 0 | -         |
| norm            | -                | 0   | 0 | 0 | -         |
| output bias     | -                | 0   | 0 | 0 | -         |
| feedback        | infinite twice   | 1/2 | 1 | 0 | fan-in Q  |
| feedback output | finite, infinite | 0   | 0 | 0 | fan-in Q  |

Targets' shifts are combinations of the batch's own features, so they meet the readout with alignment exponent 1/2, not
backprop's 1, and a readout of std M^-1/2 leaves its output's change of order one: backprop's NTP in (b, c) is here the
point of feature learning, and no other exists: there is no kernel regime. Local gradients have entries of order one, so
Adam's epsilon follows no width. `feedback` maps a hidden layer's state to the one below it, `feedback output` the
prediction to the last hidden state; the ridge of the batch's closed form is μ' B times the fan-in of Q.

Sources: arXiv 2411.02001 (b_L = 1/2); docs/theory.md C1.
"""

import dataclasses
from fractions import Fraction

from ._power import ONE, Power, width_power
from ._richness import FAN_IN, HALF
from ._role import Role
from ._scaling import Scaling
from ._update_rule import UPDATE_RULES, UpdateRule

RIDGE = Power(fan_in=Fraction(1))


# Local gradients have entries of order one, where backprop's under muP have M^-1.
LOCAL = Fraction(1)


def target_rows(rule: UpdateRule) -> dict[Role, Scaling]:
    """The rows of the forward weights."""

    def below(role: Role) -> Power:
        return width_power(-rule.rate_exponent(role, gradient=LOCAL)) * rule.fan_ratio(role, targets=True)

    hidden = Scaling(init=FAN_IN, rate=below(Role.HIDDEN))
    readout = Scaling(init=FAN_IN, rate=width_power(-rule.rate_exponent(Role.OUTPUT, weight=HALF)))
    vectors = {
        role: Scaling(rate=below(role)) for role in Role if (role.is_bias or role.is_norm) and not role.is_output
    }
    finite = Scaling(rate=width_power(-rule.rate_exponent(Role.OUTPUT_BIAS)))
    weights = {
        Role.INPUT: Scaling(init=FAN_IN, rate=below(Role.INPUT)),
        Role.HIDDEN: hidden,
        Role.BRANCH: dataclasses.replace(hidden, rate=below(Role.BRANCH)),
        Role.OUTPUT: readout,
        Role.OUTPUT_BIAS: finite,
    }
    return weights | vectors


def feedback_rate(role: Role, rule: UpdateRule) -> Power:
    """The rate of feedback weights, whose gradients are local too."""
    return width_power(-rule.rate_exponent(role, gradient=LOCAL))


def feedback_rows(*, scaled: bool = True) -> dict[Role, Scaling]:
    """The rows of feedback weights, on the reconstruction loss summed over units.

    SGD and Adam have the same, and so do all optimizers that feedback may learn with (`FEEDBACK_OPTIMIZERS`).

    **Arguments:** `scaled`: False has the one rate of the standard parameterization.
    """
    rates = {role: feedback_rate(role, UPDATE_RULES["sgd"]) for role in (Role.FEEDBACK, Role.FEEDBACK_OUTPUT)}
    return {role: Scaling(init=FAN_IN, rate=rate if scaled else ONE, ridge=RIDGE) for role, rate in rates.items()}


# What feedback may learn with, whatever the network does: a table has one row for it.
FEEDBACK_OPTIMIZERS = tuple(
    name
    for name, rule in UPDATE_RULES.items()
    if all(feedback_rate(role, rule) == row.rate for role, row in feedback_rows().items())
)
