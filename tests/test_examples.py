"""The example that new users copy."""

import runpy
import subprocess
import sys
from pathlib import Path

import widthwise as ww
from widthwise.measure import start_table
from widthwise.measure._sound import check_algorithm
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
    assert "widths 128 to 1024, 16 seeds" in done.stdout
    assert "pc, mup, sgd, by width" in done.stdout
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")


def test_own_algorithm(float32):
    """Its rule alone: the derivation, the check and the sweep take a minute; `tests/measure` has theirs."""
    path = QUICK_START.with_name("own_algorithm.py")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
    rule = runpy.run_path(str(path))["DirectFeedbackAlignment"]()
    built = ww.mlp(64, 64, 10, depth=4, table=start_table("own", "sgd"), key=streams(0).init)
    check_algorithm(rule, built, ww.mse)
    trained = ww.train(built, rule, ww.data.digits(), rate=0.02, steps=60)
    # Chance is a tenth.
    assert trained.test_accuracy > 0.4
