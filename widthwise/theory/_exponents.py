"""How fast every layer moves as the width M grows, counted from a table's exponents alone.

An effective matrix W = M^-a w has entries M^-A, A = a + b. One step changes it by M^-C u(∂/∂W, W), with
C = c + (1 + q − p) a, u the optimizer's update, q and p its degrees in gradient and weight and s its aligned norm
(`UpdateRule`). Gauge moves leave A and C alone. All else is counting; each symbol is an exponent of M:

    gain        g = 1/2 − A_hidden, an incoherent sum over M units; max(0, g) with a skip
    activities  h_1 = −A_input,   h_l = h_{l-1} + g,   f = h_{L-1} + 1/2 − A_output,   y − f: max(0, f)
    Jacobians   p_{L-1} = −A_output,   p_{l-1} = p_l + g, the entries of ∂f/∂h_l
    growth      k = 0 for BP; for PC that of λ = γ_L (I + K)^-1 (y − f) beside y − f, K the curvature matrix:
                k = γ_L − max(0, K),   K = max_{l<L} (γ_L − γ_l + 1 + 2 p_l), γ the precisions
    gradients   ∂/∂h_l = p_l + max(0, f) + k,   ∂/∂f = max(0, f) + k (− γ_L for an unweighted output loss)
    own update  −C + s + q (∂/∂W − its exponent under muP) − p (A − its exponent under muP) + h_{l-1} + n/2 − m/2, the
                aligned norm times |x| over the square root of the fan-out: n, m = 1 where fan-in, fan-out grow with M;
                −C + ∂/∂h_l + 2 h_{l-1} + n (SGD),   −C + h_{l-1} + n (Adam); of a bias h_{l-1} = n = 0
    passed on   Δh_{l-1} + g to a hidden layer;   Δh_{L-1} + 1 − A_output to the readout, a coherent sum:
                Δh follows a gradient that W_output itself sent down (alignment exponent 1)
    movement    the largest of these
    errors      e_l = ∂/∂h_l over γ_l for PC, the target's shift for TP and DTP

Target propagation whose feedback reconstructs the batch (ridge, or trained) sends down combinations of the batch's own
states, which the readout meets as it would random ones, and the gradient of a layer is its target's shift:

    targets     e_{L-1} = h_{L-1} + max(0, f) − |f|,   e_{l-1} = e_l + h_{l-1} − |h_l|: the inverse of states that grow;
                for states that vanish the ridge, of order one a unit and an example, is what is left
    passed on   Δh_{L-1} + 1/2 − A_output to the readout (alignment exponent 1/2)

Under tied feedback, W_l^T, targets are backprop's gradients and alignment is 1 again: the slopes are BP's.

For richness r: Δh = r − 1/2 and Δf = 0; e_l = k − 1/2 − r (PC), 0 (TP and DTP).

Over the depth L of residual networks, whose states keep their size where A_branch >= 1/2 (exponents of L here): a block
moves the state by −C_branch, L blocks together by 1 − C_branch, and all else by −C; C as above, k that of γ_L.

**Assumptions:** the first steps, to first order in the rate;
activations in their linear range (tables that blow up saturate tanh and measure less than predicted); a
random readout, not zero; Adam's ε below the gradient's entries; PC at its equilibrium, activities of the
forward pass's order. Sources: arXiv 2404.19719, 2411.02001 (Theorem 4.2); docs/theory.md A2, B2, C1.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from .._errors import unknown
from .._numbers import whole_number
from ..parameterizations import TARGET, Parameterization, Role, UpdateRule, width_exponent

ZERO, HALF = Fraction(0), Fraction(1, 2)
FEEDBACKS = ("batch", "tied")
BIASES = {
    Role.INPUT: Role.HIDDEN_BIAS,
    Role.HIDDEN: Role.HIDDEN_BIAS,
    Role.BRANCH: Role.BRANCH_BIAS,
    Role.OUTPUT: Role.OUTPUT_BIAS,
}


def predicted_slopes(
    table: Parameterization,
    *,
    depth: int = 4,
    bias: bool = False,
    residual: bool = False,
    fixed_prediction: bool = False,
    feedback: str | None = None,
) -> dict[str, Fraction]:
    """d log RMS(change) / d log M of the representations, for any table, right or wrong, in any gauge.

    **Arguments:** `table`; `depth`: L, which matters only where activities grow or vanish from layer to
    layer, A_hidden not 1/2; `bias`: biases are trained too; `residual`: hidden layers are residual stages;
    `fixed_prediction`: PC under FPA, whose growth k does not saturate; `feedback`: of target propagation, whatever
    algorithm the table was made for: `"batch"` (the default of TP and DTP tables) or `"tied"`.

    **Returns:** `"first"`: of h_1; `"hidden"`: of h_{L-1}, and of all of h_2 … h_{L-1} where activities keep
    their scale (absent at depth 2); `"output"`: of f. Zero is a change that does not depend on the width.

    **Raises:** `InputError` for a depth below 2 and an unknown feedback.

    >>> from widthwise.parameterization import parameterization
    >>> {name: str(slope) for name, slope in predicted_slopes(parameterization("sp")).items()}
    {'first': '-1/2', 'hidden': '1/2', 'output': '1'}
    """
    flow = _flow(table, depth, residual, fixed_prediction, feedback)
    move = _own_movement(table, Role.INPUT, flow.gradients[0], ZERO, bias)
    slopes = {"first": move}
    for below, gradient in zip(flow.activities[:-1], flow.gradients[1:], strict=True):
        own = _own_movement(table, flow.inner, gradient, below, bias)
        slopes["hidden"] = move = max(own, move + flow.gain)
    own = _own_movement(table, Role.OUTPUT, flow.output_gradient, flow.activities[-1], bias)
    return slopes | {"output": max(own, move + flow.alignment + flow.top)}


def predicted_errors(
    table: Parameterization,
    *,
    depth: int = 4,
    residual: bool = False,
    fixed_prediction: bool = False,
    feedback: str | None = None,
) -> tuple[Fraction, ...]:
    """d log RMS(e_l) / d log M of the hidden layers' errors, from the first to the last: of PC, TP and DTP.

    **Arguments:** as in `predicted_slopes`. **Raises:** `InputError`, as there.

    >>> from widthwise.parameterization import parameterization
    >>> [str(slope) for slope in predicted_errors(parameterization("mup", algorithm="pc"))]
    ['-1', '-1', '-1']
    """
    flow = _flow(table, depth, residual, fixed_prediction, feedback)
    if feedback is not None or table.algorithm in TARGET:
        return tuple(flow.gradients)
    inner = width_exponent(table.scalings[flow.inner].precision, flow.inner)
    first = width_exponent(table.scalings[Role.INPUT].precision, Role.INPUT)
    return tuple(g - (inner if index else first) for index, g in enumerate(flow.gradients))


def predicted_own_movements(
    table: Parameterization,
    *,
    depth: int = 4,
    residual: bool = False,
    fixed_prediction: bool = False,
    feedback: str | None = None,
) -> dict[Role, Fraction]:
    """How far each role's tensors alone move what their layer gives, at the inputs of the first forward pass.

        the own update of the module's docstring; of vectors −C + ∂/∂h_l (SGD),   −C (Adam)

    **Arguments:** as in `predicted_slopes`. **Returns:** an exponent of M for every role but feedback's; where
    activities grow or vanish from layer to layer that of the last hidden layer; of gains and offsets in the readout it
    is 1/2 − r higher. **Raises:** `InputError`, as there.

    >>> from widthwise.parameterization import parameterization
    >>> own = predicted_own_movements(parameterization("sp"))
    >>> [str(own[role]) for role in (Role.INPUT, Role.HIDDEN, Role.OUTPUT)]
    ['-1/2', '1/2', '1']
    """
    flow = _flow(table, depth, residual, fixed_prediction, feedback)
    below = flow.activities[-2] if len(flow.activities) > 1 else ZERO
    weights = {
        Role.INPUT: own_movement(table, Role.INPUT, flow.gradients[0], ZERO),
        flow.inner: own_movement(table, flow.inner, flow.gradients[-1], below),
        Role.OUTPUT: own_movement(table, Role.OUTPUT, flow.output_gradient, flow.activities[-1]),
    }
    vectors = dict.fromkeys((role for role in Role if role.is_bias or role.is_norm), flow.gradients[-1])
    vectors[Role.OUTPUT_BIAS] = flow.output_gradient
    return weights | {role: own_movement(table, role, gradient, ZERO) for role, gradient in vectors.items()}


def predicted_vectors(table: Parameterization, **settings: Any) -> dict[Role, Fraction]:
    """How far biases, gains and offsets alone move what their layer gives: of `predicted_own_movements` the vectors.

    >>> from widthwise.parameterization import parameterization
    >>> str(predicted_vectors(parameterization("ntp"))[Role.HIDDEN_BIAS])
    '-1/2'
    """
    own = predicted_own_movements(table, **settings)
    return {role: exponent for role, exponent in own.items() if role.is_bias or role.is_norm}


def predicted_depth_slopes(table: Parameterization, *, bias: bool = False) -> dict[str, Fraction]:
    """d log RMS(change) / d log L of a residual network's states at one width, where A_branch >= 1/2.

    **Arguments:** `table`; `bias`: biases are trained too.

    **Returns:** `"first"`: of h_1; `"hidden"`: of h_{L-1}; `"output"`: of f.

    >>> from widthwise.parameterization import parameterization
    >>> [str(slope) for slope in predicted_depth_slopes(parameterization("mup", optimizer="sgd")).values()]
    ['0', '1', '1']
    """

    def step(role: Role) -> Fraction:
        letters, (q, p, *_) = table.scalings[role].letters(role), table.rule.of(role).facts
        entries = -letters["a_depth"] - letters["b_depth"]
        change = letters["c_depth"] + table.rule.gauge_degree(role) * letters["a_depth"]
        return q * gradient(role) + p * entries - change

    def gradient(role: Role) -> Fraction:
        weighted = table.algorithm == "pc" and not (role.is_output and table.output_loss == "unweighted")
        return table.scalings[Role.OUTPUT].precision.depth if weighted else ZERO

    def together(role: Role) -> Fraction:
        return max(step(role), step(BIASES[role])) if bias else step(role)

    first = together(Role.INPUT)
    hidden = max(first, 1 + together(Role.BRANCH))
    top = table.scalings[Role.OUTPUT].letters(Role.OUTPUT)
    output = max(together(Role.OUTPUT), hidden - top["a_depth"] - top["b_depth"])
    return {"first": first, "hidden": hidden, "output": output}


class _Flow(NamedTuple):
    """The exponents that all of the above are counted from; letters as in the module's docstring."""

    inner: Role
    gain: Fraction
    top: Fraction
    activities: list[Fraction]
    gradients: list[Fraction]
    output_gradient: Fraction
    alignment: Fraction


def _flow(table: Parameterization, depth: int, residual: bool, fixed_prediction: bool, feedback: str | None) -> _Flow:
    """The forward pass and what comes back."""
    _check(depth, feedback)
    if feedback is None and table.algorithm in TARGET:
        feedback = "batch"
    inner = Role.BRANCH if residual else Role.HIDDEN
    bottom, middle, top = (_entries(table, role) for role in (Role.INPUT, inner, Role.OUTPUT))
    gain = max(ZERO, HALF + middle) if residual else HALF + middle
    activities = [bottom + gain * l for l in range(depth - 1)]
    jacobians = [top + gain * l for l in reversed(range(depth - 1))]
    output = activities[-1] + HALF + top
    misfit = max(ZERO, output)
    if feedback is None:
        k, k_output = _growth(table, inner, jacobians, fixed_prediction)
    else:
        k = k_output = ZERO
    gradients = [jacobian + misfit + k for jacobian in jacobians]
    if feedback == "batch":
        gradients = _target_shifts(activities, output)
    alignment = HALF if feedback == "batch" else Fraction(1)
    return _Flow(inner, gain, top, activities, gradients, misfit + k_output, alignment)


def _check(depth: int, feedback: str | None) -> None:
    whole_number("depth", depth, 2)
    if feedback not in (None, *FEEDBACKS):
        raise unknown("feedback", str(feedback), FEEDBACKS)


def _target_shifts(activities: Sequence[Fraction], output: Fraction) -> list[Fraction]:
    """e_l of the hidden layers, from the first to the last."""
    shifts = [activities[-1] + max(ZERO, output) - abs(output)]
    for low, high in zip(reversed(activities[:-1]), reversed(activities[1:]), strict=True):
        shifts.append(shifts[-1] + low - abs(high))
    return shifts[::-1]


def _entries(table: Parameterization, role: Role) -> Fraction:
    """−A: the exponent of the entries of a role's effective matrix."""
    letters = table.scalings[role].letters(role)
    return -letters["a"] - letters["b"]


def _growth(
    table: Parameterization, inner: Role, jacobians: Sequence[Fraction], fixed_prediction: bool
) -> tuple[Fraction, Fraction]:
    """k of the hidden layers' gradients relative to backprop's, and of the readout's own."""
    if table.algorithm != "pc":
        return ZERO, ZERO
    first, hidden, top = (
        width_exponent(table.scalings[role].precision, role) for role in (Role.INPUT, inner, Role.OUTPUT)
    )
    precisions = [first, *[hidden] * (len(jacobians) - 1)]
    curvature = max(top - low + 1 + 2 * p for low, p in zip(precisions, jacobians, strict=True))
    growth = top if fixed_prediction else top - max(ZERO, curvature)
    return growth, growth if table.output_loss == "weighted" else growth - top


def _own_movement(table: Parameterization, role: Role, gradient: Fraction, below: Fraction, bias: bool) -> Fraction:
    """How far a layer's own update moves its output, given ∂/∂h_l and h_{l-1}."""
    weight = own_movement(table, role, gradient, below)
    return max(weight, own_movement(table, BIASES[role], gradient, ZERO)) if bias else weight


def own_movement(
    table: Parameterization, role: Role, gradient: Fraction, below: Fraction, rule: UpdateRule | None = None
) -> Fraction:
    """How far one step of a role's tensors alone moves what their layer gives, as an exponent of M.

        −C + s + q (∂/∂h_l + h_{l-1} − g_0) + p (−A − w_0) + h_{l-1} + n/2 − m/2

    with g_0 and w_0 the exponents of gradients and weights under muP and backprop, at which s is given.

    **Arguments:** `table`; `role`; `gradient`: ∂/∂h_l; `below`: h_{l-1}, 0 for vectors; `rule`: the optimizer, if not
    the table's own (feedback may have another).
    """
    whole = table.rule if rule is None else rule
    own, letters = whole.of(role), table.scalings[role].letters(role)
    norm, _ = own.norm(role)
    q, p = own.facts[:2]
    fan_in, fan_out = int(role.grows_with_fan_in), 0 if role.is_output else 1
    change = letters["c"] + whole.gauge_degree(role) * letters["a"]
    canonical = Fraction(0 if role.is_output else -1)
    weight = _entries(table, role) + Fraction(fan_in, 2) * (2 if role is Role.OUTPUT else 1)
    return (
        -change
        + norm
        + q * (gradient + below - canonical)
        + p * (ZERO if role.is_bias else weight)
        + below
        + Fraction(fan_in - fan_out, 2)
    )
