"""One `widthwise train` of the deep residual networks of these recipes: run, or read back where that is asked for.

A run's JSON goes to runs/recipes/, from where the same command goes on; committed results stay as they are, and are
read with `--stored` alone. Every row says which it is.
"""

import argparse
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

STORED = Path(__file__).parent / "results"
RUNS = Path(__file__).parents[2] / "runs" / "recipes" / "mupc"
COMMON = "--data fashion_mnist --network residual_mlp --width 128 --schedule linear --epochs 1 --batch-size 64"
MUPC = "--parameterization mupc --optimizer adam"


def parser_of(description: str) -> argparse.ArgumentParser:
    """A recipe's command line: which program trains, or that nothing is to be trained."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--widthwise", default="widthwise", help="the program")
    parser.add_argument("--stored", action="store_true", help="train nothing: read the committed results")
    return parser


def trained(values: argparse.Namespace, folder: str, name: str, flags: str, table: str = MUPC) -> dict[str, Any]:
    """One training run's JSON, and its `source`: `"run"`, or `"stored"` where nothing was trained."""
    path = (STORED if values.stored else RUNS) / folder / f"{name}.json"
    if values.stored:
        if not path.exists():
            raise SystemExit(f"{path} is not stored: leave --stored out to train it")
        return json.loads(path.read_text()) | {"source": "stored"}
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        command = f"{values.widthwise} train {COMMON} {table} {flags} --json {shlex.quote(str(path))}"
        done = subprocess.run(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode or not path.exists():
            raise SystemExit(f"`{command}` trained nothing (exit code {done.returncode}): {done.stderr.strip()}")
    return json.loads(path.read_text()) | {"source": "run"}


def written(name: str, text: str) -> None:
    """Keep a recipe's table with its runs, never over a committed one."""
    RUNS.mkdir(parents=True, exist_ok=True)
    (RUNS / name).write_text(text, encoding="utf-8")
