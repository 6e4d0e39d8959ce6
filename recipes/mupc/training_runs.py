"""One `widthwise train` of the deep residual networks of these recipes, kept as JSON and not repeated."""

import json
import shlex
import subprocess
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
COMMON = "--data fashion_mnist --network residual_mlp --width 128 --schedule linear --epochs 1 --batch-size 64"
MUPC = "--parameterization mupc --optimizer adam"


def trained(program: str, folder: str, name: str, flags: str, table: str = MUPC) -> dict:
    """One training run's JSON, from its file where it was made before."""
    path = RESULTS / folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        command = f"{program} train {COMMON} {table} {flags} --json {shlex.quote(str(path))}"
        subprocess.run(shlex.split(command), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads(path.read_text())
