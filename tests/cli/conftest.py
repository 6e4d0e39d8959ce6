"""A folder of small files to be in, and the command line called in process."""

import json

import numpy as np
import pytest
from refusals import refused_line

from widthwise.cli import main


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Good and bad data and tables."""
    home = tmp_path_factory.mktemp("files")
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(40, 6)).astype(np.float32), draw.integers(0, 3, 40)
    holed = x.copy()
    holed[3, 2] = np.nan
    np.savez(home / "ok.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    np.savez(home / "nan.npz", x_train=holed, y_train=y, x_test=x, y_test=y)
    np.savez(home / "lacking.npz", x_train=x, y_train=y)
    (home / "corrupt.npz").write_bytes((home / "ok.npz").read_bytes()[:500])
    (home / "empty").mkdir()
    (home / "file").write_text("x")
    (home / "broken.json").write_text("{")
    (home / "list.json").write_text("[1]")
    (home / "deep.json").write_text("[" * 100_000)
    (home / "other_version.json").write_text(json.dumps({"schema_version": 2}))
    return home


@pytest.fixture
def here(files, tmp_path, monkeypatch):
    """An own folder, beside copies of these files' names."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(here, capsys, float32):
    """Run a command line as users do, in 32-bit floats: (exit code, stdout, stderr)."""

    def call(line):
        code = main(line.split())
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def refuse(here, float32):
    """Run a command line that is refused for a setting and a value, as `refusals.refused_line`; returns the error."""
    return refused_line


@pytest.fixture
def loaded(here):
    """A JSON file that must hold no NaN."""
    return lambda name: json.loads((here / name).read_text(), parse_constant=refuse_constant)
