"""`widthwise transfer`: the Python API's numbers, on either axis."""

import json

import equinox as eqx
import jax
import pytest

import widthwise as ww
from widthwise.sweep import jsonable

SWEEP = "transfer --data ok.npz --batch-size 8 --steps 3 --log2-rates -3 -1 1 --seeds 2 --base-width 4 "
SHORT = {"log2_rates": (-3, -1, 1), "seeds": 2, "steps": 3, "batch_size": 8}


@pytest.mark.filterwarnings("ignore::widthwise.UnsettledWarning")
def test_equals_the_python_api_over_widths(cli, loaded):
    assert cli(SWEEP + "--algorithm pc --iterations 2 --depth 2 --widths 12 8 --json out.json")[0] == 0
    table = ww.parameterization("mup", algorithm="pc", base_width=4)

    def build(width, key):
        return ww.mlp(6, width, 3, depth=2, activation="tanh", table=table, key=key)

    rule = ww.PredictiveCoding(ww.ErrorDescent(iterations=2))
    expected = ww.transfer(build, rule, table, data=ww.data.load("ok.npz"), widths=[8, 12], **SHORT)
    found = loaded("out.json")
    assert found["curves"] == expected.curves
    assert found["summary"] == json.loads(json.dumps(expected.payload["summary"]))


def test_equals_the_python_api_over_depths(cli, loaded):
    line = "--network residual_mlp --parameterization mupc --base-depth 4 --width 6 --depths 3 5 --optimizer adam "
    assert cli(SWEEP + line + "--json out.json")[0] == 0
    table = ww.parameterization("mupc", optimizer="adam", base_width=4, base_depth=4)

    def build(depth, key):
        return ww.residual_mlp(6, 6, 3, depth=depth, activation="tanh", table=table, key=key)

    expected = ww.transfer(build, ww.Backprop(), table, data=ww.data.load("ok.npz"), depths=[3, 5], **SHORT)
    found = loaded("out.json")
    assert found["curves"] == expected.curves
    (summary,) = found["summary"]
    assert (summary["axis"], summary["sizes"], summary["optimizer"]) == ("depth", [3, 5], "adam")


@pytest.fixture
def untrained(monkeypatch):
    """Runs that only build their network, and whose loss is a function of its shape and the rate."""

    def group_runner(group, data, training, seeds, together):
        built = eqx.filter_eval_shape(group.build, jax.random.key(0))
        width, depth = built.network.segments[-1].stages.linear.weight.shape[-1], built.network.depth
        measured = {"diverged": False, "residual_median": None, "iterations_median": None}

        def run(members, on_runs):
            losses = [1 + (one.log2_rate + width / depth) ** 2 + (one.log2_activity_rate or 0) ** 2 for one in members]
            rows = [
                group.described() | one._asdict() | measured | {"final_loss": loss}
                for one, loss in zip(members, losses, strict=True)
            ]
            on_runs(rows)
            return rows

        return run

    monkeypatch.setattr("widthwise.sweep._run_sweep.group_runner", group_runner)


def test_equals_the_python_api_over_both_rates(cli, refuse, loaded, here, untrained):
    line = SWEEP + "--algorithm bp pc --iterations 2 --depth 2 --widths 8 --log2-activity-rates -2 -1 1 --seeds 1 "
    assert cli(line + "--log2-rates -3 -2 1 --out run --json out.json")[0] == 0
    found = loaded("out.json")
    table = ww.parameterization("mup", algorithm="pc", base_width=4)

    def build(width, key):
        return ww.mlp(6, width, 3, depth=2, activation="tanh", table=table, key=key)

    rule = ww.PredictiveCoding(ww.ErrorDescent(iterations=2))
    short = SHORT | {"log2_rates": (-3, -2, 1), "seeds": 1}
    data = ww.data.load("ok.npz")
    expected = ww.transfer(build, rule, table, data=data, widths=[8], log2_activity_rates=(-2, -1, 1), **short)
    # Backprop has no activity rate and is run once at each rate.
    assert [row["log2_activity_rate"] for row in found["curves"][:2]] == [None] * 2
    assert found["curves"][2:] == expected.curves
    assert found["summary"][1:] == json.loads(json.dumps(expected.payload["summary"]))
    head, row = expected.summary().splitlines()[1:3]
    # The fake loss is least at the smallest activity rate in size, -1.
    assert head.split()[0] == "width"
    assert "best activity rate" in head
    assert row.split()[0] == "8"
    assert " -1.00 " in row
    expected.plot(here / "plot.svg")
    assert "activity rate (log₂)" in (here / "plot_activity.svg").read_text()
    # The same command reads everything back; another grid of activity rates is another sweep.
    records = (here / "run" / "records.jsonl").read_bytes()
    assert len(records.splitlines()) == 6
    assert cli(line + "--log2-rates -3 -2 1 --out run")[0] == 0
    assert (here / "run" / "records.jsonl").read_bytes() == records
    other = line.replace("-2 -1 1", "-2 0 1") + "--log2-rates -3 -2 1 --out run"
    assert "log2_activity_rates" in refuse(other, "run directory", "run").problem
    assert "best activity rate (log₂)" in (here / "run" / "report.html").read_text()


def test_a_grid_of_sizes_equals_the_python_api(cli, loaded, here, untrained):
    line = "--network residual_mlp --parameterization mupc --base-depth 4 --widths 4 6 --depths 5 3 --grid "
    assert cli(SWEEP + line + "--out run --json out.json")[0] == 0
    table = ww.parameterization("mupc", base_width=4, base_depth=4)

    def build(width, depth, key):
        return ww.residual_mlp(6, width, 3, depth=depth, activation="tanh", table=table, key=key)

    data = ww.data.load("ok.npz")
    expected = ww.transfer(build, ww.Backprop(), table, data=data, widths=[6, 4], depths=[3, 5], **SHORT)
    found = loaded("out.json")
    assert found["curves"] == expected.curves
    assert found["summary"] == json.loads(json.dumps(jsonable(expected.payload["summary"])))
    for row in found["curves"]:
        assert row["final_loss"] == pytest.approx(1 + (row["log2_rate"] + row["width"] / row["depth"]) ** 2)
    assert [(row["width"], row["depth"]) for row in found["curves"][::6]] == [(4, 3), (4, 5), (6, 3), (6, 5)]
    lines = [(row["axis"], row["at"], row["sizes"]) for row in found["summary"]]
    assert lines == [
        ("width", {"depth": 3}, [4, 6]),
        ("width", {"depth": 5}, [4, 6]),
        ("depth", {"width": 4}, [3, 5]),
        ("depth", {"width": 6}, [3, 5]),
    ]
    assert "by width, depth 5:" in expected.summary()
    page = (here / "run" / "report.html").read_text()
    assert all(f"BP, muPC, SGD, {place}" in page for place in ("depth 3", "depth 5", "width 4", "width 6"))


def test_two_tables_of_one_label_are_refused(cli, refuse, here):
    # Their curves would be averaged as if they were one rule's.
    assert cli("table --parameterization ntp --json mup.json")[0] == 0
    (here / "other").mkdir()
    (here / "other" / "mup.json").write_text((here / "mup.json").read_text())
    line = SWEEP.replace("--base-width 4 ", "") + "--widths 8 --parameterization "
    for both in ("mup mup.json", "mup.json other/mup.json"):
        refuse(line + both, "--parameterization", both.split())


@pytest.mark.parametrize("name", ["width", "depth"])
def test_singular_and_plural_are_one_flag(cli, loaded, name):
    found = []
    for flag in (f"--{name}", f"--{name}s"):
        assert cli(SWEEP + f"--log2-rates -2 -2 1 --seeds 1 {flag} 4 5 --json out.json")[0] == 0
        found.append(loaded("out.json"))
    assert found[0]["curves"] == found[1]["curves"]
    assert [row["axis"] for row in found[0]["summary"]] == [name]


@pytest.mark.parametrize(
    ("flags", "axis", "sizes"),
    [
        ("vgg --widths 16 32", "width", [(16, 5), (32, 5)]),
        ("vgg --channels 4,M,8 --parameterization sp mup", "width", [(4, 3)] * 2),
        ("residual_cnn --width 4", "width", [(4, 10)]),
        ("vgg --width 4 --depths 5 7", "depth", [(4, 5), (4, 7)]),
    ],
)
def test_networks_of_images_have_their_own_depth_in_a_sweep_too(cli, loaded, untrained, flags, axis, sizes):
    line = SWEEP.replace("ok.npz", "digits").replace("-3 -1 1 --seeds 2", "-2 -2 1 --seeds 1")
    assert cli(line + f"--json out.json --network {flags}")[0] == 0
    found = loaded("out.json")
    assert [(row["width"], row["depth"]) for row in found["curves"]] == sizes
    assert {row["axis"] for row in found["summary"]} == {axis}
