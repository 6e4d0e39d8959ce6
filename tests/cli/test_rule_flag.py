"""`--rule FILE.py:CLASS`: a rule of one's own trains where it is named again, and no stored file ever imports it."""

import json

import pytest

RULE = """
import jax
from widthwise import InputError
from widthwise.algorithms import AbstractAlgorithm, Backprop

with open("imported", "a") as file:
    file.write("x")

class Half(AbstractAlgorithm):
    "Backprop's errors, halved."
    @property
    def name(self):
        return "half"

    def infer(self, learner, batch, loss, *, key):
        found = Backprop().infer(learner, batch, loss, key=key)
        return found._replace(errors=jax.tree.map(lambda error: error / 2, found.errors))

class Asked(Half):
    def infer(self, learner, batch, loss, *, key):
        raise InputError("the rule was asked")

class Needs(Half):
    def __init__(self, size):
        pass
"""
RUN = "--data ok.npz --batch-size 8 --depth 2 --steps 2 "
TRAIN = "train --width 8 --rate 0.2 " + RUN
OWN = "--parameterization own.json "


@pytest.fixture
def own(here, cli, loaded):
    """A rule's file and the table of its own: muP's, as `derive --rule` hands it over."""
    (here / "mine.py").write_text(RULE)
    (here / "broken.py").write_text("class Half(")
    for name, algorithm in (("own", "bp"), ("dtp", "dtp")):
        assert cli(f"table --algorithm {algorithm} --json {name}.json")[0] == 0
    (here / "own.json").write_text(json.dumps(loaded("own.json") | {"algorithm": "own"}))
    return here


def test_half_of_the_error_at_twice_the_rate_is_backprop(own, cli, loaded):
    """SGD's updates are rate times error: both runs are one but for rounding."""
    assert cli(TRAIN + OWN + "--rule mine.py:Half --json half.json")[0] == 0
    assert cli(TRAIN.replace("0.2", "0.1") + OWN + "--algorithm bp --json bp.json")[0] == 0
    half, bp = loaded("half.json"), loaded("bp.json")
    assert half["test_loss"] == pytest.approx(bp["test_loss"], rel=1e-5)
    assert half["spec"]["algorithm"] == "own"
    # At its own rate it is another run: the class was not left out.
    assert cli(TRAIN + OWN + "--algorithm bp --json other.json")[0] == 0
    assert abs(loaded("other.json")["test_loss"] / bp["test_loss"] - 1) > 1e-3


def test_a_run_directory_holds_the_rule_as_text_and_imports_nothing(own, cli, refuse, loaded):
    line = TRAIN + OWN + "--out run"
    assert cli(line + " --rule mine.py:Half")[0] == 0
    stored = loaded("run/spec.json")["spec"]["settings"]["rule"]
    assert stored.split()[0] == "Half"
    (own / "imported").unlink()
    refuse(line, "--parameterization", "own.json")
    assert cli("runs run")[0] == 0
    assert not (own / "imported").exists()
    assert cli(line + " --rule mine.py:Half")[0] == 0
    with (own / "mine.py").open("a") as file:
        file.write("# another text\n")
    assert "settings.rule" in refuse(line + " --rule mine.py:Half", "run directory", "run").problem


def test_a_tuned_file_imports_nothing(own, cli, refuse):
    tuned = {"schema_version": 1, "search": "grid", "log2_rate": -2, "log2_activity_rate": None}
    settings = {"data": "ok.npz", "parameterization": "own.json", "algorithm": "own", "rule": "mine.py:Half"}
    settings["table"] = json.loads((own / "own.json").read_text())
    (own / "tuned.json").write_text(json.dumps(tuned | {"settings": settings}))
    refuse("train --tuned tuned.json --steps 2 --batch-size 8 --width 8", "--parameterization", "own.json")
    assert not (own / "imported").exists()
    # Another algorithm leaves the rule, too.
    assert cli("train --tuned tuned.json --steps 2 --batch-size 8 --width 8 --algorithm bp")[0] == 0


def test_a_sweep_of_a_rule_resumes_by_its_name(own, cli, loaded):
    line = "transfer --widths 8 --log2-rates -3 -2 1 --seeds 1 --out run " + RUN + OWN
    assert cli(line + "--rule mine.py:Half")[0] == 0
    first = loaded("run/transfer.json")
    assert {row["algorithm"] for row in first["curves"]} == {"half"}
    assert cli(line + "--rule mine.py:Half")[0] == 0
    assert loaded("run/transfer.json")["curves"] == first["curves"]
    assert cli(line)[0] == 2


@pytest.mark.parametrize("line", ["check --widths 8 16 --seeds 2 ", "tune --runs 8 --width 8 --seeds 1 " + RUN])
def test_other_verbs_ask_the_rule(own, cli, line):
    code, _, err = cli(line + OWN + "--rule mine.py:Asked")
    assert (code, err) == (2, "widthwise: error: the rule was asked\n")


def test_a_file_says_its_algorithm_and_a_flag_goes_before_it(own, cli, loaded):
    for flag, algorithm in (("", "dtp"), ("--algorithm bp ", "bp")):
        assert cli(TRAIN + "--parameterization dtp.json " + flag + "--json out.json")[0] == 0
        assert loaded("out.json")["spec"]["algorithm"] == algorithm
    # Only target propagation carries targets by a ridge: backprop would refuse the flag.
    assert cli(TRAIN + "--parameterization dtp.json --ridge 0.1")[0] == 0
    assert (
        cli("transfer --widths 8 --log2-rates -3 -3 1 --seeds 1 --json out.json --parameterization dtp.json " + RUN)[0]
        == 0
    )
    assert loaded("out.json")["curves"][0]["algorithm"] == "dtp"


@pytest.mark.parametrize(
    ("line", "setting", "value"),
    [
        (TRAIN + OWN, "--parameterization", "own.json"),
        ("check --widths 8 16 " + OWN, "--parameterization", "own.json"),
        ("transfer " + RUN + OWN, "--parameterization", "own.json"),
        ("tune " + RUN + OWN, "--parameterization", "own.json"),
        (TRAIN + "--algorithm own", "--parameterization", "mup"),
        (TRAIN + "--rule mine.py:Half", "--parameterization", "mup"),
        (TRAIN + OWN + "--rule mine.py:Half --algorithm pc", "--rule", "mine.py:Half"),
        (TRAIN + OWN + "--rule mine.py", "--rule", "mine.py"),
        (TRAIN + OWN + "--rule mine.py:Whole", "--rule", "mine.py:Whole"),
        (TRAIN + OWN + "--rule mine.py:Needs", "--rule", "mine.py:Needs"),
        (TRAIN + OWN + "--rule broken.py:Half", "--rule", "broken.py:Half"),
        (TRAIN + OWN + "--rule mine.py:Half --iterations 3", "--iterations", 3),
        ("transfer " + RUN + OWN + "--rule mine.py:Half --engine processes", "--rule", "mine.py:Half"),
        ("transfer " + RUN + OWN + "--rule mine.py:Half --engine ray", "--rule", "mine.py:Half"),
        ("transfer " + RUN + OWN + "--rule mine.py:Half --engine slurm --out run", "--rule", "mine.py:Half"),
    ],
)  # fmt: skip
def test_is_refused(own, refuse, line, setting, value):
    error = refuse(line, setting, value)
    # What Python said of the file, and which engine.
    for flag, said in (("mine.py:Needs", "TypeError"), ("broken.py", "SyntaxError"), ("processes", "'processes'")):
        assert flag not in line or said in error.problem
