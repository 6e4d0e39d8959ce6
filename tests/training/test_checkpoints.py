"""Checkpoints: whole or not at all, refused where they do not belong, and resumed to the last bit."""

import hashlib
import io
import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from training.toys import made, toy, weights

from widthwise.algorithms import Backprop, PredictiveCoding, TargetPropagation, TrainedFeedback
from widthwise.inference import ErrorDescent
from widthwise.training import load_checkpoint, read_header, save_checkpoint, set_aside_if_damaged, train

TREE = {"w": jnp.asarray([[1.5, np.nan], [np.inf, -0.0]]), "n": jnp.asarray(7, jnp.int32)}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, TREE, {"identity": "a", "history": {"loss": [0.5, None]}})
    return path


def test_round_trip(stored):
    tree, header = load_checkpoint(stored, {"w": jnp.zeros((2, 2)), "n": jnp.asarray(0, jnp.int32)})
    assert np.asarray(tree["w"]).tobytes() == np.asarray(TREE["w"]).tobytes()
    assert int(tree["n"]) == 7
    assert tree["n"].dtype == np.int32
    kept = {name: value for name, value in header.items() if name != "sha256"}
    assert kept == {"schema_version": 1, "identity": "a", "history": {"loss": [0.5, None]}}
    assert read_header(stored) == header
    assert os.listdir(stored.parent) == ["checkpoint"]


def test_a_flipped_bit_is_an_error(stored):
    content = bytearray(stored.read_bytes())
    content[-3] ^= 1
    stored.write_bytes(content)
    with refused("checkpoint", stored):
        load_checkpoint(stored, TREE)


def test_truncated_anywhere_is_an_error(stored):
    content = stored.read_bytes()
    for length in (0, 1, 20, content.index(b"\n"), content.index(b"\n") + 1, len(content) - 9, len(content) - 1):
        stored.write_bytes(content[:length])
        with refused("checkpoint", stored):
            load_checkpoint(stored, TREE)


@pytest.mark.parametrize("content", [b"\x80\x04junk\n", b"[1]\n", b"null\n", b"{}\n", b"\xff\xfe\n"])
def test_what_is_no_checkpoint_is_an_error(stored, content):
    stored.write_bytes(content)
    with refused("checkpoint", stored):
        load_checkpoint(stored, TREE)


def test_only_a_damaged_one_is_set_aside(stored):
    content = stored.read_bytes()
    assert set_aside_if_damaged(stored) is None
    assert set_aside_if_damaged(stored.with_name("absent")) is None
    other = content.replace(b'"schema_version": 1', b'"schema_version": 2')
    stored.write_bytes(other)
    assert set_aside_if_damaged(stored) is None
    for damaged in (
        content[:10],
        content[:-1],
        content[:-3] + b"abc",
        b"",
        b"\x80\x04junk\n",
        b"[1]\n",
        b"[" * 100_000,
    ):
        stored.write_bytes(damaged)
        assert "set aside as checkpoint.damaged" in set_aside_if_damaged(stored)
        assert stored.with_name("checkpoint.damaged").read_bytes() == damaged
        assert not stored.exists()


def test_nothing_is_written_through_a_link(stored):
    outside = stored.with_name("outside")
    outside.write_text("mine")
    stored.with_name("checkpoint.part").symlink_to(outside)
    save_checkpoint(stored, TREE, {})
    assert outside.read_text() == "mine"


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_a_pickle_with_the_right_digest_is_not_opened(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = io.BytesIO()
    np.save(body, np.array([Trap()], dtype=object), allow_pickle=True)
    header = {"schema_version": 1, "sha256": hashlib.sha256(body.getvalue()).hexdigest()}
    stored.write_bytes(json.dumps(header).encode() + b"\n" + body.getvalue())
    with refused("checkpoint", stored):
        load_checkpoint(stored, {"w": TREE["w"]})
    assert not (tmp_path / "trapped").exists()


def test_another_version_is_an_error(stored):
    head, body = stored.read_bytes().split(b"\n", 1)
    stored.write_bytes(json.dumps(json.loads(head) | {"schema_version": 2}).encode() + b"\n" + body)
    with refused("checkpoint", stored) as error:
        load_checkpoint(stored, TREE)
    assert "version 2" in error.value.problem


@pytest.mark.parametrize("like", [{"w": jnp.zeros((2, 3)), "n": TREE["n"]}, {"w": jnp.zeros((4,)), "n": TREE["n"]}])
def test_another_shape_is_an_error(stored, like):
    with refused("checkpoint", stored):
        load_checkpoint(stored, like)


def test_a_missing_one_is_an_error(tmp_path):
    with refused("checkpoint", tmp_path / "none"):
        load_checkpoint(tmp_path / "none", TREE)


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_one(stored, monkeypatch, broken):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = stored.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, broken, full)
        with refused("checkpoint", stored):
            save_checkpoint(stored, TREE, {"identity": "b"})
    assert stored.read_bytes() == before
    assert os.listdir(stored.parent) == ["checkpoint"]


class Killed(Exception):
    pass


def cut_after(epochs):
    count = [0]

    def on_progress(_):
        count[0] += 1
        if count[0] == epochs:
            raise Killed

    return on_progress


LEARNED = {"optimizer": "adam", "rate": 0.01, "steps": 2, "pretrain": 7}
# How it is trained, after which epoch of 5 steps it is cut, and how many steps it makes: 12 end within an epoch.
CASES = {
    "momentum": ({}, Backprop, {"momentum": 0.9, "decay": "cosine"}, 2, 12),
    "adam": ({"optimizer": "adam"}, Backprop, {"weight_decay": 0.1}, 1, 10),
    "pc": ({"algorithm": "pc"}, lambda: PredictiveCoding(ErrorDescent(iterations=3)), {}, 1, 10),
    # Feedback that learns with a memory of its own, cut before and resumed after its time alone has passed.
    **{
        learns: (
            {"algorithm": "dtp"},
            lambda learns=learns: TargetPropagation(TrainedFeedback(learns, **LEARNED)),
            {"momentum": 0.9},
            1,
            10,
        )
        for learns in ("reconstruction", "drl", "ldrl")
    },
}


@pytest.mark.parametrize("case", CASES)
def test_resumes_to_the_last_bit(tmp_path, case):
    settings, rule, given, epochs, steps = CASES[case]
    path = tmp_path / "checkpoint"

    def run(checkpoint=None, on_progress=lambda _: None):
        return train(
            made(**settings),
            rule(),
            toy(),
            rate=0.3,
            steps=steps,
            batch_size=8,
            checkpoint=checkpoint,
            identity="one",
            on_progress=on_progress,
            **given,
        )

    whole = run()
    with pytest.raises(Killed):
        run(path, cut_after(epochs))
    halfway = path.read_bytes()
    resumed = run(path)
    assert path.read_bytes() != halfway
    # A finished run is read back, not trained again.
    for other in (resumed, run(path)) if case == "momentum" else (resumed,):
        pairs = zip(weights(whole.network), weights(other.network), strict=True)
        assert all(a.tobytes() == b.tobytes() for a, b in pairs)
        assert other.history.keys() == whole.history.keys()
        for name, values in whole.history.items():
            assert np.array_equal(other.history[name], values, equal_nan=True), name
        assert (other.test_loss, other.test_accuracy) == (whole.test_loss, whole.test_accuracy)


def kept(path, built=None, **given):
    settings = {"rate": 0.3, "steps": 2, "batch_size": 8, "identity": "one"} | given
    return train(built or made(), Backprop(), toy(), checkpoint=path, **settings)


def test_refuses_the_checkpoint_of_another_run(tmp_path):
    path = tmp_path / "checkpoint"
    kept(path)
    before = path.read_bytes()
    with refused("checkpoint", path):
        kept(path, identity="two")
    with refused("checkpoint", path):
        kept(path, made(width=17))
    # From Python, where nobody names the run: what would silently be the stored run's is refused too.
    others = {"rate": 0.2, "seed": 1, "batch_size": 4, "weight_decay": 0.1, "decay": "cosine"}
    for name, value in others.items():
        with refused(name, value):
            kept(path, **{name: value})
    assert path.read_bytes() == before


def test_a_run_may_be_continued_from_the_middle_of_an_epoch(tmp_path):
    # 2 of an epoch's 5 steps, then on to 6: the order of the data goes on where it stopped.
    path = tmp_path / "checkpoint"
    kept(path)
    continued, whole = kept(path, steps=6), kept(tmp_path / "other", steps=6)
    assert continued.history == whole.history
    pairs = zip(weights(whole.network), weights(continued.network), strict=True)
    assert all(a.tobytes() == b.tobytes() for a, b in pairs)
