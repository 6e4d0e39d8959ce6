"""Target propagation: muP of the forward weights, of feedback weights, and of the ridge.

In the gauge without multipliers, W = M^-a w, std M^-b, rate M^-c, epsilon M^-g, for SGD and for Adam:

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

from fractions import Fraction

from ._power import ONE, Power, width_power
from ._richness import FAN_IN
from ._role import Role
from ._scaling import Scaling

RIDGE = Power(fan_in=Fraction(1))


def target_rows() -> dict[Role, Scaling]:
    """The rows of the forward weights, the same for SGD and Adam."""
    hidden = Scaling(init=FAN_IN, rate=width_power(-1))
    weights = {Role.INPUT: Scaling(init=FAN_IN), Role.HIDDEN: hidden, Role.BRANCH: hidden, Role.OUTPUT: hidden}
    return weights | {role: Scaling() for role in Role if role.is_bias or role.is_norm}


def feedback_rows(*, scaled: bool = True) -> dict[Role, Scaling]:
    """The rows of feedback weights, for SGD and Adam on the reconstruction loss summed over units.

    **Arguments:** `scaled`: False has the one rate of the standard parameterization.
    """
    return {
        Role.FEEDBACK: Scaling(init=FAN_IN, rate=width_power(-1) if scaled else ONE, ridge=RIDGE),
        Role.FEEDBACK_OUTPUT: Scaling(init=FAN_IN, ridge=RIDGE),
    }
