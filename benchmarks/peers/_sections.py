"""The parts of the comparison. Each takes what the command line asked for, and returns plain data and a table."""

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from .._settings import Size
from ._parity import compare, spans
from ._processes import Worker, WorkerFailed, once, ours, rival
from ._report import Spread, ratios, short, spread, table

GEMM_SECONDS = 0.2

Say = Callable[[str], None]


def case(folder: Path, size: str, options: argparse.Namespace) -> Path:
    """Weights and data of a size, made once."""
    path = folder / f"{size}.npz"
    if not path.exists():
        words = ["--synthetic"] if options.synthetic else []
        made = once(ours("case", size, str(path), *words))
        options.about |= {name: made[name] for name in ("data", "device", "platform", "cores", "commit")}
    return path


def parity(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Our fixed algorithm beside jpc's, on the same weights and data."""
    found: dict[str, Any] = {}
    if "jpc" not in options.rivals:
        say("parity: left out, jpc is")
        return found
    for size in options.parity_sizes:
        path = case(folder, size, options)
        files = [folder / f"{name}.npz" for name in ("ours", "jpc", "jpc_64", "jpc_renumbered")]
        once(ours("parity", str(path), str(files[0])))
        for file, words in zip(files[1:], ([], ["--float64"], ["--renumbered"]), strict=True):
            once(rival("jpc", options.rivals["jpc"], path, "--save", str(file), *words))
        found[size] = compare(*(dict(np.load(file)) for file in files))
        for line in parity_lines(found[size]):
            say(f"{size} {line}")
    return found


def parity_lines(found: dict[str, Any]) -> list[str]:
    """What was found, against what was asked for, and against what float32 leaves jpc itself."""
    verdict = {name: "ok" if passed else "MISSED" for name, passed in found["passed"].items()}
    lines = []
    for name in ("activities", "gradients"):
        off = found[f"{name}_from_float64"]
        beside = f"from float64: ours {off['ours']:.1e}, jpc {off['jpc']:.1e}"
        beside += f"; jpc from itself, units renumbered: {found['renumbered'][name]:.1e}"
        lines.append(f"{name}: {found[name]:.1e} {verdict[name]} ({beside})")
    worst = "no hidden layer holds signal" if found["updates"] is None else f"at most {found['updates']:.1e}"
    above = f"a hidden layer's agree above {found['agree_above']:.1e} of the largest gradient"
    if found["updates"] is not None:
        off = found["updates_from_float64"]
        worst += f" (from float64: ours {off['ours']:.1e}, jpc {off['jpc']:.1e}; "
        worst += f"jpc from itself, units renumbered: {found['renumbered']['updates']:.1e})"
    lines.append(f"updates: {worst} {verdict['updates']} ({above})")
    both = found["float64"]
    lines.append(
        f"float64: activities {both['activities']:.1e}, gradients {both['gradients']:.1e} {verdict['float64']}"
    )
    lines.append(f"layers of noise in both: {spans(found['noise'])}; of signal: {spans(found['signal'])}")
    return lines


def steps(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Whole training steps of the fixed algorithm, first calls and memory, library after library in turns."""
    found: dict[str, Any] = {}
    with ours("gemm") as peak:
        flops = peak.hear()["flops"]
        for size in options.sizes:
            rounds = []
            for index in range(options.pairs):
                rounds.append(one_round(options, case(folder, size, options), peak, index))
                say(f"{size} round {index + 1}: {spoken(rounds[-1])}")
            found[size] = summary(size, rounds, flops)
            say(steps_table(size, found[size]))
    return found


def one_round(options: argparse.Namespace, path: Path, peak: Worker, index: int) -> dict[str, Any]:
    """Every library in a fresh process, one first call after the other, then bursts of steps in turns."""
    depth = Size.parse(path.stem).depth
    names = ["ours", *(name for name in options.rivals if name != "pcx" or depth <= options.pcx_depth)]
    # Who goes first changes: a machine that slows down or warms up favours nobody.
    if index % 2:
        names.reverse()
    found: dict[str, Any] = {"load": os.getloadavg()[0], "failed": {}, "peak": []}
    workers: dict[str, Worker] = {}
    with ExitStack() as stack:
        for name in names:
            new = ours("step", str(path), options.ours) if name == "ours" else rival(name, options.rivals[name], path)
            worker = stack.enter_context(new)
            try:
                found[name] = worker.hear() | {"steps": []}
                workers[name] = worker
            except WorkerFailed as error:
                if name == "ours":
                    raise
                found["failed"][name] = str(error)
        for _ in range(options.bursts):
            found["peak"].append(peak.ask("gemm", GEMM_SECONDS)["best"])
            for name, worker in workers.items():
                answer = worker.ask("step", options.seconds)
                found[name]["steps"].append(answer["seconds"])
                found[name]["rss_mb"] = answer["rss_mb"]
    return found


def libraries(rounds: list[dict[str, Any]]) -> list[str]:
    """Ours and the rivals that were measured in every round."""
    names = ["ours", "jpc", "fabricpc", "pcx"]
    return [name for name in names if all(name in held for held in rounds)]


def summary(size: str, rounds: list[dict[str, Any]], gemm_flops: float) -> dict[str, Any]:
    """Times, memory and ratios of the libraries; ratios pair by pair."""
    work = Size.parse(size).flops()
    found: dict[str, Any] = {"rounds": rounds, "failed": {}}
    for held in rounds:
        found["failed"] |= held["failed"]
    gathered = {
        name: {
            "step": [seconds for held in rounds for seconds in held[name]["steps"]],
            "first": [held[name]["first"] for held in rounds],
            # The first call also runs; what is left is tracing and compiling.
            "compile": [held[name]["first"] - min(held[name]["steps"]) for held in rounds],
            "rss_mb": [held[name]["rss_mb"] for held in rounds],
        }
        for name in libraries(rounds)
    }
    peaks = [gemm_flops / seconds for held in rounds for seconds in held["peak"]]
    for name, values in gathered.items():
        entry = found[name] = {kind: spread(held)._asdict() for kind, held in values.items()}
        fractions = [work / seconds / peak for seconds, peak in zip(values["step"], peaks, strict=True)]
        entry["fraction_of_peak"] = spread(fractions)._asdict()
        if name != "ours":
            mine = gathered["ours"]
            entry["ratio"] = {kind: spread(ratios(values[kind], mine[kind]))._asdict() for kind in values}
    found["load"] = spread(held["load"] for held in rounds)._asdict()
    found["gemm_gflops"] = spread(peak / 1e9 for peak in peaks)._asdict()
    return found


def spoken(held: dict[str, Any]) -> str:
    """One round in a line."""
    parts = [
        f"{name} {short(1e3 * held[name]['steps'][0])} ms, first {short(held[name]['first'])} s"
        for name in libraries([held])
    ]
    parts += [f"{name} FAILED ({error.splitlines()[-1][:100]})" for name, error in held["failed"].items()]
    return "; ".join(parts) + f"; load {held['load']:.1f}"


def steps_table(size: str, found: dict[str, Any]) -> str:
    """Libraries in rows, the ratio to ours beside each figure."""
    rows = []
    for name in ("ours", "jpc", "fabricpc", "pcx"):
        if name not in found:
            continue
        entry = found[name]
        row: list[object] = [name, Spread(**entry["step"]).times(1e3)]
        row += [Spread(**entry[kind]) for kind in ("first", "compile", "rss_mb")]
        row.append(short(entry["fraction_of_peak"]["median"]))
        ratio = entry.get("ratio")
        row += [Spread(**ratio[kind]) if ratio else "" for kind in ("step", "first", "compile", "rss_mb")]
        rows.append(row)
    header = [size, "step ms", "first s", "compile s", "RSS MB", "of peak"]
    header += ["step/ours", "first/ours", "compile/ours", "RSS/ours"]
    about = f"peak {Spread(**found['gemm_gflops'])} GF/s, load {Spread(**found['load'])}"
    return f"\n{table(header, rows)}\n{about}\n"


def compiled(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Trace and compile of our own inference and step at a small and at a great depth, a fresh process each."""
    found: dict[str, Any] = {}
    low, high = options.compile_depths
    for spec in options.relaxations:
        taken: dict[str, dict[int, list[float]]] = {kind: {low: [], high: []} for kind in ("inference", "step")}
        for _ in range(options.compile_pairs):
            for depth in (low, high):
                path = case(folder, f"{options.compile_width}x{depth}", options)
                for kind, held in taken.items():
                    held[depth].append(once(ours("compile", str(path), spec, "--what", kind))["compile"][spec])
        found[spec] = {}
        for kind, held in taken.items():
            ratio = spread(ratios(held[high], held[low]))
            found[spec][kind] = {str(depth): spread(values)._asdict() for depth, values in held.items()}
            found[spec][kind]["ratio"] = ratio._asdict()
            say(f"{spec} {kind}: depth {low} {spread(held[low])} s, depth {high} {spread(held[high])} s, ratio {ratio}")
    return found
