"""Every benchmark runs from end to end at its smallest, in this process; rivals have stand-ins that speak as they do.

What is measured is not looked at here. Only what imports a rival needs the rival.
"""

import argparse
import contextlib
import io
import json
import runpy
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from benchmarks import (
    _cases,
    blocks,
    convolutions,
    engines,
    linear_solve,
    loops,
    ridge_feedback,
    store,
    test_compile,
    test_epoch,
    test_memory,
    test_quality,
    test_step,
)  # fmt: skip
from benchmarks._settings import Size
from benchmarks.peers import __main__ as peers
from benchmarks.peers import _processes, epoch, run_ours, throughput
from benchmarks.peers._worker import burst, timed
from widthwise.cli import main

TINY = Size(4, 3)


@pytest.fixture(autouse=True)
def as_users_start_it(float32, monkeypatch):
    """32-bit floats, and data that are not downloaded: the benchmarks have normals in their place."""
    monkeypatch.setattr(_cases, "examples", _cases.synthetic)
    _cases.one_batch.cache_clear()
    yield
    _cases.one_batch.cache_clear()


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Where scripts write instead of benchmarks/results."""
    for module in (loops, store, engines, epoch, throughput):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    for module in (linear_solve, ridge_feedback, convolutions):
        monkeypatch.setattr(module, "LOG", tmp_path / "log")
    return tmp_path


def run_here(command, **_):
    """In place of a Python process: the same words, in this one."""
    words = command[1:] if command[1] != "-P" else command[2:]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            exec(words[1], {"__name__": "__main__"})
        elif words[:2] == ["-m", "widthwise"]:
            assert main(words[2:]) == 0
        else:
            assert words[:2] == ["-m", "benchmarks.loops"]
            loops.main(words[2:])
    return subprocess.CompletedProcess(command, 0, printed.getvalue(), "")


@pytest.fixture
def here(monkeypatch):
    """No process is started."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(subprocess, "run", run_here)


class Answering:
    """In place of a worker's process: ours in this process, a rival's answers as that rival's script gives them."""

    def __init__(self, command, *, ours):
        self.said, self.calls = [], {}
        if ours:
            assert command[:4] == [sys.executable, "-P", "-m", "benchmarks.peers.run_ours"]
            options = run_ours.parsed(command[4:])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(run_ours, "say", lambda **values: self.said.append(json.loads(json.dumps(values))))
                patch.setattr(run_ours, "serve", self.calls.update)
                options.run(options)
        else:
            self.rival(*command[1:])

    def rival(self, script, case, *words):
        assert Path(script).exists()
        self.calls = {"step": lambda: None}
        self.said = [{"first": 0.1, "rss_mb": 1.0, "seconds": 0.1, "accuracy": 0.5}]
        if "--save" in words:
            # It finds exactly what we find.
            mine = np.load(Path(case).with_name("ours.npz"))
            suffix = "_64" if "--float64" in words else ""
            names = [name for name in mine.files if not name.endswith("_64")]
            np.savez(words[words.index("--save") + 1], **{name: mine[name + suffix] for name in names})

    def hear(self):
        return self.said.pop(0)

    def ask(self, do, seconds):
        times = burst(self.calls[do], 0.0)
        return {"seconds": times[0] + 1e-9, "best": times[0] + 1e-9, "rss_mb": 1.0}

    def close(self):
        self.calls = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def answering(monkeypatch):
    """Workers without processes."""
    monkeypatch.setattr(_processes, "Worker", Answering)
    monkeypatch.setattr(epoch, "Worker", Answering)
    monkeypatch.setattr(peers, "importable", lambda interpreter, name: None)


def test_blocks(capsys, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCKS", {})
    blocks.main(["--sizes", "4x3", "--blocks", "2", "--seconds", "0"])
    assert "4x3 error block 2: trace" in capsys.readouterr().out
    assert {jax.default_backend(): 2} == blocks.BLOCKS


def test_linear_solve(results):
    linear_solve.main(["--sizes", "4x3", "--turns", "1"])
    assert (results / "log").read_text().startswith("4x3: ")


def test_ridge_feedback(results):
    ridge_feedback.main(["--widths", "4", "--turns", "1"])
    assert (results / "log").read_text().startswith("width 4: ")


def test_convolutions(results):
    convolutions.main(["--turns", "1", "--image", "4", "--channels", "2"])
    assert len((results / "log").read_text().splitlines()) == 4
    x, weight = jnp.arange(50.0).reshape(2, 5, 5, 1), jnp.arange(18.0).reshape(3, 3, 1, 2)
    for stride in (1, 2):
        np.testing.assert_allclose(
            convolutions.ours(x, weight, stride), convolutions.xlas(x, weight, stride), rtol=1e-6
        )


def test_loops(results, here):
    # `two_devices` must be said before JAX starts.
    words = ["--sizes", "4x4", "--ways", "scan", "blocks", "unrolled", "--turns", "1", "--rounds", "1"]
    loops.main(words)
    (path,) = results.glob("loops_*.json")
    assert set(json.loads(path.read_text())["4x4"]) == {"scan", "blocks", "unrolled"}


def test_store(results, here):
    assert store.main(["--seeds", "1", "--log2-rates", "-3", "-2", "1"]) == 0
    (path,) = results.glob("store_*.log")
    lines = path.read_text().splitlines()
    assert [line.split("  ")[0] for line in lines[4:]] == [
        "sweep, whole command",
        *list(store.READINGS)[1:],
        "records.jsonl",
    ]
    assert lines[4].split()[3] == "10"


FLAGS = shlex.split("--widths 4 --log2-rates -3 -2 1 --seeds 1 --steps 1 --iterations 1 --examples 64")


def test_engines(results, here, tmp_path):
    engines.swept(tmp_path / "one", "local", FLAGS)
    found = engines.comparable(tmp_path / "one")
    assert len(found) == 2
    engines.shared(tmp_path / "shared", tmp_path / "one", ["local", "local"], FLAGS)
    assert engines.comparable(tmp_path / "shared") == found


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: all but its cluster runs above")
def test_a_cluster_has_an_address():
    with engines.cluster() as address:
        assert ":" in address


def test_the_comparison(answering, tmp_path, capsys):
    words = "--jpc x --fabricpc x --pcx x --synthetic --sizes 4x3 --parity-sizes 4x3 --settle-sizes 4x3 --pairs 1"
    words += " --bursts 1 --seconds 0 --relaxations descent --equilibrium error:iterations=200,tolerance=1e-8"
    words += " --train-steps 1 --train-rule error:iterations=2 --compile-depths 3 4 --compile-width 4 --compile-pairs 1"
    assert peers.main([*words.split(), "--out", str(tmp_path)]) == 0, capsys.readouterr().out
    (path,) = tmp_path.glob("peers_*.json")
    found = json.loads(path.read_text())
    assert set(found) == {"settings", "rivals", "parity", "steps", "compile", "settle", "about"}
    assert found["rivals"] == list(_processes.RIVALS)
    assert all(found["parity"]["4x3"]["passed"].values())
    assert set(found["steps"]["4x3"]) >= {"ours", "jpc", "fabricpc", "pcx"}
    assert set(found["settle"]) == {"4x3 init", "4x3 trained"}


def test_a_worker_in_a_process_of_its_own():
    assert _processes.once(_processes.ours("names"))["names"] == _cases.nonlinear_relaxations()


def test_throughput(answering, results, monkeypatch):
    monkeypatch.setattr(throughput, "EXAMPLES", 64)
    for name, few in {"RATES": [-10.0], "SEEDS": range(1), "ACTIVITY_RATES": [-4.0, -3.0], "TIMED": 1}.items():
        monkeypatch.setattr(throughput, name, few)
    monkeypatch.setattr(throughput, "IN", 64)
    throughput.main(["--jpc", "x", "--pairs", "1", "--steps", "1", "--widths", "4", "--data", "digits"])
    (path,) = results.glob("throughput_*.log")
    assert "jpc / group" in path.read_text()


def test_epoch_beside_jpc(answering, here, results, monkeypatch):
    shared = epoch.COMMON.replace("--width 128", "--width 4").replace("--batch-size 64", "--batch-size 512")
    monkeypatch.setattr(epoch, "COMMON", shared)
    first = dict(list(epoch.OURS.items())[:1])
    monkeypatch.setattr(epoch, "OURS", first)
    epoch.main(["--jpc", "x", "--pairs", "1", "--depth", "3", "--data", "digits"])
    (path,) = results.glob("epoch_*.log")
    assert "jpc / it" in path.read_text()


def test_the_rules_of_an_epoch_are_taken(capsys):
    for flags in epoch.OURS.values():
        words = f"train {epoch.COMMON} {flags} --depth 3 --seed 0 --data /nowhere/no-such-data.npz".split()
        assert main(words) == 2
        assert "no-such-data" in capsys.readouterr().err


@pytest.mark.parametrize("script", [*(f"run_{name}" for name in _processes.RIVALS), "epoch_jpc"])
def test_rivals_scripts_lack_their_rival_at_most(script, monkeypatch):
    monkeypatch.syspath_prepend(str(_processes.HERE))
    rival, missing = script.removeprefix("run_").removeprefix("epoch_"), None
    try:
        runpy.run_path(str(_processes.HERE / f"{script}.py"))
    except ModuleNotFoundError as error:
        missing = error.name
    if missing == rival:
        pytest.skip(f"{rival} is not installed")
    assert missing is None


class Measured:
    """In place of pytest-benchmark's fixture: once."""

    def __init__(self):
        self.extra_info = {}

    def pedantic(self, call, **_):
        return call()


def test_measured_steps(answering, tmp_path):
    measured, batch = Measured(), _cases.one_batch()
    test_step.test_step(measured, timed, 1e9, batch, TINY, "descent")
    assert measured.extra_info["fraction_of_peak"] > 0
    test_step.test_step_of_a_linear_network(timed, batch, TINY)
    test_step.test_step_of_backprop(timed, batch, TINY)


def test_measured_quality():
    measured = Measured()
    test_quality.test_quality(measured, timed, _cases.one_batch(), TINY, "error")
    assert measured.extra_info["cosine"] > 0.9


def test_measured_processes(answering, tmp_path):
    path, measured = str(tmp_path / "4x3.npz"), Measured()
    run_ours.make_case(argparse.Namespace(size="4x3", out=path, synthetic=True))
    for module, function in ((test_compile, "test_compile"), (test_memory, "test_memory")):
        getattr(module, function)(measured, {TINY: path}.get, TINY, "descent")
    assert {"compile_s", "rss_mb", "first_s"} <= set(measured.extra_info)


@pytest.mark.filterwarnings("ignore::widthwise.UnsettledWarning")
def test_measured_epoch(monkeypatch):
    measured, data = Measured(), ww.data.load("digits", examples=64)
    monkeypatch.setattr(test_epoch, "SIZE", TINY)
    monkeypatch.setattr(ww, "residual_mlp", lambda size, *rest, **named: _cases.residual_mlp(64, *rest, **named))
    test_epoch.test_epoch(measured, data, "descent")
    assert {"epoch_s", "test_accuracy", "settled"} <= set(measured.extra_info)
