"""How muPC networks begin: the variance of their forward pass, and how far predictive coding is from backprop.

Linear, unit gain, h_1 = W_1 x/sqrt(D), h_l = A_l h_{l-1}, f = W_L h_{L-1}/N, standard normal weights. With skips
A_l = I + W_l/sqrt(N L), without A_l = W_l/sqrt(N). Expectations over the weights are exact at every size, since

    E |A_l h|² = (1 + 1/L) |h|² with skips,   |h|² without

**Assumptions:** linear activations, no biases, hidden precisions 1. Sources: arXiv 2505.13124 (forward variance),
2602.07697 (PC to BP for N >> L); docs/theory.md D1, E.
"""

from .._errors import InputError


def forward_growth(depth: int, *, residual: bool = True) -> float:
    """E |h_{L-1}|² / E |h_1|²: bounded by e at every depth.

        (1 + 1/L)^(L - 2) with skips,   1 without

    **Arguments:** `depth`: L, the number of weight layers; `residual`: hidden layers have skips.

    >>> forward_growth(2), round(forward_growth(1000), 2)
    (1.0, 2.71)
    """
    _check(depth)
    return (1 + 1 / depth) ** (depth - 2) if residual else 1.0


def expected_curvature(depth: int, width: int, *, residual: bool = True, output_precision: float = 1.0) -> float:
    """E tr(C) / out, the mean eigenvalue of the curvature: predictive coding becomes backprop as L/N falls.

        γ_L (L/N) [(1 + 1/L)^(L - 1) − 1] with skips,   γ_L (L − 1)/N without

    For N >> L all eigenvalues of C are near it, and F*/loss near 1 / (1 + it); at a given L/N it is at most (e − 1) γ_L
    times that.

    **Arguments:** as in `forward_growth`; `width`: N; `output_precision`: γ_L.

    >>> expected_curvature(2, 64, residual=False)
    0.015625
    """
    _check(depth)
    if width < 1:
        raise InputError(f"width is {width}", setting="width", value=width, remedy="it must be at least 1")
    layers = depth * ((1 + 1 / depth) ** (depth - 1) - 1) if residual else depth - 1
    return output_precision * layers / width


def _check(depth: int) -> None:
    if depth < 2:
        raise InputError(
            f"depth is {depth}", setting="depth", value=depth, remedy="a network has at least 2 weight layers"
        )
