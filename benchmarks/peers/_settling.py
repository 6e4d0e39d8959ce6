"""Settling: how near each relaxation comes to the equilibrium's update, and in how much of jpc's step."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._processes import Worker, once, ours, rival
from ._report import Spread, ratios, short, spread, table
from ._sections import case

SETTLED = 1e-6
# Inference with its forward pass, the forward pass alone, the whole training step.
KINDS = ("infer", "forward", "step")

Say = Callable[[str], None]


def settling(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """At initialization and after training, at every size."""
    found: dict[str, Any] = {}
    for size in options.settle_sizes:
        fresh = case(folder, size, options)
        places = {"init": fresh, "trained": folder / f"{size}_trained.npz"}
        words = ["--steps", str(options.train_steps), "--rate", str(options.train_rate), "--rule", options.train_rule]
        trained = once(ours("train", str(fresh), str(places["trained"]), *words))["metrics"]
        for state, path in places.items():
            result = found[f"{size} {state}"] = at(options, path, say)
            result["trained"] = trained if state == "trained" else None
            say(settling_table(f"{size} {state}", result))
    return found


def at(options: argparse.Namespace, path: Path, say: Say) -> dict[str, Any]:
    """One network: qualities, then times in turns with jpc's step."""
    with ours("settle", str(path), *options.relaxations, "--equilibrium", options.equilibrium) as mine:
        found: dict[str, Any] = mine.hear()
        found["relaxations"] = {held["spec"]: held for held in (mine.hear() for _ in options.relaxations)}
        mine.hear()
        times: dict[str, list[float]] = {}
        theirs: list[float] = []
        with jpc(options, path) as other:
            ready = other.hear() if other else None
            for _ in range(options.pairs):
                if ready:
                    theirs.append(other.ask("step", options.seconds)["seconds"])
                for spec in options.relaxations:
                    for kind in KINDS:
                        call = f"{kind}:{spec}"
                        times.setdefault(call, []).append(mine.ask(call, options.seconds)["seconds"])
    for spec, held in found["relaxations"].items():
        for kind in KINDS:
            taken = times[f"{kind}:{spec}"]
            held[kind] = spread(taken)._asdict()
            if theirs:
                held[f"{kind}_of_jpc"] = spread(ratios(taken, theirs))._asdict()
    found["jpc_step"] = spread(theirs)._asdict() if theirs else None
    return found


class Nobody:
    """In a rival's place where there is none."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def jpc(options: argparse.Namespace, path: Path) -> Worker | Nobody:
    """jpc's worker, if it takes part."""
    return rival("jpc", options.rivals["jpc"], path) if "jpc" in options.rivals else Nobody()


def settling_table(name: str, found: dict[str, Any]) -> str:
    """Relaxations in rows."""
    rows = []
    for spec, held in found["relaxations"].items():
        row: list[object] = [spec, f"{held['cosine']:.5f}", short(held["error"]), short(held["residual_median"])]
        row += [short(held["residual_max"]), short(held["iterations"]), f"{held['energy_gap']:+.1e}"]
        for kind in KINDS:
            of = held.get(f"{kind}_of_jpc")
            row += [short(1e3 * held[kind]["median"]), Spread(**of) if of else "-"]
        rows.append(row)
    header = [name, "cosine", "error", "residual", "largest", "iterations", "energy gap"]
    header += [name for kind in KINDS for name in (f"{kind} ms", f"{kind}/jpc step")]
    base, curve = found["equilibrium"], found["curvature"]
    about = (
        f"equilibrium in float64: residual at most {base['residual_max']:.1e} after {base['iterations']:.0f} updates"
    )
    # Distances from a point that is no equilibrium say nothing.
    about += " (NOT SETTLED)" if not base["residual_max"] <= SETTLED else ""
    about += f"; ||C|| {short(curve['median'])}, at most {short(curve['largest'])}"
    if found["jpc_step"]:
        about += f"; jpc's step {short(1e3 * found['jpc_step']['median'])} ms"
    return f"\n{table(header, rows)}\n{about}\n"
