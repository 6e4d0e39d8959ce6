"""Roles: which dimensions of a parameter grow with the network, and where it sits.

The exponents of a parameterization depend on a tensor only through its role:

| role | fan-in, fan-out | sits in |
|---|---|---|
| input | finite, infinite | the first weight layer |
| hidden | infinite, infinite | a hidden layer of a chain without skips |
| branch | infinite, infinite | the branch of a residual stage: only it carries powers of depth |
| output | infinite, finite | the readout |
| hidden_bias | -, infinite | outside the multiplier of its layer; scales like input |
| branch_bias | -, infinite | inside a residual branch |
| output_bias | -, finite | the readout |
| norm | -, infinite | gain and offset of a normalization, drawn as ones and zeros; scales like input |
| branch_norm | -, infinite | the same before the weights of a residual branch |
| feedback | infinite, infinite | target propagation's way down, between hidden layers |
| feedback_output | finite, infinite | target propagation's way down from the prediction |
"""

import enum


class Role(enum.StrEnum):
    """Which dimensions of a parameter grow with the network, and where it sits.

    >>> Role("hidden").grows_with_fan_in, Role("input").grows_with_fan_in
    (True, False)
    """

    INPUT = "input"
    HIDDEN = "hidden"
    BRANCH = "branch"
    OUTPUT = "output"
    HIDDEN_BIAS = "hidden_bias"
    BRANCH_BIAS = "branch_bias"
    OUTPUT_BIAS = "output_bias"
    NORM = "norm"
    BRANCH_NORM = "branch_norm"
    FEEDBACK = "feedback"
    FEEDBACK_OUTPUT = "feedback_output"

    @property
    def grows_with_fan_in(self) -> bool:
        """Whether fan-in is proportional to the width, so that a power of it is a power of width."""
        return self in (Role.HIDDEN, Role.BRANCH, Role.OUTPUT, Role.FEEDBACK)

    @property
    def is_output(self) -> bool:
        """Whether the parameter belongs to the readout, which learns from the output loss."""
        return self in (Role.OUTPUT, Role.OUTPUT_BIAS)

    @property
    def is_branch(self) -> bool:
        """Whether the parameter sits inside a residual branch and so carries powers of depth."""
        return self in (Role.BRANCH, Role.BRANCH_BIAS, Role.BRANCH_NORM)

    @property
    def is_bias(self) -> bool:
        """Whether the parameter is a bias: drawn as zeros, outside its layer's multiplier."""
        return self in (Role.HIDDEN_BIAS, Role.BRANCH_BIAS, Role.OUTPUT_BIAS)

    @property
    def is_norm(self) -> bool:
        """Whether the parameter is a gain or an offset of a normalization."""
        return self in (Role.NORM, Role.BRANCH_NORM)

    @property
    def is_feedback(self) -> bool:
        """Whether the parameter carries targets down, and is no part of the network."""
        return self in (Role.FEEDBACK, Role.FEEDBACK_OUTPUT)
