"""Python recipes run from end to end, as small as their flags make them; what they find at full size is in their logs.

Programs are compiled for every width and rule, which is all that takes time here: two widths, and a rule or two.
"""

import json
import runpy

import jax
import pytest

import widthwise as ww

FEW = ("--widths", "8", "16", "--seeds", "2")


@pytest.fixture
def results(copied):
    """The folder where a recipe's files are."""
    return lambda name: copied / "recipes" / name / "results"


def test_desiderata(script, results):
    code, out = script("richness/desiderata.py", "r = 1/2", *FEW)
    (row,) = json.loads((results("richness") / "desiderata.json").read_text())
    assert row["exponents"] == ["0", "1/2", "1", "-1", "0", "1"]
    assert code == int("WRONG" in out)


def test_richness(script, results, copied):
    few = ("--steps", "1", "--end-steps", "1", "--end-widths", "8", "16", "--r", "1/2", "--ends", "backprop, end")
    code, out = script("richness/richness.py", *FEW, *few)
    found = json.loads((results("richness") / "richness.json").read_text())
    assert list(found) == ["r = 1/2", "backprop, end"]
    assert code == int("FAILED" in out)
    assert (copied / "docs/images/richness.png").stat().st_size > 0


def test_alignment(script, results, copied):
    script("local_losses/alignment.py", "DTP, hidden rates slowed", *FEW)
    found = json.loads((results("local_losses") / "alignment.json").read_text())["found"]
    assert set(found["DTP, hidden rates slowed"]) == {"alignment", "movement", "passed_on"}
    assert (copied / "docs/images/alignment.png").stat().st_size > 0


def test_directions(script, results):
    script("local_losses/directions.py", "dtp tied", "--seeds", "1", "--width", "8")
    lines = (results("local_losses") / "directions.log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["linear", "tanh"]
    assert all("to backprop" in line and "to gauss_newton" in line for line in lines)


def test_interpolation(script, results, copied):
    code, out = script("local_losses/interpolation.py", "--seeds", "2", "--widths", "4", "8", "--iterations", "1", "1")
    found = json.loads((results("local_losses") / "interpolation.json").read_text())
    assert {point["activation"] for point in found["points"]} == {"linear", "tanh", "relu"}
    assert code == int("AWAY" in out)
    assert (copied / "docs/images/interpolation.png").stat().st_size > 0


@pytest.mark.parametrize("row", ["bp biases only, wrong", "residual bp sgd"])
def test_convolution_checks(script, results, row):
    _, out = script("local_losses/convolution_checks.py", row, *FEW, "--branches", "1", "2")
    assert row in out
    assert out in (results("local_losses") / "convolution_checks.log").read_text()


@pytest.mark.parametrize(("part", "row"), [("mlp", "mlp_bp_sgd"), ("wrong", "r_3_4")])
def test_matrix(script, results, part, row):
    code, out = script("checks/matrix.py", part, row, *FEW)
    assert (results("checks") / f"{part}.log").read_text() == out
    assert f"## {row}\n" in out
    assert code == int(f"{part}: 0 rows" not in out)


@pytest.fixture
def names(copied, float32):
    """What a recipe defines."""
    return lambda name: runpy.run_path(str(copied / "recipes" / name))


def test_the_networks_of_the_matrix(names):
    found, table, key = names("checks/matrix.py"), ww.parameterization("mup"), jax.random.key(0)
    for family in ("mlp", "residual_mlp"):
        assert found[family](ww.TargetPropagation())(4, key, table).network.out_size == 3
    assert found["convolutions"](norm="layer")(4, key, table).network.out_size == 3
    assert {row[0] for row in found["RULES"].values()} == {"bp", "pc", "tp", "dtp"}


def test_rediscover(script, results):
    # Of two widths there is never a table.
    _, out = script("derive/rediscover.py", "blind_bp_sgd", *FEW)
    assert "MISSED: no table" in out
    assert out[out.index("== blind_bp_sgd") :] in (results("derive") / "rediscover.log").read_text()


def test_rediscover_compares_tables(names):
    found = names("derive/rediscover.py")
    mup, standard = (ww.parameterization(name, gauge="stp") for name in ("mup", "sp"))
    assert found["differences"](mup, mup, found["ROLES"], deep=True) == []
    assert "c of hidden" in " ".join(found["differences"](mup, standard, found["ROLES"], deep=False))
    key = jax.random.key(0)
    for row in found["rows"]().values():
        sizes = (8, 4) if row.deep else (8,)
        table = ww.parameterization(row.known[0], optimizer=row.optimizer, **row.known[1])
        assert found["families"](row)(*sizes, key, table).network.out_size == 3


def test_pc_to_backprop(script, results):
    # Rows with at most so many weights.
    code, out = script("mupc/pc_to_backprop.py", "1024")
    rows = json.loads((results("mupc") / "pc_to_backprop.json").read_text())
    assert [(row["activation"], row["depth"], row["width"]) for row in rows] == [("linear", 4, 16), ("tanh", 4, 16)]
    assert code == int("AWAY" in out)


def test_verdicts_are_of_stored_runs(script, results):
    """Two widths, one optimum: the stored rule transfers, by its best grid rate."""
    names = {"algorithm": "bp", "parameterization": "mup", "optimizer": "sgd", "depth": 3}
    curves = [
        names | {"width": width, "log2_rate": rate, "seed": seed, "diverged": False, "final_loss": 1.0 + rate**2}
        for width in (64, 128) for seed in (0, 1) for rate in (-1.0, 0.0, 1.0)
    ]  # fmt: skip
    payload = {"schema_version": 2, "curves": curves, "summary": [names | {"axis": "width", "at": None}]}
    (results("mupc") / "transfer_two.json").write_text(json.dumps(payload))
    code, out = script("verdicts.py")
    (results("mupc") / "transfer_two.json").unlink()
    assert code == 0
    (line,) = (line for line in out.splitlines() if "transfer_two.json" in line)
    assert line.startswith("stored mupc/results/transfer_two.json: BP, muP, SGD: the rate tuned at width 64 (0.00 ")
    assert "It transfers." in line
