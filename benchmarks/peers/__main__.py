"""This library beside its rivals.

    python -m benchmarks.peers --jpc PYTHON --fabricpc PYTHON --pcx PYTHON --pairs 5 --sizes 128x8 128x32

PYTHON is an interpreter in whose environment the rival is installed. A rival that is not given, or that cannot be
imported there, is left out and named. Writes benchmarks/results/peers_<date>.json and .log.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from .._settings import EQUILIBRIUM, TRAIN_RATE, TRAIN_RULE, TRAIN_STEPS
from ._processes import RIVALS, WorkerFailed, importable, once, ours
from ._sections import compiled, parity, steps
from ._settling import settling

RESULTS = Path(__file__).parents[1] / "results"
PARTS = {"parity": parity, "steps": steps, "compile": compiled, "settle": settling}


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in RIVALS:
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"interpreter with {name}")
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (all)")
    add("--sizes", nargs="+", default=["128x8", "128x32", "512x8"], help="width x depth, of the training step")
    add("--pairs", type=int, default=5, help="rounds in fresh processes (5)")
    add("--bursts", type=int, default=2, help="turns of every library in a round (2)")
    add("--seconds", type=float, default=0.5, help="of a turn, at least one step (0.5)")
    add("--pcx-depth", type=int, default=32, help="pcx's trace grows with T L: leave it out of deeper networks (32)")
    add("--parity-sizes", nargs="+", default=["128x8", "128x32", "512x8"])
    add("--ours", default="descent", help="our step beside theirs: descent, or descent@2 on two devices (descent)")
    add("--relaxations", nargs="+", help="name or name:setting=value,... where L is the depth (all, as they are)")
    add("--settle-sizes", nargs="+", default=["128x32"])
    add("--equilibrium", default=EQUILIBRIUM, help="what finds it in float64")
    add("--train-steps", type=int, default=TRAIN_STEPS)
    add("--train-rule", default=TRAIN_RULE, help="relaxation of the trained networks")
    add("--train-rate", type=float, default=TRAIN_RATE)
    add("--compile-depths", nargs=2, type=int, default=[8, 1024])
    add("--compile-width", type=int, default=128)
    add("--compile-pairs", type=int, default=3)
    add("--synthetic", action="store_true", help="normal inputs instead of Fashion-MNIST")
    add("--out", type=Path, default=RESULTS)
    return parser.parse_args(words)


def taking_part(options: argparse.Namespace, say: Any) -> dict[str, str]:
    """The rivals that can be run, and what each of the others lacks, said."""
    found = {}
    for name in RIVALS:
        interpreter = getattr(options, name)
        lack = "no interpreter given" if interpreter is None else importable(interpreter, name)
        if lack is None:
            found[name] = interpreter
        else:
            say(f"{name} left out: {lack}")
    return found


def main(words: list[str] | None = None) -> int:
    """Measure what was asked for; whatever was found by then is written where a part fails."""
    options = parsed(words)
    options.out.mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H%M")
    target, log = (options.out / f"peers_{stamp}.{kind}" for kind in ("json", "log"))

    def say(text: str) -> None:
        print(text, flush=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    options.about = {"date": stamp, "load": os.getloadavg()[0]}
    options.rivals = taking_part(options, say)
    options.relaxations = options.relaxations or once(ours("names"))["names"]
    settings = {name: value for name, value in vars(options).items() if name not in (*RIVALS, "out", "about", "rivals")}
    found: dict[str, Any] = {"settings": settings, "rivals": list(options.rivals)}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts:
            say(f"\n## {part}")
            try:
                found[part] = PARTS[part](options, Path(folder), say)
            except WorkerFailed as error:
                failed = 1
                say(f"{part} FAILED: {error}")
            found["about"] = options.about
            target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    say(f"{options.about}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
