"""Recipes in a folder of their own, where they may write, and run as users run them."""

import contextlib
import io
import runpy
import shlex
import shutil
import sys
import warnings
from pathlib import Path

import jax
import pytest
from command_words import refused

from widthwise.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """The recipes without their results, and the folder of the figures: what they write is not what is committed."""
    home = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "recipes", home / "recipes", ignore=shutil.ignore_patterns("results", "__pycache__"))
    for folder in (home / "recipes").iterdir():
        if folder.is_dir():
            (folder / "results").mkdir()
    (home / "docs" / "images").mkdir(parents=True)
    return home


@pytest.fixture
def script(copied, monkeypatch, capsys, float32):
    """Run a Python script of the recipes with a command line: (exit code, stdout)."""

    def run(name, *words):
        path = copied / "recipes" / name
        monkeypatch.setattr(sys, "argv", [str(path), *words])
        monkeypatch.syspath_prepend(str(path.parent))
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as ended:
            return ended.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return run


STUB = """#!/usr/bin/env bash
# In place of `widthwise`: notes its words, says and writes what a real run of the verb said and wrote.
printf '%q ' "$@" >> "$NOTED"; echo >> "$NOTED"
if [ "$1" = table ]; then # for real, once; its file is named last
  kept=$SAID/$(echo "$*" | cksum | tr ' ' _).json
  [ -f "$kept" ] || { "$PYTHON" -m widthwise "$@" > /dev/null && cp "${!#}" "$kept"; } || exit 1
  cmp -s "$kept" "${!#}" || cp "$kept" "${!#}"
  exit 0
fi
verb=$1
while [ $# -gt 0 ]; do
  [ "$1" = --json ] && [ -f "$SAID/$verb.json" ] && cp "$SAID/$verb.json" "$2"
  shift
done
cat "$SAID/$verb.out" 2> /dev/null || echo "$verb"
"""
SMALL = "--data digits --examples 64 --batch-size 16 --network residual_mlp --algorithm pc --parameterization mupc"
REAL = {
    "train": f"{SMALL} --width 4 --depth 3 --validation 16 --epochs 1 --rate 0.01 --relaxation error --iterations 2",
    "transfer": f"{SMALL} --widths 4 --depth 3 --steps 1 --seeds 2 --log2-rates -4 -3 1 --log2-activity-rates -2 -1 1"
    " --relaxation error --iterations 2",
    # A size that docs/theory.md has.
    "theory": "conditioning --network residual_mlp --parameterization mupc --activation linear --dtype float64"
    " --batch-size 8 --widths 32 --depths 4",
}


@pytest.fixture(scope="session")
def said(tmp_path_factory):
    """What real runs of some verbs print and write, each made once: recipes read it."""
    folder = tmp_path_factory.mktemp("said")
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    try:
        for verb, words in REAL.items():
            with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert main([verb, *words.split(), "--json", str(folder / f"{verb}.json")]) == 0
            (folder / f"{verb}.out").write_text(printed.getvalue())
    finally:
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_numpy_dtype_promotion", "strict")
    return folder


@pytest.fixture
def program(said, tmp_path, monkeypatch):
    """A stand-in for `widthwise` that recipes start: its path, and the commands that it has noted."""
    path, noted = tmp_path / "widthwise", tmp_path / "noted"
    path.write_text(STUB)
    path.chmod(0o755)
    for name, value in {"NOTED": noted, "SAID": said, "PYTHON": sys.executable, "WIDTHWISE": path}.items():
        monkeypatch.setenv(name, str(value))
    return str(path), lambda: [shlex.split(line) for line in noted.read_text().splitlines()]


@pytest.fixture
def all_taken(capsys, float32):
    """Check that the command line takes commands, each once."""

    def check(commands):
        assert commands
        errors = {" ".join(words): refused(list(words), capsys) for words in dict.fromkeys(map(tuple, commands))}
        assert not {command: error for command, error in errors.items() if error}

    return check
