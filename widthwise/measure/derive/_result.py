"""What a derivation hands back."""

import dataclasses
from typing import Any

from ...parameterizations import Parameterization, to_json
from ._rounding import Exponent


@dataclasses.dataclass(frozen=True)
class Derivation:
    """Measured exponents, and the table that they make where they are sure.

    **Arguments:** `exponents`; `table`: None where something is not sure; `reasons`: why not; `widths`, `depths`,
    `seeds`, `steps`; `rounds`: how often all was measured; `rate`: the base rate given, or None; `unmeasured`: what of
    the feedback's rows the algorithm does not use, as `Parameterization.unmeasured`.
    """

    exponents: tuple[Exponent, ...]
    table: Parameterization | None
    reasons: tuple[str, ...]
    widths: tuple[int, ...]
    depths: tuple[int, ...] | None
    seeds: int
    steps: int
    rounds: int
    rate: float | None
    unmeasured: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """That of the least sure exponent."""
        return min(one.confidence for one in self.exponents)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: `table` as `save` writes it, or None."""
        rows = [one._asdict() | {"value": None if one.value is None else str(one.value)} for one in self.exponents]
        table = None if self.table is None else to_json(self.table)
        return dataclasses.asdict(self) | {"exponents": rows, "table": table}

    def __str__(self) -> str:
        lines = [f"{'role':14s} {'exponent':9s} {'measured':>9s} {'sigma':>7s} {'value':>6s}  confidence"]
        for one in self.exponents:
            value = "-" if one.value is None else str(one.value)
            lines.append(
                f"{one.role:14s} {one.letter:9s} {one.measured:9.3f} {one.error:7.3f} {value:>6s}  {one.confidence:.3f}"
            )
        spread = f"widths {self.widths[0]} to {self.widths[-1]}"
        if self.depths is not None:
            spread += f", depths {self.depths[0]} to {self.depths[-1]}"
        lines.append(f"{spread}, {self.seeds} seeds, {self.steps} steps, {self.rounds} rounds")
        if self.unmeasured:
            lines.append(f"not measured, and refused where it is asked for: {', '.join(self.unmeasured)}")
        lines += [f"not sure: {reason}" for reason in self.reasons]
        lines.append("no table: not every exponent is sure" if self.table is None else "table derived")
        return "\n".join(lines)
