"""muTransfer from the command line: `tune`, then `transfer --verify`, then `train --tuned`."""

import json

import pytest

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
    assert cli("train --tuned tuned --epochs 1 --width 6 --json trained.json")[0] == 0
    spec = loaded("trained.json")["spec"]
    assert (spec.get("steps"), spec["epochs"], spec["width"]) == (None, 1, 6)


def test_the_tuned_table_is_the_files(cli, loaded, here):
    assert cli("table --parameterization ntp --base-width 4 --json own.json")[0] == 0
    line = TUNE.replace("--base-width 4 ", "--parameterization own.json ")
    assert cli(line + "--seeds 1 --runs 3 --out tuned")[0] == 0
    table = json.loads((here / "own.json").read_text())
    (here / "own.json").unlink()
    # The file has gone; its content is in the tuned settings.
    assert cli("train --tuned tuned --width 8 --json trained.json")[0] == 0
    assert loaded("tuned/tuned.json")["settings"]["table"] == table
    # Another parameterization leaves the file's table.
    own = loaded("trained.json")["test_loss"]
    assert cli("train --tuned tuned --width 8 --parameterization mup --json trained.json")[0] == 0
    assert loaded("trained.json")["test_loss"] != own


def test_the_tuned_activity_rate_is_used(cli, loaded):
    line = TUNE + "--algorithm pc --iterations 2 --log2-activity-rates -2 -1 1 --seeds 1 --runs 6 --out tuned"
    assert cli(line)[0] == 0
    found = loaded("tuned/tuned.json")
    assert cli("train --tuned tuned --width 8 --json trained.json")[0] == 0
    assert loaded("trained.json")["spec"]["activity_rate"] == 2 ** found["log2_activity_rate"]


def test_the_same_command_goes_on(cli, refuse, loaded, here):
    line = TUNE + "--seeds 1 --runs 5 --out tuned"
    assert cli(line)[0] == 0
    records, first = (here / "tuned" / "records.jsonl").read_bytes(), loaded("tuned/tuned.json")
    assert cli(line)[0] == 0
    assert (here / "tuned" / "records.jsonl").read_bytes() == records
    again = loaded("tuned/tuned.json")
    assert {name for name in again if again[name] != first[name]} <= {"created"}
    assert "search" in refuse(line + " --search grid", "run directory", "tuned").problem


@pytest.mark.parametrize(("passes", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_is_the_verdict(cli, tuned, monkeypatch, passes, code):
    fixed = {"tuned_at": "width 4, depth 2", "rows": [{"passes": passes}]}
    monkeypatch.setattr("widthwise.cli._transfer._verified", lambda curves, tuned, select: fixed)
    tuned()
    assert cli("transfer --verify tuned.json --widths 8 --seeds 1")[0] == code


@pytest.mark.parametrize(
    ("changes", "setting", "value"),
    [
        ({"schema_version": 2}, "tuned file", "tuned.json"),
        ({"log2_rate": "fast"}, "log2_rate", "fast"),
        ({"log2_rate": 1e9}, "log2_rate", 1e9),
        ({"log2_rate": None}, "log2_rate", None),
        ({"log2_activity_rate": True}, "log2_activity_rate", True),
        ({"settings": None}, "tuned file", "tuned.json"),
        ({"settings": {"widht": 3}}, "setting", "widht"),
        ({"settings": {"width": "wide"}}, "width", "wide"),
    ],
)
def test_a_damaged_file_is_refused(refuse, tuned, changes, setting, value):
    tuned(**changes)
    for line in ("train --tuned tuned.json --width 8", "transfer --verify tuned.json --widths 8"):
        refuse(line, setting, value)


@pytest.mark.parametrize(
    ("line", "setting", "value"),
    [
        ("train --tuned nowhere.json", "tuned file", "nowhere.json"),
        ("train --tuned broken.json", "tuned file", "broken.json"),
        ("train --tuned list.json", "tuned file", "list.json"),
        ("train --tuned empty", "tuned file", "empty/tuned.json"),
        ("train --data ok.npz", "--rate", None),
        ("transfer --verify tuned.json", "--verify", "tuned.json"),
        ("transfer --verify tuned.json --widths 8 --log2-rates -2 0 1", "--log2-rates", [-2.0, 0.0, 1.0]),
        (
            "transfer --verify tuned.json --widths 8 --log2-activity-rates -2 0 1",
            "--log2-activity-rates",
            [-2.0, 0.0, 1.0],
        ),
        (TUNE + "--runs 2", "seeds", 3),
        (TUNE + "--runs 8", "budget", 2),
        (TUNE + "--search halvin", "search", "halvin"),
        (TUNE + "--log2-rates 2 1 1", "log2 rates", (2.0, 1.0, 1.0)),
    ],
)
def test_bad_input(refuse, line, setting, value):
    refuse(line, setting, value)
