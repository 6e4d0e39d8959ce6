"""What a coordinate check says: its lines, and three verdicts by name.

| verdict | given where |
|---|---|
| rates will not transfer | a line fails: its slope is not what training asks for, or nothing moves |
| inference unstable | ‖C‖ grows; targets move ever farther from their states; inference ends no nearer to equilibrium |
| kernel regime | features move as M^(-3/8) or slower while the prediction learns: nearer to r = 0 than 1/4 |

Where all that failed is only too uncertain, the first is not given either way. A table of richness 0 passes every line,
and is in the kernel regime.
"""

import dataclasses
import math
from typing import Any

# Just below, predictive coding's update differs from its wide limit by less than the tolerance on slopes.
SMALL_CURVATURE = 0.05
# Beyond it, what should not grow with the size does.
GROWTH = 0.1
KERNEL_SLOPE = -0.375
NOT_LOOKED_AT = "not looked at: the exponents of weight decay and of epsilon, as no check runs either"
# Of the features' own size, or of the initial residual: beyond it slopes scatter with either sign (docs/theory.md C2).
MOST_MOVEMENT = 1.0


@dataclasses.dataclass(frozen=True)
class Line:
    """One quantity's verdict.

    **Arguments:** `quantity`: `"movement"`, `"output"`, of predictive coding and targets `"error"`, where feedback
    learns `"feedback"`; of what one role's arrays do alone `"hidden weights"` and the like, of biases, gains and
    offsets the role; `layer`: from 1; `slope`, `se`: measured;
    `expected`: by the desiderata; `predicted`: by the exponents under test; `movement_min`: at the smallest width,
    relative to the features (for the output: to the initial residual); `passed`; `uncertain`: it did not, for want of
    seeds alone; `movement_max`: as `movement_min`, at the width where it is largest, NaN where none is too large.
    """

    quantity: str
    layer: int
    slope: float
    se: float
    expected: float
    predicted: float
    movement_min: float
    passed: bool
    uncertain: bool = False
    movement_max: float = math.nan

    @property
    def overshoots(self) -> bool:
        """Whether it moves by its own size and more somewhere, where a slope says nothing of the limit."""
        return self.movement_max >= MOST_MOVEMENT


@dataclasses.dataclass(frozen=True)
class CoordinateCheck:
    """A coordinate check: its lines, and under which settings they were measured.

    **Arguments:** `lines`; `widths`: or depths, as `axis` says; `seeds`, `steps`; `rate`: base rate;
    `output_precision`: γ', None for BP; `curvature`: ‖C‖ at the smallest and the largest width, None for BP;
    `residual`: of inference at the largest, None where nothing is settled; `axis`: `"width"` or `"depth"`.
    """

    lines: tuple[Line, ...]
    widths: tuple[int, ...]
    seeds: int
    steps: int
    rate: float
    output_precision: float | None
    curvature: tuple[float, float] | None
    residual: float | None = None
    axis: str = "width"

    @property
    def passed(self) -> bool:
        """Whether every line passed."""
        return all(line.passed for line in self.lines)

    @property
    def undecided(self) -> bool:
        """Whether all that failed did so for want of seeds."""
        return not self.passed and all(line.passed or line.uncertain for line in self.lines)

    @property
    def verdicts(self) -> dict[str, bool | None]:
        """Each verdict's name, and whether it was given; None where it does not apply."""
        return {
            "rates will not transfer": None if self.undecided else not self.passed,
            "inference unstable": self._unstable(),
            "kernel regime": self._kernel_regime(),
        }

    def _unstable(self) -> bool | None:
        errors = [line.slope for line in self.lines if line.quantity == "error"]
        if self.curvature is None:
            # A comparison with NaN is false: targets that overflow are unstable.
            return not all(slope <= GROWTH for slope in errors) if errors else None
        first, last = self.curvature
        grows = last > 0 and not math.log(last / first) <= GROWTH * math.log(self.widths[-1] / self.widths[0])
        return grows or (self.residual is not None and not self.residual < 1)

    def _kernel_regime(self) -> bool | None:
        if self.axis != "width":
            return None
        features, output = (
            [line.slope for line in self.lines if line.quantity == name] for name in ("movement", "output")
        )
        return bool(features[-1] <= KERNEL_SLOPE and abs(output[-1]) <= GROWTH)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return dataclasses.asdict(self) | {"passed": self.passed, "verdicts": self.verdicts}

    def __str__(self) -> str:
        rows = [f"{'quantity':15s} layer   slope     se  expected  predicted  moves  verdict"]
        for line in self.lines:
            word = "passed" if line.passed else "uncertain" if line.uncertain else "FAILED"
            moves = "-" if math.isnan(line.movement_min) else f"{line.movement_min:.1%}"
            rows.append(
                f"{line.quantity:15s} {line.layer:5d} {line.slope:7.3f} {line.se:6.3f} {line.expected:9.3f} "
                f"{line.predicted:10.3f} {moves:>6s}  {word}"
            )
        spread = f"{self.axis}s {self.widths[0]} to {self.widths[-1]}, {self.seeds} seeds, {self.steps} steps"
        settings = f"{spread}, base rate {self.rate:.4g}"
        if self.curvature is not None:
            settings += (
                f", output precision {self.output_precision:.4g}, "
                f"‖C‖ {self.curvature[0]:.3g} to {self.curvature[1]:.3g}"
            )
        named = {
            "inference unstable": f"inference unstable: {self._why_unstable()}",
            "kernel regime": "kernel regime: features move less the wider the network, the prediction as much",
        }
        said = [text for name, text in named.items() if self.verdicts[name]]
        verdict = "passed" if self.passed else f"FAILED: rates will not transfer over {self.axis}"
        if self.undecided:
            verdict = "NOT DECIDED: standard errors are too large to say; give more seeds, or larger sizes"
        return "\n".join([*rows, settings, NOT_LOOKED_AT, *said, verdict, *self._too_far(), *self._hint()])

    def _why_unstable(self) -> str:
        if self.curvature is None:
            return f"targets move ever farther from their states with the {self.axis}"
        if self.residual is not None and not self.residual < 1:
            return f"it ends at {self.residual:.2g} of the residual it began with"
        return f"‖C‖ grows from {self.curvature[0]:.3g} to {self.curvature[1]:.3g}"

    def _too_far(self) -> list[str]:
        """Which layers move too far to tell; of a wrong table, whose movement grows with the size, this is no news."""
        far = [line for line in self.lines if line.overshoots]
        if not far:
            return []
        worst = max(far, key=lambda line: line.movement_max)
        places = ", ".join(str(line.layer) for line in far)
        return [
            f"layers {places} move by their own size and more (layer {worst.layer} by {worst.movement_max:.0%}): no "
            f"slope of theirs passes; give a lower rate than {self.rate:.3g}"
        ]

    def _hint(self) -> list[str]:
        """Why a right table may fail here: the curvature has not yet reached its limit at the smallest width."""
        if self.passed or self.curvature is None or self.curvature[0] <= SMALL_CURVATURE:
            return []
        first, last = self.curvature
        if abs(first - last) < 0.5 * first:
            return []
        return [
            f"‖C‖ falls from {first:.2g} to {last:.2g} over these widths, a transient that every slope carries: "
            f"use an output precision of {SMALL_CURVATURE / first * (self.output_precision or 1):.1g} "
            f"(base rates grow by its inverse), or larger widths, to see the table's own slopes"
        ]
