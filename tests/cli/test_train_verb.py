"""`widthwise train`: what it reports equals the Python API's answer, theory's, and that of a run nobody stopped."""

import json

import pytest

import widthwise as ww
from widthwise.cli import main
from widthwise.training import save_checkpoint, streams

TRAIN = "train --data ok.npz --batch-size 8 --width 8 --steps 4 --rate 0.1 --json out.json "
TIMES = ("train_seconds", "compile_seconds")


def untimed(result):
    """A result without what a clock decides."""
    return {name: value for name, value in result.items() if name not in TIMES}


def api(table, data, **settings):
    """The same training from Python: 6 inputs, 3 classes, one hidden layer between two of width 8."""
    built = ww.mlp(6, 8, 3, depth=3, activation="tanh", table=table, key=streams(0).init, dtype="float32")
    return ww.train(built, ww.Backprop(), data, **({"rate": 0.1, "steps": 4, "batch_size": 8} | settings))


def test_base_width(cli, loaded):
    data, found = ww.data.load("ok.npz"), {}
    for base in (8, 64):
        assert cli(TRAIN + f"--base-width {base}")[0] == 0
        found[base] = loaded("out.json")
        expected = api(ww.parameterization("mup", base_width=base), data)
        assert found[base]["test_loss"] == expected.test_loss
        assert found[base]["test_accuracy"] == expected.test_accuracy
        assert found[base]["spec"]["base_width"] == base
    assert found[8]["test_loss"] != found[64]["test_loss"]


def test_image_size(cli, loaded):
    line = "train --data digits --examples 64 --width 8 --depth 2 --steps 2 --rate 0.1 --image-size 4 --json out.json"
    assert cli(line)[0] == 0
    # 4 x 4 pixels to 8 units to 10 classes.
    assert loaded("out.json")["parameters"] == 16 * 8 + 8 * 10
    assert loaded("out.json")["spec"]["image_size"] == 4


def test_validation_trains_on_the_rest_and_judges_what_was_held_out(cli, loaded):
    assert cli(TRAIN + "--validation 10 --seed 0 --base-width 8")[0] == 0
    result = loaded("out.json")
    final, choosing = ww.data.load("ok.npz").with_validation(10)
    assert (len(final.x_train), len(choosing.x_test)) == (30, 10)
    table = ww.parameterization("mup", base_width=8)
    for name, judged in (("test_accuracy", final), ("validation_accuracy", choosing)):
        assert result[name] == api(table, judged).test_accuracy, name


def test_small_output_precision_is_backprop_at_a_rate_divided_by_it(cli, loaded):
    # theory.md A2: with gamma' -> 0 the errors below the output are gamma' times backprop's, up to relative order
    # gamma' ||C||; the output layer's own error is gamma' times it too. gamma' = 2^-20 is exact in the rate's product.
    line = TRAIN + "--dtype float64 --base-width 8 --steps 20 "
    losses = []
    for extra in ("", f"--algorithm pc --output-precision {2**-20} --rate {0.1 * 2**20}", "--rate 1e-9"):
        assert cli(line + extra)[0] == 0
        losses.append(loaded("out.json")["test_loss"])
    backprop, coding, untrained = losses
    # Twenty steps add up twenty errors of relative order 1e-6.
    assert coding == pytest.approx(backprop, rel=1e-4)
    assert abs(untrained - backprop) > 0.05 * backprop


@pytest.mark.parametrize("algorithm", ["bp", "pc"])
def test_a_rate_far_too_large_is_a_result_too(cli, loaded, algorithm):
    code, out, err = cli(TRAIN + f"--algorithm {algorithm} --activation linear --rate 1e6 --steps 20")
    assert code == 0
    assert err.startswith("widthwise: warning: the loss is not finite from step ")
    assert err.count("\n") == 1
    assert "Traceback" not in out
    result = loaded("out.json")
    # The loss of step n follows n - 1 updates: the first is finite.
    assert 2 <= result["diverged_at_step"] <= 20
    # Nothing was learned, so nothing is told as if it were: null, and no finite loss below that of zero, 1/2.
    assert result["test_loss"] is None
    assert result["settled"] is None if algorithm == "bp" else result["settled"]["residual_last"] is None


@pytest.mark.parametrize("network", ["mlp", "residual_mlp"])
def test_the_smallest_network_and_batch(cli, loaded, network):
    assert cli(TRAIN + f"--network {network} --width 1 --depth 4 --batch-size 1 --steps 1")[0] == 0
    assert loaded("out.json")["parameters"] == 6 + 1 + 1 + 3


def test_interrupted_it_trains_the_rest_and_no_more(cli, loaded, monkeypatch):
    line = TRAIN.replace("--steps 4", "--epochs 6") + "--algorithm pc --iterations 2 --out "
    told = []

    def save(*rest):
        save_checkpoint(*rest)
        told.append(rest)
        if len(told) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("widthwise.training._train.save_checkpoint", save)
    code, out, err = cli(line + "run")
    assert (code, out) == (130, "")
    assert "resumes" in err
    assert cli(line + "run")[0] == 0
    # A checkpoint an epoch: two before the interruption, the other four after it.
    assert len(told) == 6
    resumed = loaded("out.json")
    assert cli(line + "whole")[0] == 0
    assert untimed(resumed) == untimed(loaded("out.json"))
    # The same command once more finds it finished.
    told.clear()
    assert cli(line + "run")[0] == 0
    assert told == []
    assert untimed(loaded("out.json")) == untimed(resumed)


def test_results_go_to_stdout_and_nothing_else_does(here, capsys, float32):
    assert main(TRAIN.split()) == 0
    out, err = capsys.readouterr()
    names = [line.split()[0] for line in out.splitlines()]
    assert names == [name for name in json.loads((here / "out.json").read_text()) if name != "spec"]
    assert err == ""


def test_networks_of_images_train_as_from_python(cli, loaded):
    """Flags reach the builder: the same numbers as the Python API's, for every kind of network."""
    data = ww.data.digits()
    shared = {"table": ww.parameterization("mup"), "key": streams(0).init, "activation": "relu", "dtype": "float32"}
    for flags, built in (
        (
            "cnn --width 6 --pool avg --stride 1 --readout gap --norm batch",
            ww.cnn((8, 8, 1), 6, 10, pool="avg", stride=1, readout="gap", norm="batch", **shared),
        ),
        ("vgg --channels 4,M,8 --width 2 --pool avg", ww.vgg((8, 8, 1), [2, "M", 4], 10, pool="avg", **shared)),
        ("residual_cnn --width 3 --depth 4 --bias", ww.residual_cnn((8, 8, 1), 3, 10, depth=4, bias=True, **shared)),
    ):
        command = f"train --data digits --steps 3 --rate 0.01 --activation relu --json out.json --network {flags}"
        assert cli(command)[0] == 0
        expected = ww.train(built, ww.Backprop(), data, rate=0.01, steps=3)
        assert loaded("out.json")["test_loss"] == expected.test_loss
