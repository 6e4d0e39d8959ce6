"""Depth-muP, which predictive coding calls muPC: unit Gaussians, and powers of depth in the branches.

    h_1 = W_1 x / sqrt(D),   h_l = h_{l-1} + W_l φ(h_{l-1}) / sqrt(N L),   f = W_L φ(h_{L-1}) / N

with L the number of weight layers, residual blocks h_{l-1} + (…) for l = 2 … L − 1, and 1/sqrt(N) where a
hidden layer has no skip. The multipliers are absolute, as in the papers; rates are relative to the base:

|             | multiplier   | rate, SGD  | rate, Adam    | epsilon         |
|-------------|--------------|------------|---------------|-----------------|
| input       | D^-1/2       | N κ        | 1             | N^-1 / κ        |
| hidden      | N^-1/2       | N κ        | N^-1/2        | N^-3/2 / κ      |
| branch      | (N L)^-1/2   | N κ        | (N L)^-1/2    | N^-3/2 L^-1/2/κ |
| output      | N^-1         | N κ        | 1             | N^-1 / κ        |
| hidden bias | 1            | N κ        | 1             | N^-1 / κ        |
| branch bias | L^-1/2       | N κ        | L^-1/2        | N^-1 L^-1/2 / κ |
| norm        | 1            | N κ        | 1             | N^-1 / κ        |
| branch norm | 1            | N κ        | L^-1/2        | N^-1 L^-1/2 / κ |
| output bias | 1            | κ          | 1             | 1 / κ           |

κ = (N / L)^-k undoes the growth of predictive coding's gradients at γ_L = γ' (N/N_0)^-γ̄ (L/L_0)^γ̄.

Two published rules for Adam have the same multipliers and precision, one rate for every role, biases included, and
leave epsilon as it is. They stand here for comparison; in a residual
network its layers move as

|               | rate       | Δh_1         | Δh_{L-1}   | Δf         |
|---------------|------------|--------------|------------|------------|
| mupc_constant | 1          | 1            | (N L)^1/2  | (N L)^1/2  |
| mupc_uniform  | (N L)^-1/2 | (N L)^-1/2   | 1          | 1          |

Sources: arXiv 2505.13124 (forward, constant rate), docs/theory.md D2 (role-wise Adam rates, precision, and how far
the two published rates drift).
"""

from fractions import Fraction

from ._power import ONE, Power, width_power
from ._richness import FAN_IN, HALF
from ._role import Role
from ._scaling import Scaling, growth
from ._update_rule import UpdateRule

# A power of depth that is absolute: relative to the base, times the same power of the base.
DEPTH = Power(depth=-HALF, base_depth=-HALF)
# The published rates of Adam, one for all roles.
PUBLISHED = {"mupc_constant": ONE, "mupc_uniform": width_power(-HALF, -HALF)}


def depth_rows(
    name: str, *, rule: UpdateRule, k: Fraction, k_output: Fraction, gamma_bar: Fraction
) -> dict[Role, Scaling]:
    """The rows of Depth-muP (muPC) in its own gauge, unit Gaussians.

        rate = N^-c m^-(1 + q − p) κ^q,   times L^-1 m_L^-(1 + q) in a branch

    with c the rate exponent in the gauge without multipliers, m the multiplier's power of N and m_L its power of L:
    the gauge move, and in a branch the movement 1/L of which L blocks make order one.

    **Arguments:** `name`: one of `PUBLISHED` has that one rate; the others as in `richness_rows`, of which this is
    r = 1/2 with powers of depth in the branches.
    """
    multipliers = {
        Role.INPUT: FAN_IN,
        Role.HIDDEN: FAN_IN,
        Role.BRANCH: FAN_IN * DEPTH,
        Role.OUTPUT: FAN_IN**2,
        Role.BRANCH_BIAS: DEPTH,
    }
    rows = {}
    for role in (role for role in Role if not role.is_feedback):
        multiplier = multipliers.get(role, ONE)
        # A branch's normalization acts before the branch's multiplier, which its gradient meets all the same.
        shrink = growth(DEPTH if role is Role.BRANCH_NORM else multiplier, role)
        k_role = k_output if role.is_output else k
        kappa = width_power(-k_role, k_role)
        q = rule.of(role).facts[0]
        rate = width_power(-rule.rate_exponent(role)) * rule.fan_ratio(role) * kappa**q
        rate *= Power(width=shrink.width) ** -rule.gauge_degree(role)
        if role.is_branch:
            rate *= width_power(0, -1) * Power(depth=shrink.depth) ** -(1 + q)
        # Gradient entries: those of dL/dh, N^-1 below the readout, times how the multiplier shrinks them.
        entries = ONE if role.is_output else width_power(-1)
        rows[role] = Scaling(
            multiplier=multiplier,
            rate=PUBLISHED.get(name, rate),
            precision=width_power(-gamma_bar, gamma_bar) if role is Role.OUTPUT else ONE,
            epsilon=entries * shrink / kappa,
        )
    return rows
