"""`check` on tables that theory calls right and wrong, `table` through its file, `report` from what is stored."""

import json
from fractions import Fraction

import pytest

from widthwise.cli import main
from widthwise.parameterizations import NAMES

CHECK = "check --algorithm bp --depth 3 --json out.json "


def split(result):
    """The lines of states, and those of what one role's weights do alone."""
    own = [line for line in result["lines"] if line["quantity"].endswith("weights")]
    return [line for line in result["lines"] if line not in own], own


def test_check_passes_a_right_table(cli, loaded):
    code, out, err = cli(CHECK + "--parameterization mup --widths 128 512 --seeds 16")
    result = loaded("out.json")
    assert (code, err) == (0, ""), out
    assert result["passed"] is True
    assert result["output_precision"] is None
    assert result["rate"] > 0
    # theory.md A4: at r = 1/2 everything moves as M^0.
    lines, own = split(result)
    for several in (lines, own):
        assert [(line["expected"], line["predicted"]) for line in several] == [(0.0, 0.0)] * 3
        assert all(abs(line["slope"]) <= max(0.05, 2 * line["se"]) for line in several)
    assert all(line["se"] <= 0.03 and line["movement_min"] >= 0.01 for line in lines)
    assert all(line["se"] <= 0.06 for line in own)


def test_check_fails_sp(cli, loaded):
    code, out, _ = cli(CHECK + "--parameterization sp --widths 64 256 --seeds 4")
    result = loaded("out.json")
    assert code == 1
    assert result["passed"] is False
    # SP, SGD, three layers: theory.md's slopes -1/2, 1/2 and 1 of the two hidden layers and the output.
    lines, own = split(result)
    assert [line["predicted"] for line in lines] == [-0.5, 0.5, 1.0]
    assert [line["expected"] for line in lines] == [0.0, 0.0, 0.0]
    # Each role's weights alone: the input's -1/2, a hidden layer's 1/2, the readout's 1.
    assert {line["quantity"]: line["predicted"] for line in own} == {
        "input weights": -0.5, "hidden weights": 0.5, "output weights": 1.0
    }  # fmt: skip
    assert max(abs(line["slope"]) for line in lines) >= 0.4
    assert out.count("FAILED") >= 2


def test_the_table_of_the_issue(cli, loaded):
    line = "table --algorithm pc --parameterization mup --optimizer sgd --gamma-bar -1 --gauge {} --json t.json"
    assert cli(line.format("stp"))[0] == 0
    roles = loaded("t.json")["roles"]
    # theory.md, PC muP at gamma_bar -1: b = (0, 1/2, 1), c = (0, 1, 2), output bias 1, and the gauge has no a.
    assert [roles[role]["b"] for role in ("input", "hidden", "output")] == ["0", "1/2", "1"]
    assert [roles[role]["c"] for role in ("input", "hidden", "output", "output_bias")] == ["0", "1", "2", "1"]
    assert {row["a"] for row in roles.values()} == {"0"}
    stp = roles
    assert cli(line.format("mup"))[0] == 0
    # Every gauge is the same training: a + b and c + 2a stay.
    for role, row in loaded("t.json")["roles"].items():
        if not role.endswith("bias"):
            moved = Fraction(row["a"]) + Fraction(row["b"]), Fraction(row["c"]) + 2 * Fraction(row["a"])
            assert moved == (Fraction(stp[role]["b"]), Fraction(stp[role]["c"])), role


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_its_table(cli, loaded, capsys, name):
    richness = " --richness 1/4" if name == "richness" else ""
    assert cli(f"table --parameterization {name} --optimizer adam{richness} --json t.json")[0] == 0
    assert loaded("t.json")["name"] == name
    with pytest.raises(SystemExit):
        main(["table", "--help"])
    assert f" {name}," in " ".join(capsys.readouterr().out.split())


def test_a_table_through_its_file_is_itself(cli, loaded):
    assert cli("table --algorithm pc --parameterization mupc --gamma-bar -1/2 --optimizer adam --json a.json")[0] == 0
    assert cli("table --parameterization a.json --json b.json")[0] == 0
    assert loaded("a.json") == loaded("b.json")
    # --algorithm may differ from the file's, and does not change it.
    assert cli("table --parameterization a.json --algorithm bp --json c.json")[0] == 0
    assert loaded("c.json") == loaded("a.json")


def test_report_stays_as_it_was_where_the_payload_is_damaged(cli, refuse, loaded, here):
    line = "transfer --data ok.npz --batch-size 8 --steps 1 --log2-rates -2 -1 1 --seeds 1 --widths 4 5 --out run"
    assert cli(line)[0] == 0
    stored = loaded("run/transfer.json")
    page = (here / "run" / "report.html").read_text()
    code, _, err = cli("report run --out page.html --json verdicts.json")
    assert (code, err) == (0, "")
    assert (here / "page.html").read_text() == page
    assert len(loaded("verdicts.json")) == len(stored["summary"])
    # A page of the format before activity rates, which lacks what came with them.
    new = {"gamma_bar", "output_precision", "log2_activity_rate"}
    curves = [{key: row[key] for key in row if key not in new} for row in stored["curves"]]
    old = stored | {"schema_version": 1, "curves": curves}
    (here / "run" / "transfer.json").write_text(json.dumps(old))
    assert cli("report run --out old.html")[0] == 0
    assert (here / "old.html").read_text() == page
    broken = [json.dumps(stored | {"schema_version": 4}), json.dumps(stored)[:200], "[]", "nan"]
    broken += [json.dumps({key: stored[key] for key in stored if key != name}) for name in ("curves", "summary")]
    broken += [json.dumps(stored | {name: [1]}) for name in ("curves", "summary", "tables", "settings", "versions")]
    for content in broken:
        (here / "run" / "transfer.json").write_text(content)
        refuse("report run", "sweep file", "run/transfer.json")
        assert (here / "run" / "report.html").read_text() == page
    refuse("report run --out empty", "--out", "empty")


def test_a_sweep_of_an_earlier_version_is_judged_by_its_runs(cli, refuse, loaded, here):
    """Schema 2 told the cost of rates that nobody ran: of its runs the smallest size's best grid rate is compared."""
    names = {"algorithm": "bp", "parameterization": "mup", "optimizer": "sgd", "depth": 3}
    curves = [
        names
        | {"width": width, "log2_rate": rate, "seed": seed, "diverged": False}
        | {"final_loss": 0.1 * 2 ** (0.1 * (rate + 2.2) ** 2)}
        for width in (64, 128)
        for seed in (0, 1)
        for rate in (-4.0, -3.0, -2.0, -1.0)
    ]
    old = names | {"axis": "width", "at": None, "sizes": [64, 128], "regret": 9.0, "transfers": False}
    payload = {"schema_version": 2, "curves": curves, "summary": [old]}
    (here / "old").mkdir()
    (here / "old" / "transfer.json").write_text(json.dumps(payload))
    code, out, _ = cli("report old --figures svg --json verdicts.json")
    assert code == 0
    assert "the best grid rate at width 64 (−2.00 in log₂) costs" in out
    assert [verdict["transfers"] for verdict in loaded("verdicts.json")] == [True]
    for name, damage in (("final_loss", "low"), ("width", None), ("seed", [1]), ("log2_rate", "fast")):
        (here / "old" / "transfer.json").write_text(
            json.dumps(payload | {"curves": [*curves, curves[0] | {name: damage}]})
        )
        refuse("report old --figures svg", "sweep file", "old/transfer.json")


def test_check_desiderata(cli, loaded):
    line = "check --algorithm bp --depth 3 --base-width 1 --seeds 4 --widths 64 512 --desiderata --json out.json "
    code, out, err = cli(line + "--parameterization mup")
    assert (code, err) == (0, ""), out
    assert loaded("out.json")["richness"] == pytest.approx(0.5, abs=0.1)
    code, out, _ = cli(line + "--parameterization sp")
    assert code == 1
    assert "FAILED: movement 2" in out
    # theory.md A4: the output's change of SP grows as M^1.
    (output,) = [line for line in loaded("out.json")["lines"] if line["quantity"] == "output"]
    assert output["slope"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("flag", "value"), [("--rate", 0.1), ("--steps", 2), ("--momentum", 0.9), ("--richness", "1/4")]
)
def test_desiderata_ignore_nothing(refuse, flag, value):
    refuse(f"check --desiderata --parameterization mup {flag} {value}", flag, value)
