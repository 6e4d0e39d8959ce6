"""The example that new users copy."""

import subprocess
import sys
from pathlib import Path

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
