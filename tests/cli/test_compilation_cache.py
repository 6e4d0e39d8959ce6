"""Compiled programs kept between runs: read back, never trusted where they are damaged, never needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from widthwise.cli import use_compilation_cache

LINE = "train --data ok.npz --batch-size 8 --steps 1 --width 4 --base-width 4 --rate 0.1 "
# One process, two runs: programs are stored, then every second file is cut in half, and they are read.
SCRIPT = """
import json, sys
from pathlib import Path
import jax
from widthwise.cli import _compilation, main

_compilation.LEAST_SECONDS = 0.0
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rsplit("/", 1)[-1]))
assert main([*sys.argv[1:], "--out", "stored"]) == 0
files = sorted(path for path in Path("cache").rglob("*") if path.is_file())
for path in files[::2]:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
events.append("stored")
jax.clear_caches()
assert main([*sys.argv[1:], "--out", "read"]) == 0
hits = events[events.index("stored"):].count("cache_hits")
Path("counts.json").write_text(json.dumps([len(files), hits]))
"""


def process(here, *arguments, cache):
    environment = os.environ | {"WIDTHWISE_CACHE": str(cache), "JAX_ENABLE_COMPILATION_CACHE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=here, env=environment, capture_output=True, text=True, check=False
    )


def record(path):
    (line,) = (path / "records.jsonl").read_text().splitlines()
    return {name: value for name, value in json.loads(line).items() if not name.endswith("seconds")}


def test_programs_are_read_back_and_change_nothing(here):
    done = process(here, "-c", SCRIPT, *LINE.split(), cache=here / "cache")
    # On some processors XLA refuses all programs that it has stored itself (its issue 44565), and says so.
    refused = "Loading XLA:CPU AOT" in done.stderr
    assert done.returncode == 0
    assert refused or done.stderr == ""
    files, hits = json.loads((here / "counts.json").read_text())
    assert files >= 4
    assert refused or hits >= files // 2
    # The first run compiled everything itself.
    whole = record(here / "stored")
    assert whole["test_loss"] > 0
    assert record(here / "read") == whole


def test_a_run_does_not_need_the_cache(here):
    done = process(here, "-m", "widthwise", *LINE.split(), cache=here / "file" / "below")
    assert done.returncode == 0
    assert "test_accuracy" in done.stdout
    assert done.stderr.startswith("widthwise: note: compiled programs are not kept: ")
    assert done.stderr.count("\n") == 1
    assert "Not a directory" in done.stderr


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder for programs that JAX is free to use; nothing is compiled here."""
    monkeypatch.setenv("WIDTHWISE_CACHE", str(tmp_path / "cache"))
    jax.config.update("jax_enable_compilation_cache", True)
    yield tmp_path / "cache"
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_compilation_cache_dir", None)


def test_the_folder_is_in_the_users_cache_and_theirs_alone(cache):
    use_compilation_cache()
    (folder,) = cache.iterdir()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_is_not_used(cache, capsys):
    use_compilation_cache()
    (folder,) = cache.iterdir()
    jax.config.update("jax_compilation_cache_dir", None)
    folder.chmod(0o777)
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None
    assert "others may write there" in capsys.readouterr().err


def test_a_user_without_a_home_is_served(cache, monkeypatch, capsys):
    monkeypatch.delenv("WIDTHWISE_CACHE")
    monkeypatch.setattr("pooch.os_cache", lambda project: Path("~nobody-of-that-name") / project)
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None
    assert capsys.readouterr().err.startswith("widthwise: note: compiled programs are not kept: ")


def test_jax_s_own_settings_go_first(cache):
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == "elsewhere"
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_compilation_cache_dir", None)
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None
    assert not cache.exists()


def test_leaving_it_off(cache):
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    use_compilation_cache(wanted=False)
    assert jax.config.jax_enable_compilation_cache is False
    assert not cache.exists()


@pytest.mark.parametrize(("verb", "module"), [("train --rate 0.1", "_train"), ("transfer", "_transfer")])
def test_the_flag_arrives(cli, monkeypatch, verb, module):
    told = []
    monkeypatch.setattr(f"widthwise.cli.{module}.use_compilation_cache", told.append)
    for flag in ("", " --no-compilation-cache"):
        assert cli(f"{verb} --data missing.npz{flag}")[0] == 2
    assert told == [True, False]


def test_the_oldest_programs_make_room(cache, monkeypatch):
    use_compilation_cache()
    (folder,) = cache.iterdir()
    for age, name in enumerate("abcd"):
        (folder / name).write_bytes(b"x" * 10)
        os.utime(folder / name, (1000 + age, 1000 + age))
    monkeypatch.setattr("widthwise.cli._compilation.LARGEST", 25)
    # As a new process: JAX has no folder yet.
    jax.config.update("jax_compilation_cache_dir", None)
    use_compilation_cache()
    assert sorted(path.name for path in folder.iterdir()) == ["c", "d"]


def test_another_processor_has_another_folder(cache, monkeypatch):
    def folder():
        jax.config.update("jax_compilation_cache_dir", None)
        use_compilation_cache()
        return jax.config.jax_compilation_cache_dir

    here = folder()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda self, **_: "flags : sse2\nmodel name : other")
        other = folder()
        patch.setattr(Path, "read_text", lambda self, **_: "cpu MHz : 1\nflags : sse2\nmodel name : other")
        assert folder() == other != here
    assert folder() == here
