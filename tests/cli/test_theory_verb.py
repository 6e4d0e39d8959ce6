"""`widthwise theory conditioning` on small data: its table, its JSON, its figure."""

import numpy as np

import widthwise as ww
from widthwise.theory import effective_matrices
from widthwise.training import streams

LINE = "theory conditioning --data ok.npz --batch-size 8 --network residual_mlp "
ROW = (
    "parameterization width depth seed step loss smallest largest condition_number error_condition_number iterations "
    "converged"
)


def test_at_initialization(cli, loaded, here):
    line = LINE + "--activation linear --widths 5 3 --depths 2 --parameterization sp mupc --seeds 2 --dtype float64 "
    code, out, err = cli(line + "--output-precision 0.5 --json out.json --out figure.svg")
    assert (code, err) == (0, "")
    rows = loaded("out.json")["rows"]
    assert all(set(row) == set(ROW.split()) for row in rows)
    groups = [(name, width, seed) for name in ("sp", "mupc") for width in (3, 5) for seed in (0, 1)]
    assert [(row["parameterization"], row["width"], row["seed"]) for row in rows] == groups
    for row in rows:
        table = ww.parameterization(row["parameterization"], algorithm="pc", optimizer="adam")
        key = streams(row["seed"]).init
        built = ww.residual_mlp(6, row["width"], 3, depth=2, activation="linear", table=table, key=key, dtype="float64")
        # Two layers: H = I + γ_L A^T A, whose smallest eigenvalue is 1 but for a square A.
        A = np.asarray(effective_matrices(built.network)[-1])
        eigenvalues = np.linalg.eigvalsh(np.eye(row["width"]) + 0.5 * A.T @ A)
        np.testing.assert_allclose([row["smallest"], row["largest"]], eigenvalues[[0, -1]], rtol=1e-9)
        np.testing.assert_allclose(row["error_condition_number"], eigenvalues[-1], rtol=1e-9)
    lines = out.splitlines()
    assert len(lines) == 5
    # The table holds medians over seeds.
    kappa = np.median([row["condition_number"] for row in rows[:2]])
    assert lines[1].split()[:4] == ["sp", "3", "2", "0"]
    assert float(lines[1].split()[6]) == float(f"{kappa:.4g}")
    assert (here / "figure.svg").read_text().startswith("<?xml")


def test_during_training(cli, loaded):
    code, out, err = cli(LINE + "--widths 4 --depths 3 --train-steps 2 0 --rate 0.1 --iterations 2 --json out.json")
    assert (code, err) == (0, "")
    first, last = loaded("out.json")["rows"]
    assert (first["step"], last["step"]) == (0, 2)
    assert first["condition_number"] != last["condition_number"]
    assert all(1 <= row["iterations"] <= 2 for row in (first, last))
    assert loaded("out.json")["settings"]["optimizer"] == "adam"
    assert "iterations" in out


def test_the_relaxation_is_the_one_named(cli, loaded):
    # A linear network's equilibrium has a closed form, which auto takes; descent needs as many steps as ‖C‖ asks for.
    counted = {}
    for name in ("error", "auto"):
        line = (
            LINE + "--activation linear --widths 4 --depths 4 --parameterization sp --dtype float64 --tolerance 1e-6 "
        )
        code, _, err = cli(line + f"--tolerance 1e-6 --relaxation {name} --json out.json")
        assert (code, err) == (0, "")
        (row,) = loaded("out.json")["rows"]
        assert row["converged"] == 1
        counted[name] = row["iterations"]
    assert counted["auto"] <= 1 < counted["error"]


def test_a_relaxation_that_makes_no_iterations(cli, loaded):
    line = LINE + "--activation linear --relaxation exact --widths 4 --depths 3 --json out.json"
    assert cli(line)[0] == 0
    (row,) = loaded("out.json")["rows"]
    assert (row["iterations"], row["converged"]) == (1, True)
