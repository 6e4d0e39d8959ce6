"""muTransfer from the command line: `tune`, then `transfer --verify`, then `train --tuned`."""

import json

import pytest

from widthwise.cli import _transfer
from widthwise.cli._tuned import read_tuned

TUNE = "tune --data ok.npz --batch-size 8 --steps 3 --width 4 --depth 2 --base-width 4 --log2-rates -4 -2 1 "


SETTINGS = {"data": "ok.npz", "batch_size": 8, "steps": 3, "width": 4, "depth": 2, "base_width": 4}
FILE = {"schema_version": 1, "search": "grid", "settings": SETTINGS, "log2_rate": -3.0, "log2_activity_rate": None}


@pytest.fixture
def tuned(here):
    """A file as `tune` writes it, changed as asked."""

    def write(**changes):
        (here / "tuned.json").write_text(json.dumps(FILE | changes))

    return write


def test_settings_go_from_verb_to_verb(cli, loaded, here):
    assert cli(TUNE + "--activation relu --seeds 1 --runs 5 --out tuned --json out.json")[0] == 0
    found = loaded("tuned/tuned.json")
    assert found == loaded("out.json")
    assert found["runs"] <= 5
    assert found["rate"] == 2 ** found["log2_rate"]
    code, out, err = cli("transfer --verify tuned --widths 8 --seeds 1 --json verified.json --out verified")
    verified = loaded("verified.json")
    rows = verified["verification"]["rows"]
    assert err == ""
    assert code == (0 if all(row["passes"] for row in rows) else 1)
    assert [(row["width"], row["depth"]) for row in rows] == [(8, 2)]
    rates = sorted({row["log2_rate"] for row in verified["curves"]})
    assert rates == pytest.approx([found["log2_rate"] + octaves for octaves in (-1, -0.5, 0, 0.5, 1)], abs=1e-12)
    assert verified["settings"]["activation"] == "relu"
    assert verified["settings"]["batch_size"] == 8
    assert verified["settings"]["steps"] == 3
    page = (here / "verified" / "report.html").read_text()
    for text in (out, page):
        assert "the rate tuned at width 4, depth 2" in text
    assert "nothing to compare" not in out
    assert cli("train --tuned tuned --width 8 --json trained.json")[0] == 0
    spec = loaded("trained.json")["spec"]
    assert (spec["rate"], spec["activation"], spec["steps"], spec["width"]) == (found["rate"], "relu", 3, 8)
    # The command line goes before what was tuned: a duration replaces either.
    settings = read_tuned("tuned").beneath({"epochs": 1, "width": 8})
    assert ("steps" in settings, settings["epochs"], settings["width"]) == (False, 1, 8)


def test_the_tuned_table_is_the_files(cli, here):
    assert cli("table --parameterization ntp --base-width 4 --json own.json")[0] == 0
    line = TUNE.replace("--base-width 4 ", "--parameterization own.json ")
    assert cli(line + "--seeds 1 --runs 3 --out tuned")[0] == 0
    table = json.loads((here / "own.json").read_text())
    (here / "own.json").unlink()
    # The file has gone; its content is in the tuned settings.
    assert cli("train --tuned tuned --width 8")[0] == 0
    assert read_tuned("tuned").settings["table"] == table
    assert "table" not in read_tuned("tuned").beneath({"parameterization": "mup"})


def test_the_tuned_activity_rate_is_used(cli, loaded):
    line = TUNE + "--algorithm pc --iterations 2 --log2-activity-rates -2 -1 1 --seeds 1 --runs 6 --out tuned"
    assert cli(line)[0] == 0
    found = loaded("tuned/tuned.json")
    assert cli("train --tuned tuned --width 8 --json trained.json")[0] == 0
    assert loaded("trained.json")["spec"]["activity_rate"] == 2 ** found["log2_activity_rate"]


def test_the_same_command_goes_on(cli, loaded, here):
    line = TUNE + "--seeds 1 --runs 5 --out tuned"
    assert cli(line)[0] == 0
    records, first = (here / "tuned" / "records.jsonl").read_bytes(), loaded("tuned/tuned.json")
    assert cli(line)[0] == 0
    assert (here / "tuned" / "records.jsonl").read_bytes() == records
    again = loaded("tuned/tuned.json")
    assert {name for name in again if again[name] != first[name]} <= {"created"}
    code, _, err = cli(line + " --search grid")
    assert code == 2
    assert "search" in err


@pytest.mark.parametrize(("passes", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_is_the_verdict(cli, tuned, monkeypatch, passes, code):
    fixed = {"tuned_at": "width 4, depth 2", "rows": [{"passes": passes}]}
    monkeypatch.setattr(_transfer, "_verified", lambda curves, tuned: fixed)
    tuned()
    assert cli("transfer --verify tuned.json --widths 8 --seeds 1")[0] == code


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 2}, "schema version 1 (found 2)"),
        ({"log2_rate": "fast"}, "log2_rate is 'fast'"),
        ({"log2_rate": 1e9}, "log2_rate is 1000000000.0"),
        ({"log2_rate": None}, "log2_rate is None"),
        ({"log2_activity_rate": True}, "log2_activity_rate is True"),
        ({"settings": None}, "lacks its settings"),
        ({"settings": {"widht": 3}}, "did you mean 'width'"),
        ({"settings": {"width": "wide"}}, "width is 'wide'"),
    ],
)
def test_a_damaged_file_is_one_line(cli, tuned, changes, said):
    tuned(**changes)
    for line in ("train --tuned tuned.json --width 8", "transfer --verify tuned.json --widths 8"):
        code, out, err = cli(line)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert said in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train --tuned nowhere.json", "nowhere.json: No such file"),
        ("train --tuned broken.json", "broken.json is not JSON"),
        ("train --tuned list.json", "list.json is no result of `widthwise tune`"),
        ("train --tuned empty", "tuned.json: No such file"),
        ("train --data ok.npz", "--rate is required: a number, or --tuned FILE"),
        ("transfer --verify tuned.json", "--verify tuned.json: name the size"),
        ("transfer --verify tuned.json --widths 8 --log2-rates -2 0 1", "--log2-rates and --verify"),
        ("transfer --verify tuned.json --widths 8 --log2-activity-rates -2 0 1", "--log2-activity-rates and --verify"),
        (TUNE + "--runs 2", "runs 2, seeds 3"),
        (TUNE + "--runs 8", "the grid has 3 points and the budget is for 2"),
        (TUNE + "--search halvin", "did you mean 'halving'"),
        (TUNE + "--log2-rates 2 1 1", "2.0 1.0 1.0"),
    ],
)
def test_bad_input_is_one_line(cli, line, said):
    code, out, err = cli(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
