"""The Python recipes of muPC that start `widthwise`, or read what it wrote: with a stand-in for the program."""

import json
import runpy
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import widthwise as ww


@pytest.fixture
def results(copied):
    """The folder where their committed files are."""
    return copied / "recipes" / "mupc" / "results"


@pytest.fixture
def runs(copied):
    """The folder where what they make goes."""
    return copied / "runs" / "recipes" / "mupc"


def test_accuracy_by_depth(script, program, all_taken, results, runs):
    path, noted = program
    _, out = script("mupc/accuracy_by_depth.py", "--widthwise", path, "--depths", "30", "--activations", "tanh")
    commands = noted()
    # Six rates of three rows, and each row once at depth 30; the second call finds all of them.
    assert len(commands) == len(list((runs / "accuracy_by_depth").glob("*.json"))) == 21
    assert script("mupc/accuracy_by_depth.py", "--depths", "30", "--activations", "tanh")[1] == out
    assert "cosine" in out.splitlines()[-1]
    assert list(results.iterdir()) == []
    # What is committed is read where that is asked for, and says so in every row.
    code, _ = script("mupc/accuracy_by_depth.py", "--stored", "--depths", "30", "--activations", "tanh")
    assert "is not stored: leave --stored out" in code
    shutil.copytree(runs / "accuracy_by_depth", results / "accuracy_by_depth")
    _, stored = script("mupc/accuracy_by_depth.py", "--stored", "--depths", "30", "--activations", "tanh")
    assert stored.splitlines()[-1] == out.splitlines()[-1].replace("run   ", "stored")
    assert len(noted()) == 21
    shutil.rmtree(results / "accuracy_by_depth")
    all_taken(commands)


def test_a_program_that_trains_nothing_gives_no_table(script):
    code, out = script("mupc/accuracy_by_depth.py", "--widthwise", "/bin/false", "--depths", "31", "--rows", "rule")
    assert "trained nothing (exit code 1)" in code
    assert "%" not in out


def test_precision_dial(script, program, all_taken, runs):
    path, noted = program
    _, out = script("mupc/precision_dial.py", "--widthwise", path, "--seeds", "1", "--activations", "tanh")
    assert out.count("times_backprop") == 7
    assert len(json.loads((runs / "precision_dial.json").read_text())["dial"]["tanh"]) == 7
    assert (runs / "precision_dial.png").stat().st_size > 0
    all_taken(noted())


def test_why_accuracy_falls(script, program, all_taken, runs, copied, monkeypatch):
    path, noted = program
    # Its commands name files relative to where it is started.
    monkeypatch.chdir(copied)
    script("mupc/why_accuracy_falls.py", "--widthwise", path)
    assert len((runs / "why_accuracy_falls.log").read_text().splitlines()) == 4
    commands = noted()
    assert [words[0] for words in commands] == ["table", *["train"] * 4]
    all_taken(commands)


def test_energy_parts(copied, float32):
    """One inference of each rule: the control's errors, two of them with less of the update."""
    found = runpy.run_path(str(copied / "recipes/mupc/energy_parts.py"))
    table, key = ww.parameterization("mupc", algorithm="pc"), jax.random.key(0)
    built = ww.residual_mlp(3, 4, 2, depth=3, table=table, key=key)
    batch = ww.Batch(jax.random.normal(key, (2, 3)), jnp.ones((2, 2)))
    rules = [found[name]() for name in ("Whole", "ForwardInputs", "OutputError")]

    @eqx.filter_jit
    def infer(learner, batch):
        return [rule.infer(learner, batch, ww.mse, key=key) for rule in rules]

    whole, ahead, output = infer(ww.Learner(built.network), batch)
    assert jnp.array_equal(whole.errors[0], ahead.errors[0])
    assert jnp.array_equal(ahead.inputs[-1], output.inputs[-1])
    assert not jnp.array_equal(whole.inputs[-1], ahead.inputs[-1])


def test_transfer_table(script, said, results):
    shutil.copy(said / "transfer.json", results / "transfer_small.json")
    _, out = script("mupc/transfer_table.py")
    assert "## transfer_small" in out
    assert "log2 activity rate: loss over best, residual, iterations" in out
    assert "-2: " in out.splitlines()[-1]
