"""The richness scale: one degree of freedom r between lazy (NTP, r = 0) and rich (muP, r = 1/2).

In the gauge without multipliers (STP), W = M^-a w, std M^-b, rate M^-c, epsilon M^-g:

|             | b       | c, SGD      | c, Adam | c, Muon | g           |
|-------------|---------|-------------|---------|---------|-------------|
| input       | 0       | −2r + k     | 1/2 − r | −r      | 1/2 + r − k |
| hidden      | 1/2     | 1 − 2r + k  | 3/2 − r | 1/2 − r | 1/2 + r − k |
| output      | 1/2 + r | 1 + k       | 1       | 1/2     | −k          |
| hidden bias | 0       | −2r + k     | 1/2 − r | 1/2 − r | 1/2 + r − k |
| norm        | 0       | −2r + k     | 1/2 − r | 1/2 − r | 1/2 + r − k |
| output bias | 0       | k           | 0       | 0       | −k          |

c is `UpdateRule.rate_exponent` for any optimizer: below the readout gradients grow by k + 1/2 − r beside muP's under
backprop and the movement asked for is r − 1/2; the readout's weights grow by 1/2 − r, its gradient by k.

M is the layer's own number of inputs that grow (of an input layer and of vectors: their length); where layers are not
alike, hidden layers have another factor (`UpdateRule.fan_ratio`; docs/theory.md F). k is the exponent by which
predictive coding's energy gradients exceed backprop's (`gradient_growth`). Movement of the representations is
M^(r − 1/2), of the output M^0. Sources: arXiv 2404.19719 (the scale), arXiv 2411.02001, Theorem 4.2 (k).
"""

import dataclasses
from fractions import Fraction

from ._power import ONE, Power, width_power
from ._role import Role
from ._scaling import Scaling
from ._update_rule import UpdateRule

HALF = Fraction(1, 2)
FAN_IN = Power(fan_in=-HALF)


def gradient_growth(algorithm: str, gamma_bar: Fraction, r: Fraction) -> Fraction:
    """The exponent k of the energy gradient relative to backprop's.

        λ = γ_L (I + C)^-1 (y − f) ~ M^k,   k = min(−γ̄, 2r) for PC,   k = 0 for BP

    C ~ M^(−γ̄ − 2r) saturates the growth where the Gauss-Newton end is passed. Source: arXiv 2411.02001,
    Theorem 4.2.
    """
    return min(-gamma_bar, 2 * r) if algorithm == "pc" else Fraction(0)


def output_growth(k: Fraction, gamma_bar: Fraction, output_loss: str) -> Fraction:
    """The exponent of the output layer's own gradient: k, or k + γ̄ where its loss is not weighted by γ_L."""
    return k if output_loss == "weighted" else k + gamma_bar


def richness_rows(
    r: Fraction, *, rule: UpdateRule, k: Fraction, k_output: Fraction, gamma_bar: Fraction
) -> dict[Role, Scaling]:
    """The rows of a richness r, in the gauge without multipliers.

    **Arguments:** `r` in [0, 1/2]; `rule`: the optimizer; `k`, `k_output`: growth of the hidden and the output
    layers' gradients; `gamma_bar`: exponent of the output precision.

    **Returns:** a Scaling for every role. Branches have no powers of depth here: a parameterization of
    width alone.
    """

    def below(role: Role) -> Power:
        return width_power(-rule.rate_exponent(role, gradient=k + HALF - r, movement=r - HALF))

    g, g_output = HALF + r - k, -k_output
    hidden = Scaling(init=FAN_IN, rate=below(Role.HIDDEN) * rule.fan_ratio(Role.HIDDEN), epsilon=width_power(-g))
    bias = Scaling(rate=below(Role.HIDDEN_BIAS), epsilon=width_power(-g))
    output_rate = width_power(-rule.rate_exponent(Role.OUTPUT, gradient=k_output, weight=HALF - r))
    return {
        Role.INPUT: Scaling(init=FAN_IN, rate=below(Role.INPUT), epsilon=width_power(-g)),
        Role.HIDDEN: hidden,
        Role.BRANCH: hidden,
        Role.OUTPUT: Scaling(
            init=FAN_IN * width_power(-r),
            rate=output_rate,
            precision=width_power(-gamma_bar),
            epsilon=width_power(-g_output),
        ),
        Role.HIDDEN_BIAS: bias,
        Role.BRANCH_BIAS: bias,
        Role.NORM: bias,
        Role.BRANCH_NORM: bias,
        Role.OUTPUT_BIAS: Scaling(
            rate=width_power(-rule.rate_exponent(Role.OUTPUT_BIAS, gradient=k_output)), epsilon=width_power(-g_output)
        ),
    }


def with_prefactor(rows: dict[Role, Scaling], rule: UpdateRule) -> dict[Role, Scaling]:
    """Rows whose features move γ_0 times as much while the output moves as before.

        f / γ_0,   η γ_0^(1 + q) below the readout,   η γ_0^p in the readout

    in the gauge where the readout's own init takes 1/γ_0: layers below it learn γ_0^(1 + q) times as fast, from
    gradients 1/γ_0 as large. Source: docs/theory.md, table (rescaling: γ = γ_0 M^r); arXiv 2404.19719.
    """
    below = {
        role: dataclasses.replace(
            row,
            rate=row.rate * Power(prefactor=1 + rule.of(role).facts[0]),
            epsilon=row.epsilon * Power(prefactor=Fraction(-1)),
        )
        for role, row in rows.items()
        if not role.is_output
    }
    readout = rows[Role.OUTPUT]
    smaller = dataclasses.replace(
        readout,
        init=readout.init * Power(prefactor=Fraction(-1)),
        rate=readout.rate * Power(prefactor=rule.facts[1]),
    )
    return rows | below | {Role.OUTPUT: smaller}


def standard_rows(gamma_bar: Fraction) -> dict[Role, Scaling]:
    """Standard parameterization (SP): std 1/sqrt(fan_in), one rate for all; unstable, for contrast.

    a = 0, b = (0, 1/2, 1/2), c = 0.
    """
    weight = Scaling(init=FAN_IN)
    weights = {Role.INPUT: weight, Role.HIDDEN: weight, Role.BRANCH: weight}
    vectors = {role: Scaling() for role in Role if role.is_bias or role.is_norm}
    readout = Scaling(init=FAN_IN, precision=width_power(-gamma_bar) if gamma_bar else ONE)
    return weights | vectors | {Role.OUTPUT: readout}
