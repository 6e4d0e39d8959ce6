"""Engines: the same records whoever trains the groups, and a sweep that one began another ends."""

import importlib.util
import json
import logging
import os
import shutil
import signal
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from training.toys import toy

from widthwise.algorithms import Batch
from widthwise.cli import main
from widthwise.config import checked
from widthwise.data import load
from widthwise.sweep import Member, Training
from widthwise.sweep.engines import _processes, _slurm, group_of, task_of
from widthwise.sweep.engines._flops import flops
from widthwise.sweep.engines._task import balanced, largest_first, train_task
from widthwise.training import make_step, optimizer, start

SWEEP = "transfer --data toy.npz --widths 4 8 --depth 2 --batch-size 8 --steps 3 --log2-rates -8 -6 1 --seeds 2 "
# Of one run, in one place, at one time.
OF_THE_PLACE = {"host": None, "engine": None, "finished": None}


def save(path, data):
    x, y = ((data.x_train - 128) / 75).astype(np.float32), data.y_train
    np.savez(path, x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What this process finds, in a folder of its own, and made once."""
    home = tmp_path_factory.mktemp("whole")
    save(home / "toy.npz", toy(43))
    return home / "whole"


@pytest.fixture
def here(tmp_path, monkeypatch, float32):
    """A folder with data, and workers that compile as the tests do."""
    save(tmp_path / "toy.npz", toy(43))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("WIDTHWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def lines(path):
    return (path / "records.jsonl").read_bytes().splitlines(keepends=True)


def comparable(path):
    """Records by hash, without times, host and engine."""
    found = [json.loads(line) for line in lines(path)]
    return {one["hash"]: one | OF_THE_PLACE | {"run": one["run"] | {"seconds": 0}} for one in found}


def needs_submitit():
    """Found, not imported: the library imports it in its own way."""
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("the extra slurm is not installed")


def check_that_it_ends_what_was_begun(here, whole, engine):
    """`engine` ends a sweep whose first group this process has stored, with this process's own records."""
    if not whole.exists():
        assert main(f"{SWEEP} --out {whole}".split()) == 0
    begun = lines(whole)[:6]
    (here / "begun").mkdir()
    shutil.copy(whole / "spec.json", here / "begun")
    (here / "begun" / "records.jsonl").write_bytes(b"".join(begun))
    assert main(f"{SWEEP} --out begun --engine {engine}".split()) == 0
    assert lines(here / "begun")[:6] == begun
    assert len(lines(here / "begun")) == 12
    assert comparable(here / "begun") == comparable(whole)
    engines = [json.loads(line)["engine"] for line in lines(here / "begun")]
    assert engines == ["local"] * 6 + [engine.split()[0]] * 6
    payloads = [json.loads((home / "transfer.json").read_text()) for home in (whole, here / "begun")]
    assert all(row["final_loss"] is not None for row in payloads[0]["curves"])
    assert payloads[0]["curves"] == payloads[1]["curves"]
    assert payloads[0]["summary"] == payloads[1]["summary"]


def test_processes_end_what_this_one_began(here, whole):
    check_that_it_ends_what_was_begun(here, whole, "processes --workers 2")


def test_jobs_end_what_this_process_began(here, whole):
    needs_submitit()
    check_that_it_ends_what_was_begun(here, whole, "slurm --workers 1")
    assert list((here / "begun" / "parts").iterdir()) == []
    assert list((here / "cache" / "jobs").iterdir()) == []


class Kept(logging.Handler):
    """A handler that knows whether anyone closed it."""

    closed = False

    def close(self):
        self.closed = True
        super().close()


def test_submitit_closes_nobody_s_log(monkeypatch):
    needs_submitit()
    for name in [name for name in sys.modules if name.partition(".")[0] == "submitit"]:
        monkeypatch.delitem(sys.modules, name)
    handler = Kept()
    _slurm._imported()
    assert not handler.closed
    assert "SUBMITIT_LOG_LEVEL" not in os.environ


def test_ray_ends_what_this_process_began(here, whole):
    pytest.importorskip("ray", reason="the extra ray is not installed; `make faults` installs it")
    check_that_it_ends_what_was_begun(here, whole, "ray")


def tasks(*costs):
    run = checked({"width": 4}).model_dump()
    member = (Member(0, 0.0),)
    return [_processes.Task(index, run, "mup", "", {}, cost, member) for index, cost in enumerate(costs)]


def test_the_largest_group_starts_first():
    found = tasks(1.0, 3.0, 2.0, 3.0)
    assert [task.group for task in largest_first(found)] == [1, 3, 2, 0]
    # Of two runs of one group and one of another, of three times the work.
    twice = found[0]._replace(members=(Member(0, 0.0), Member(1, 0.0)))
    assert [task.group for task in largest_first([twice, found[2]._replace(run_cost=3.0)])] == [2, 0]
    assert twice.cost == 2.0


def test_shares_are_balanced():
    # By hand: 8 to the first share, 7 to the second, 6 to it (7 < 8), 5 to the first, 4 to either of 13.
    shares = balanced(tasks(4.0, 5.0, 6.0, 7.0, 8.0), 2)
    assert [sum(task.cost for task in share) for share in shares] == [17.0, 13.0]
    assert balanced(tasks(1.0), 4) == [tasks(1.0)]


def group(**settings):
    run = checked({"data": "digits", "network": "mlp", "depth": 3, "bias": False} | settings)
    return group_of(run, run.parameterization, toy(40), None)


@pytest.mark.parametrize(("algorithm", "settings"), [("bp", {}), ("pc", {"relaxation": "error", "iterations": 4})])
def test_work_is_what_the_compiler_counts(algorithm, settings):
    # Of one training step by XLA's own count, at a width where products are all that counts. It counts a loop's body
    # once: each turn is counted apart, by the difference that unrolling would make.
    one = group(algorithm=algorithm, width=256, **settings)
    training = Training(steps=1, batch_size=8)
    built = one.build(jax.random.key(0))
    transform = optimizer(built)
    learner = one.algorithm.init(built, key=jax.random.key(1))
    state = start(learner, transform, jnp.asarray(0.1))
    step = make_step(one.algorithm, transform, training.loss)
    batch = Batch(jnp.zeros((8, 6)), jnp.zeros((8, 3)))
    counted = jax.jit(step).lower(state, batch, jax.random.key(0)).cost_analysis()["flops"]
    expected = flops(one, training, 1, 40)
    if algorithm == "bp":
        assert 0.5 < expected / counted < 2
    else:
        assert expected == pytest.approx(flops(group(algorithm="bp", width=256), training, 1, 40) * 11 / 3)


def test_a_group_of_images_reads_images():
    data = load("digits")
    run = checked({"data": "digits", "network": "cnn", "width": 4, "depth": 2})
    built = eqx.filter_eval_shape(group_of(run, "sp", data, None).build, jax.random.key(0))
    assert built.network.image_shape == data.image_shape == (8, 8, 1)


def test_work_grows_with_what_is_run():
    training = Training(steps=5, batch_size=8)
    base = flops(group(width=16), training, 3, 40)
    # Entries of the matrices: 6 x 16, 16 x 16 and 16 x 3; no biases counted.
    assert base == 2 * (6 * 16 + 16 * 16 + 16 * 3) * 8 * 5 * 3 * 3
    assert flops(group(width=16, bias=True), training, 3, 40) == base
    assert flops(group(width=16), Training(steps=None, epochs=2, batch_size=8), 3, 40) == 2 * base


def test_other_data_are_refused_where_a_group_is_trained(here):
    run = checked({"data": "toy.npz", "width": 4, "depth": 2, "batch_size": 8, "steps": 2})
    task = task_of(0, run, group(width=4), load("toy.npz"), {})._replace(members=(Member(0, 0.0),))
    assert task.run["data"] == str(here / "toy.npz")
    save(here / "toy.npz", toy(44))
    with refused("data", str(here / "toy.npz")):
        train_task(task, "processes")


def test_how_a_process_died_is_told_as_shells_do():
    assert "exit code 137" in _processes._death(-signal.SIGKILL)
    assert "fewer --workers" in _processes._death(-signal.SIGKILL)
    assert "exit code 139" in _processes._death(-signal.SIGSEGV)
    assert "exit code 1;" in _processes._death(1)


PARTS = {
    "no JSON": b"{",
    "empty": b"",
    "another list": b"[1, 2]",
    "runs of other names": b'[{"hash": "a", "run": {}}, {"hash": "b", "run": {}}]',
    "no runs": b'[{"hash": "NAME", "run": 3}]',
    "code": b"!!python/object/apply:os.system ['touch stolen']",
    "a pickle": b"cos\nsystem\n(S'touch stolen'\ntR.",
}


@pytest.mark.parametrize("content", PARTS.values(), ids=PARTS)
def test_a_part_that_no_job_wrote_is_not_believed(here, content):
    (task,) = tasks(1.0)
    path = _slurm._part(here, task)
    path.write_bytes(content.replace(b"NAME", task.names()[0].encode()))
    assert list(_slurm._collected(here, {0: task}, [], lambda rows: None)) == []
    assert not path.exists()
    assert not (here / "stolen").exists()


def test_a_part_is_collected_once_and_a_link_never(here):
    (task,) = tasks(1.0)
    path, good = _slurm._part(here, task), [{"hash": task.names()[0], "run": {"final_loss": 1.0}}]
    path.write_text(json.dumps(good))
    waiting = {0: task}
    assert list(_slurm._collected(here, waiting, [], lambda rows: None)) == [(0, good)]
    assert (waiting, path.exists()) == ({}, False)
    (here / "outside.json").write_text(json.dumps(good))
    os.symlink(here / "outside.json", path)
    assert list(_slurm._collected(here, {0: task}, [], lambda rows: None)) == []
    assert (os.path.lexists(path), (here / "outside.json").exists()) == (False, True)


def test_a_job_that_refused_says_why(here):
    (task,) = tasks(1.0)
    _slurm._part(here, task).write_text('{"refused": "other data"}')
    failures = []
    assert list(_slurm._collected(here, {0: task}, failures, lambda rows: None)) == []
    assert failures == [(task, "other data")]
