"""Shell recipes run whole, with a stand-in for `widthwise`; then the command line reads every command of theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In this order: the third reads a table that the second writes.
RUNS = [
    ("checks/widest.sh",),
    ("local_losses/coordinate_checks.sh",),
    ("local_losses/transfer_fashion_mnist.sh",),
    ("local_losses/accuracy_fashion_mnist.sh",),
    ("local_losses/convolution_transfer.sh",),
    ("local_losses/convolutions.sh",),
    *(("local_losses/target_propagation.sh", part) for part in ("checks", "accuracy", "trained", "transfer")),
    ("mupc/conditioning.sh",),
    ("mupc/transfer_rates.sh",),
    ("richness/gauges.sh",),
    ("tuned_small/tune_verify_train.sh",),
]
# Read by others, and the one that runs Python alone, below.
OTHERS = {"mupc/logged.sh", "checks/matrix.sh"}


def finished(copied, name, *words, **environment):
    """A script's output, once all of it has been written."""
    path = copied / "recipes" / name
    done = subprocess.run(
        ["bash", str(path), *words],
        cwd=path.parent,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    for trouble in ("Traceback", "No such file", "not found", "unbound variable", "syntax error"):
        assert trouble not in done.stdout, done.stdout
    return done.stdout


def test_none_is_left_out(copied):
    found = {str(path.relative_to(copied / "recipes")) for path in copied.glob("recipes/*/*.sh")}
    assert found == {run[0] for run in RUNS} | OTHERS


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_shell_recipe(copied, program, all_taken, monkeypatch, words):
    _, noted = program
    out = finished(copied, *words)
    monkeypatch.chdir((copied / "recipes" / words[0]).parent)
    all_taken(noted())
    if words[0] == "mupc/conditioning.sh":
        # Its table has the one size that the stand-in has measured.
        assert "init_residual               mupc     32   4" in out
        assert (copied / "recipes/mupc/results/conditioning_init.log").stat().st_size > 0
    if words[0] == "local_losses/transfer_fashion_mnist.sh":
        assert Path("results/bp_rates_at_gamma_bar_-1.json").exists()


PARTS = """#!/usr/bin/env bash
# In place of Python: a part of matrix.py ends with the line that matrix.sh gathers; all else is Python.
[ "$1" != matrix.py ] && exec "$REAL" "$@"
echo "$2: 0 rows are not as they should be" >> "results/$2.log"
"""


def test_matrix_runs_every_part(copied, tmp_path):
    python = tmp_path / "python"
    python.write_text(PARTS)
    python.chmod(0o755)
    out = finished(copied, "checks/matrix.sh", PYTHON=str(python), REAL=sys.executable)
    for part in ("mlp", "residual_mlp", "images", "wrong"):
        assert f"{part}: 0 rows are not as they should be" in out
    assert "whole matrix: " in out
