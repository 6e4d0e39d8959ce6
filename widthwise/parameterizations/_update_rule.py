"""Optimizers as rows of facts: three numbers decide how an optimizer's rates scale.

An optimizer turns a gradient g and a weight w into an update u(g, w). Its facts are

    q   degree in the gradient:  u(t g, w) = t^q u(g, w)
    p   degree in the weight:    u(g, t w) = t^p u(g, w)
    s   aligned norm: the exponent of M in the spectral norm of u for a gradient of finite rank, under muP and backprop

Every role's update should have the spectral norm sqrt(fan_out / fan_in), finite fans counted as 1, so that

    c(role) = s(role) − desired(role) + q k + p w − μ,   desired = 1/2, 0, −1/2 for input, hidden, output

with k the growth of the gradients and w that of the weights beside muP's under backprop, and μ = r − 1/2 the movement
that is asked of the layers below the readout. Gauge moves: c -> c − (1 + q − p) t.

|           | q | p | s of input, hidden, output | c under muP and backprop |
|-----------|---|---|----------------------------|--------------------------|
| SGD       | 1 | 0 | −1/2, 0, 1/2               | −1, 0, 1                 |
| Adam      | 0 | 0 | 1/2, 1, 1/2                | 0, 1, 1                  |
| spectral  | 0 | 0 | 0, 0, 0                    | −1/2, 0, 1/2             |
| trust     | 0 | 1 | 1/2, 1/2, −1/2             | 0, 1/2, 0                |

Sources: arXiv 2310.17813 (the spectral condition); docs/theory.md A; 2411.02001, Theorem 4.2 (k).
"""

import dataclasses
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from .._errors import InputError, unknown
from ._power import ONE, Power, Rational, fraction
from ._role import Role

ZERO, HALF = Fraction(0), Fraction(1, 2)
# Of input, hidden and output; a weight between two finite sizes is of order one.
DESIRED = (HALF, ZERO, -HALF)


@dataclasses.dataclass(frozen=True)
class UpdateRule:
    """An optimizer, as what decides how its rates scale: `optimizer=` takes one wherever it takes a name.

        c(role) = s(role) − desired(role) + q k + p w − μ,   gauge move t:  c -> c − (1 + q − p) t

    **Arguments:** `name`; `gradient_degree`: q; `weight_degree`: p; `aligned_norm`: s of the input, hidden and output
    weights under muP and backprop; `transform`: a function that returns the optax transformation, the direction alone,
    without a learning rate (needed where something is trained); `settings`: the names of the keywords that `transform`
    takes, of `"momentum"` and `"epsilon"`; `vectors`: the rule that biases and gains follow, where it treats them
    otherwise than as matrices with one column.

    **Raises:** `InputError` for degrees and norms that are no fractions, and a norm that has not three entries.

    >>> sign = UpdateRule("sign", 0, 0, ("1/2", 1, "1/2"))
    >>> [str(sign.rate_exponent(role)) for role in (Role.INPUT, Role.HIDDEN, Role.OUTPUT)]
    ['0', '1', '1']

    Source: arXiv 2310.17813; docs/theory.md A.
    """

    name: str
    gradient_degree: Rational
    weight_degree: Rational
    aligned_norm: tuple[Rational, ...]
    # Two rows of the same facts are one row: a table read from a file knows no function.
    transform: Callable[..., Any] | None = dataclasses.field(default=None, compare=False, repr=False)
    settings: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    vectors: "UpdateRule | None" = None

    def __post_init__(self) -> None:
        norms = self.aligned_norm
        if isinstance(norms, str) or not hasattr(norms, "__len__") or len(norms) != 3:
            raise InputError(
                f"aligned_norm of the update rule {self.name!r} is {norms!r}",
                setting="aligned_norm",
                value=norms,
                remedy="give three exponents, of the input, hidden and output weights, like ('1/2', 1, '1/2')",
            )
        if not isinstance(self.name, str) or not self.name:
            remedy = "give it a word of your own"
            raise InputError(f"the update rule's name is {self.name!r}", setting="name", value=self.name, remedy=remedy)
        for field in ("gradient_degree", "weight_degree"):
            object.__setattr__(self, field, fraction(getattr(self, field)))
        object.__setattr__(self, "aligned_norm", tuple(fraction(norm) for norm in norms))

    @property
    def facts(self) -> tuple[Fraction, ...]:
        """q, p and s: rules of equal facts have equal tables."""
        return (fraction(self.gradient_degree), fraction(self.weight_degree), *map(fraction, self.aligned_norm))

    @property
    def is_linear(self) -> bool:
        """Whether the update is proportional to the gradient and asks nothing of the weight."""
        return self.facts[:2] == (1, 0)

    def of(self, role: Role) -> "UpdateRule":
        """The rule that a role's tensors follow."""
        return self.vectors if self.vectors is not None and (role.is_bias or role.is_norm) else self

    def rate_exponent(
        self, role: Role, *, gradient: Fraction = ZERO, weight: Fraction = ZERO, movement: Fraction = ZERO
    ) -> Fraction:
        """c, the exponent of a role's rate M^-c in the gauge without multipliers.

        **Arguments:** `role`; `gradient`, `weight`: k and w, the growth of gradients and weights beside muP's under
        backprop; `movement`: μ.
        """
        rule = self.of(role)
        norm, desired = rule.norm(role)
        q, p = rule.facts[:2]
        return norm - desired + q * gradient + p * weight - movement

    def norm(self, role: Role) -> tuple[Fraction, Fraction]:
        """The aligned norm of a role's update under muP and backprop, and the norm that is desired."""
        if role is Role.OUTPUT_BIAS:
            return ZERO, ZERO
        place = 2 if role is Role.OUTPUT else 1 if role.grows_with_fan_in else 0
        return fraction(self.aligned_norm[place]), DESIRED[place]

    def gauge_degree(self, role: Role) -> Fraction:
        """1 + q − p: a gauge move t changes c by −(1 + q − p) t."""
        q, p = self.of(role).facts[:2]
        return 1 + q - p

    def fan_ratio(self, role: Role, *, targets: bool = False) -> Power:
        """What a hidden layer's rate has beside its power of M, where layers differ in width.

            (fan_out / fan_in)^(1/2 − s(input) − q t),   t = 1 where gradients come from targets of order one, else 0

        s(input) is the power of fan-out alone in the update's norm. It keeps ΔW x in proportion to the layer's own
        states, and is 1 where all layers are as wide, branches and what they are added to among them.
        """
        if role is not Role.HIDDEN:
            return ONE
        power = HALF - fraction(self.aligned_norm[0]) - (fraction(self.gradient_degree) if targets else ZERO)
        return Power(fan_out=power, fan_in=-power)


ADAM_NORM = (HALF, Fraction(1), HALF)
ADAM = UpdateRule("adam", 0, 0, ADAM_NORM, settings=("epsilon",))
# The built-in rows; `training/_optimizer.py` has their transformations, by name.
UPDATE_RULES = {
    rule.name: rule
    for rule in (
        UpdateRule("sgd", 1, 0, (-HALF, ZERO, HALF), settings=("momentum",)),
        ADAM,
        UpdateRule("lion", 0, 0, ADAM_NORM),
        UpdateRule("rmsprop", 0, 0, ADAM_NORM, settings=("epsilon",)),
        UpdateRule("muon", 0, 0, (ZERO, ZERO, ZERO), settings=("epsilon",), vectors=ADAM),
    )
}
OPTIMIZERS = tuple(UPDATE_RULES)


def update_rule(optimizer: str | UpdateRule) -> UpdateRule:
    """The row of an optimizer, by its name or as it is.

    **Raises:** `InputError` for a name without a row, and a rule of one's own under the name of another.

    >>> update_rule("muon").vectors.name
    'adam'
    """
    if isinstance(optimizer, UpdateRule):
        known = UPDATE_RULES.get(optimizer.name)
        if known is None:
            return optimizer
        if known != optimizer or optimizer.transform is not None:
            raise InputError(
                f"the update rule {optimizer.name!r} is not the built-in optimizer of that name",
                setting="optimizer",
                value=optimizer.name,
                remedy="give it another name",
            )
        return known
    if optimizer not in UPDATE_RULES:
        named = unknown("optimizer", optimizer, UPDATE_RULES)
        how = (
            "or give the row of your own: ww.UpdateRule(name, gradient_degree, weight_degree, aligned_norm, transform)"
        )
        raise InputError(
            f"unknown optimizer {str(optimizer)!r}",
            setting="optimizer",
            value=optimizer,
            remedy=f"{named.remedy}; {how}",
        )
    return UPDATE_RULES[optimizer]


def rule_to_json(rule: UpdateRule) -> dict[str, Any]:
    """The facts of an optimizer's row, as strings; its function cannot be written down."""
    vectors = {} if rule.vectors is None else {"vectors": rule_to_json(rule.vectors)}
    return vectors | {
        "name": rule.name,
        "gradient_degree": str(rule.gradient_degree),
        "weight_degree": str(rule.weight_degree),
        "aligned_norm": [str(norm) for norm in rule.aligned_norm],
    }


def rule_from_json(facts: Mapping[str, Any]) -> UpdateRule:
    vectors = facts.get("vectors")
    return update_rule(
        UpdateRule(
            str(facts["name"]),
            facts["gradient_degree"],
            facts["weight_degree"],
            tuple(facts["aligned_norm"]),
            vectors=None if vectors is None else rule_from_json(vectors),
        )
    )
