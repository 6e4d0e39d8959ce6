"""One row of a parameterization: how the tensors of one role scale."""

import dataclasses
from fractions import Fraction

from ._power import ONE, Power
from ._role import Role

Letters = dict[str, Fraction]


@dataclasses.dataclass(frozen=True)
class Scaling:
    """How the tensors of one role scale with the network.

        W = multiplier · w,   w ~ init · N(0, 1),   Δw = −η · rate · (direction with ε · epsilon, λ · decay)

    **Arguments:** each an exact `Power`: `multiplier` of the layer's product; `init`, the standard deviation
    (before a gain); `rate`, of the base learning rate η; `precision` γ_l of the layer's energy; `epsilon`,
    of Adam's ε; `decay`, of the weight decay λ; `ridge`, of the ridge of a feedback solved on the batch.
    """

    multiplier: Power = ONE
    init: Power = ONE
    rate: Power = ONE
    precision: Power = ONE
    epsilon: Power = ONE
    decay: Power = ONE
    ridge: Power = ONE

    def letters(self, role: Role) -> Letters:
        """The exponents of the field's convention, W = M^-a w, std M^-b, rate M^-c, epsilon M^-g, decay M^-d.

        **Returns:** a, b, c, g, d and the same for depth with suffix `_depth`. Powers of fan-in count
        as powers of width where fan-in grows with it.
        """
        powers = {"a": self.multiplier, "b": self.init, "c": self.rate, "g": self.epsilon, "d": self.decay}
        widths = {letter: -width_exponent(power, role) for letter, power in powers.items()}
        return widths | {f"{letter}_depth": -power.depth for letter, power in powers.items()}


def width_exponent(power: Power, role: Role) -> Fraction:
    """The total exponent of width in a power, for a role: a fan counts where it grows with the width."""
    fan_in = power.fan_in if role.grows_with_fan_in else 0
    return power.width + fan_in + (0 if role.is_output else power.fan_out)


def growth(power: Power, role: Role) -> Power:
    """A power without its constants: only how it grows, relative to the base and to a prefactor of 1."""
    return Power(width=width_exponent(power, role), depth=power.depth, prefactor=power.prefactor)
