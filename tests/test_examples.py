"""The example that new users copy."""

import runpy
import subprocess
import sys
from pathlib import Path

import jax

import widthwise as ww
from widthwise.measure import start_table
from widthwise.training import streams

QUICK_START = Path(__file__).parents[1] / "examples" / "quick_start.py"


def test_quick_start(tmp_path):
    assert len(QUICK_START.read_text(encoding="utf-8").splitlines()) <= 15
    done = subprocess.run(
        [sys.executable, "-W", "error", str(QUICK_START)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    # The check's table, the sweep's, and a picture.
    assert "widths 64 to 512, 16 seeds" in done.stdout
    assert "FAILED" not in done.stdout
    assert "pc, mup, sgd, by width" in done.stdout
    assert "It transfers." in done.stdout
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")


def test_own_algorithm(float32):
    """Its rule alone: derivation, check and sweep take more than a minute; recipes/derive/results has their log."""
    path = QUICK_START.with_name("own_algorithm.py")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
    rule = runpy.run_path(str(path))["DirectFeedbackAlignment"]()
    built = ww.mlp(64, 64, 10, depth=3, state="post", table=start_table("own", "sgd"), key=streams(0).init)
    trained = ww.train(built, rule, ww.data.digits(), rate=0.05, steps=60)
    # Chance is a tenth.
    assert trained.test_accuracy > 0.4


def test_own_model(float32):
    """Its module alone, two linear maps, both hidden; `tests/network/test_own.py` trains another."""
    make = runpy.run_path(str(QUICK_START.with_name("own_model.py")))["make"]
    table = ww.parameterization("mup", base_width=16)
    built = ww.own_network(make, 64, 32, table=table, key=streams(0).init)
    roles = [str(leaf.role) for leaf in jax.tree.leaves(built.scalings)]
    assert roles == ["input", "hidden_bias", *["hidden", "hidden_bias"] * 2, "output", "output_bias"]
