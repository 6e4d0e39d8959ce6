"""Every verb on small data: exit codes, and JSON as the issue specifies it."""

import json
from fractions import Fraction

import pytest

from widthwise.cli import VERBS, main

TRAIN = "train --data ok.npz --batch-size 8 --width 8 --steps 4 --base-width 4 "
SWEEP = "transfer --data ok.npz --batch-size 8 --steps 2 --log2-rates -3 -1 1 --base-width 4 "
RESULT = {
    "test_accuracy",
    "test_loss",
    "diverged_at_step",
    "train_seconds",
    "compile_seconds",
    "parameters",
    "cosine_to_backprop",
    "validation_accuracy",
    "settled",
    "spec",
}
SETTLED = {
    "residual_last",
    "examples_settled",
    "residual_median",
    "residual_max",
    "iterations_median",
    "fraction_converged",
    "curvature",
}


def test_train_backprop(cli, loaded):
    code, out, err = cli(TRAIN + "--rate 0.1 --json out.json --bias")
    assert (code, err) == (0, "")
    result = loaded("out.json")
    assert set(result) == RESULT
    assert result["settled"] is None
    assert result["validation_accuracy"] is None
    assert result["cosine_to_backprop"] == {"all": None, "layer_min": None}
    assert result["parameters"] == 6 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3
    assert 0 <= result["test_accuracy"] <= 1
    assert result["train_seconds"] > 0
    assert result["compile_seconds"] > 0
    spec = result["spec"]
    assert (spec["width"], spec["rate"], spec["seed"], spec["steps"]) == (8, 0.1, 0, 4)
    assert "test_accuracy" in out


def test_train_predictive_coding(cli, loaded):
    line = TRAIN + "--rate 0.1 --algorithm pc --relaxation error --iterations 3 --tolerance 0.5 --validation 9 "
    code, _, err = cli(line + "--gamma-bar -1/2 --json out.json --network residual_mlp --parameterization mupc")
    assert (code, err) == (0, "")
    result = loaded("out.json")
    assert set(result) == RESULT
    settled = result["settled"]
    assert set(settled) == SETTLED
    assert 0 < settled["residual_median"] <= settled["residual_max"]
    assert 1 <= settled["iterations_median"] <= 3
    assert 0 <= settled["fraction_converged"] <= 1
    assert settled["curvature"] > 0
    # Nine held out, of which a whole number is right.
    assert result["validation_accuracy"] * 9 == pytest.approx(round(result["validation_accuracy"] * 9), abs=1e-5)
    cosine = result["cosine_to_backprop"]
    assert -1 <= cosine["layer_min"] <= cosine["all"] <= 1


def test_a_diverged_training_is_a_result_with_nulls(cli, loaded):
    code, _, err = cli(TRAIN.replace("4", "9", 1) + "--activation linear --rate 1e30 --json out.json")
    assert code == 0
    assert err.startswith("widthwise: warning: the loss is not finite from step ")
    result = loaded("out.json")
    assert result["test_loss"] is None
    assert set(result) == RESULT


def test_transfer(cli, refuse, loaded, here):
    line = SWEEP + "--parameterization sp mup --widths 8 12 --seeds 2 --out run --json copy.json"
    code, out, err = cli(line)
    assert (code, err) == (0, "")
    payload = loaded("run/transfer.json")
    assert payload == loaded("copy.json")
    groups = [(row["parameterization"], row["width"]) for row in payload["curves"]]
    assert groups == [(name, width) for name in ("sp", "mup") for width in (8, 12) for _ in range(6)]
    curve = (
        "algorithm parameterization optimizer width depth gamma_bar output_precision log2_rate log2_activity_rate "
        "tuned seed first_loss final_loss train_accuracy test_loss test_accuracy diverged residual_median "
        "iterations_median"
    )
    assert all(set(row) == set(curve.split()) for row in payload["curves"])
    summary = (
        "sizes optimum_log2 optimum_se at_cliff at_edge largest_stable_log2 drift_octaves_per_doubling drift_se "
        "stable_drift cost cost_se verdict transfers algorithm parameterization optimizer axis"
    )
    assert all(set(row) >= set(summary.split()) for row in payload["summary"])
    assert [row["parameterization"] for row in payload["summary"]] == ["sp", "mup"]
    assert payload["command"] == "widthwise " + line
    assert "bp, sp, sgd, by width" in out
    assert sorted(path.name for path in (here / "run").iterdir()) == [
        "lock",
        "records.jsonl",
        "report.html",
        "spec.json",
        "transfer.json",
    ]
    records = (here / "run" / "records.jsonl").read_bytes()
    assert cli(line)[0] == 0
    assert (here / "run" / "records.jsonl").read_bytes() == records
    assert loaded("run/transfer.json")["curves"] == payload["curves"]
    # The same directory for another sweep: refused, naming the setting that differs.
    assert "steps (2 " in refuse(line.replace("--steps 2", "--steps 3"), "run directory", "run").problem
    assert (here / "run" / "records.jsonl").read_bytes() == records
    (here / "run" / "report.html").unlink()
    code, out, _ = cli("report run --json verdicts.json")
    assert code == 0
    assert (here / "run" / "report.html").exists()
    assert [verdict["transfers"] for verdict in loaded("verdicts.json")] == [False, False]
    assert "transfer" in refuse(TRAIN + "--rate 0.1 --out run", "run directory", "run").problem


def test_transfer_over_algorithms(cli, loaded):
    # Settings of predictive coding may stand beside bp and pc; they are the latter's.
    rest = "--network residual_mlp --parameterization mupc --depth 3 --width 6 --algorithm bp pc --iterations 20"
    code, _, err = cli(SWEEP.replace("-3 -1 1", "-2 -2 1") + rest + " --gamma-bar -1 --seeds 1 --json out.json")
    assert (code, err) == (0, "")
    payload = loaded("out.json")
    assert [(row["algorithm"], row["depth"], row["width"]) for row in payload["curves"]] == [("bp", 3, 6), ("pc", 3, 6)]
    assert [row["algorithm"] for row in payload["summary"]] == ["bp", "pc"]
    assert payload["curves"][0]["residual_median"] is None
    assert payload["curves"][1]["residual_median"] > 0


def test_check_fails_with_exit_code_one(cli, loaded):
    # A network that does not move passes nothing, however right its table.
    code, out, err = cli("check --widths 8 16 --seeds 2 --rate 1e-4 --richness 1/4 --json out.json")
    assert (code, err) == (1, "")
    assert "FAILED" in out
    result = loaded("out.json")
    assert {"lines", "rate", "output_precision", "passed"} <= set(result)
    assert result["passed"] is False
    line = {"quantity", "layer", "slope", "se", "expected", "predicted", "movement_min", "movement_max", "passed"} | {
        "uncertain"
    }
    assert all(set(row) == line for row in result["lines"])
    states = [row for row in result["lines"] if row["quantity"] in ("movement", "output")]
    assert [row["expected"] for row in states] == [-0.25, -0.25, 0.0]
    assert not any(row["passed"] for row in states)


def test_check_beside_another_table_and_after_several_times(cli, loaded, here):
    """Each table is what a check of its own finds, and the first alone decides; times share the first one's rate."""
    words = "check --widths 8 16 --seeds 2 --base-width 8 --json out.json"
    assert cli(words + " --against sp")[0] == cli(words)[0]
    alone = [cli(words + f" --parameterization {name}") and loaded("out.json")["lines"] for name in ("mup", "sp")]
    cli(words + " --against sp --out both.svg")
    both = loaded("out.json")
    assert list(both) == ["mup", "sp"]
    assert [check["lines"] for check in both.values()] == alone
    words = (here / "both.svg").read_text().split('aria-label="')[1].split('"')[0]
    for title, check in both.items():
        failed = [
            f"{one['quantity']} {one['layer']}" for one in check["lines"] if not (one["passed"] or one["uncertain"])
        ]
        verdict = "passes" if check["passed"] else f"fails in {', '.join(failed)}" if failed else "not decided"
        assert f"{title}: {verdict}." in words
    assert cli("check --widths 8 16 --seeds 2 --times 1 3 --json out.json")[1].count("base rate") == 2
    times = loaded("out.json")
    assert [(check["steps"], title) for title, check in times.items()] == [(1, "mup, steps: 1"), (3, "mup, steps: 3")]
    assert len({check["rate"] for check in times.values()}) == 1


@pytest.mark.parametrize("spelling", ["--gamma-bar -1/2", "--gamma-bar -0.5", "--gamma-bar=-1/2", "--gamma-bar=-0.5"])
def test_table_and_negative_fractions(cli, loaded, spelling):
    code, out, err = cli(f"table --algorithm pc --parameterization mup {spelling} --json t.json")
    assert (code, err) == (0, "")
    table = loaded("t.json")
    assert table["gamma_bar"] == "-1/2"
    # theory.md: k = min(-gamma_bar, 2r) = 1/2, c = (-1 + k, k, 1 + k).
    found = [table["roles"][role]["c"] for role in ("input", "hidden", "output")]
    assert [Fraction(c) for c in found] == [Fraction(-1, 2), Fraction(1, 2), Fraction(3, 2)]
    assert "gamma_bar -1/2" in out


def test_table_schema(cli, loaded):
    cli("table --algorithm pc --parameterization mup --optimizer sgd --gamma-bar -1 --gauge stp --json t.json")
    table = loaded("t.json")
    top = "schema_version name algorithm optimizer richness gamma_bar base gauge output_loss precision roles"
    assert set(table) >= set(top.split())
    assert {"input", "hidden", "output", "hidden_bias", "output_bias"} <= set(table["roles"])
    letters = {letter + suffix for letter in "abcgd" for suffix in ("", "_depth")}
    for row in table["roles"].values():
        assert set(row) >= letters
        assert all(str(Fraction(row[letter])) == row[letter] for letter in letters)
        for power in row["powers"].values():
            assert {"fan_in", "fan_out", "width", "depth"} <= set(power)
    # gamma_L = gamma' M^1.
    assert table["precision"]["output"]["width"] == "1"
    assert [table["roles"][role]["c"] for role in ("input", "hidden", "output")] == ["0", "1", "2"]


def test_a_saved_table_is_a_parameterization(cli, loaded, here):
    assert cli("table --parameterization ntp --json mine.json")[0] == 0
    base = TRAIN.replace("--base-width 4 ", "")
    assert cli(base + "--rate 0.1 --parameterization mine.json --json a.json")[0] == 0
    assert cli(base + "--rate 0.1 --parameterization ntp --json b.json")[0] == 0
    assert loaded("a.json")["test_loss"] == loaded("b.json")["test_loss"]
    # An edited table changes the training.
    table = loaded("mine.json")
    table["roles"]["hidden"] |= {"c": "-1"}
    del table["roles"]["hidden"]["powers"]
    (here / "mine.json").write_text(json.dumps(table))
    assert cli(base + "--rate 0.1 --parameterization mine.json --json c.json")[0] == 0
    assert loaded("c.json")["test_loss"] != loaded("b.json")["test_loss"]


def test_doctor(cli, loaded):
    code, out, _ = cli("doctor --json d.json")
    assert code == 0
    assert loaded("d.json")["computation"]["works"] is True
    assert list(loaded("d.json")["data"]) == ["digits", "fashion_mnist", "mnist", "cifar10", "cifar100"]
    assert "jax" in out


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: widthwise {verb}")
    assert "--json" in out
    assert err == ""


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help(arguments, capsys):
    assert main(arguments) == 0
    out, _ = capsys.readouterr()
    assert all(verb in out for verb in VERBS)


def test_version(capsys):
    import widthwise

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"widthwise {widthwise.__version__}"
