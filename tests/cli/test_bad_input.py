"""Bad input: the setting, the value and a remedy; exit code 2, one line on stderr, nothing stored lost."""

import json
import re
import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest

TRAIN = "train --data ok.npz --batch-size 8 --width 8 --steps 2 --rate 0.1 "
DTP = TRAIN + "--algorithm dtp --parameterization mup "
SWEEP = "transfer --data ok.npz --batch-size 8 --steps 2 "
PC = TRAIN + "--algorithm pc "
THEORY = "theory conditioning --data ok.npz --batch-size 8 "

# What each is refused for: the setting, and the value received.
BAD: dict[str, tuple[str, Any]] = {
    # Names: the nearest is named.
    "trian": ("command", "trian"),
    TRAIN + "--parameterization mupp": ("parameterization", "mupp"),
    TRAIN + "--network residualmlp": ("network", "residualmlp"),
    TRAIN + "--activation tahn": ("activation", "tahn"),
    TRAIN + "--optimizer adm": ("optimizer", "adm"),
    TRAIN + "--loss mze": ("loss", "mze"),
    TRAIN + "--schedule cosin": ("schedule", "cosin"),
    TRAIN + "--gauge stq": ("gauge", "stq"),
    TRAIN + "--state poste": ("state", "poste"),
    TRAIN + "--dtype float46": ("dtype", "float46"),
    TRAIN + "--data digit": ("data", "digit"),
    TRAIN + "--weight-decay 0.1 --weight-decay-kind coupld": ("kind of weight decay", "coupld"),
    PC + "--relaxation eror": ("relaxation", "eror"),
    PC + "--output-loss weightd": ("output loss", "weightd"),
    TRAIN + "--algorithm pcc": ("algorithm", "pcc"),
    TRAIN + "--wdth 3": ("argument", "--wdth"),
    TRAIN + "--lr 0.1": ("argument", "--lr"),
    SWEEP + "--lr 0.1": ("argument", "--lr"),
    TRAIN + "--parameterization muPC": ("parameterization", "muPC"),
    # What a counter, or a square in float32, does not hold.
    PC + "--iterations 3000000000": ("iterations", 3000000000),
    PC + "--output-precision 1e-22": ("output_precision", 1e-22),
    PC + "--precision-cap 1e-30": ("precision_cap", 1e-30),
    PC + "--activity-rate 1e300": ("activity rate", 1e300),
    PC + "--activity-rate 0": ("activity rate", 0.0),
    PC + "--tolerance 1e60": ("tolerance", 1e60),
    SWEEP + "--parameterization sp mupp": ("parameterization", "mupp"),
    SWEEP + "--schedule cosin": ("schedule", "cosin"),
    TRAIN + "left": ("argument", "left"),
    DTP + "--feedback rige": ("feedback", "rige"),
    DTP + "--ridge -1": ("ridge", -1.0),
    DTP + "--eta-hat 0": ("eta_hat", 0.0),
    DTP + "--feedback trained --ridge 0.1": ("--ridge", 0.1),
    DTP + "--noise 0.1": ("--noise", 0.1),
    # Networks of images: ok.npz has none, digits have 8 x 8 pixels.
    TRAIN + "--network cnn": ("--network", "cnn"),
    TRAIN + "--network cnm": ("network", "cnm"),
    "check --times 4 1": ("--times", [4, 1]),
    "check --times 1 4 --steps 4": ("--steps", 4),
    "check --out slopes.txt": ("--out", "slopes.txt"),
    "check --against mup": ("--against", "mup"),
    "check --desiderata --times 1 --out a.png": ("--times", [1]),
    TRAIN + "--pool max": ("--pool", "max"),
    TRAIN + "--data digits --network cnn --channels 4,M": ("--channels", "4,M"),
    TRAIN + "--data digits --network cnn --pool mx": ("pooling", "mx"),
    TRAIN + "--data digits --network cnn --readout gab": ("readout", "gab"),
    TRAIN + "--data digits --network cnn --norm bath": ("normalization", "bath"),
    TRAIN + "--data digits --network vgg --channels 0,M": ("--channels", "0,M"),
    TRAIN + "--data digits --network vgg --channels M,4": ("--channels", "M,4"),
    TRAIN + "--data digits --network vgg --channels 4,6 --width 3": ("--width", 3),
    TRAIN + "--data digits --network vgg --channels 4,M --depth 5": ("--depth", 5),
    THEORY + "--network cnn": ("--network", "cnn"),
    DTP + "--feedback trained --feedback-activation tahn": ("activation", "tahn"),
    DTP + "--feedback trained --feedback-optimizer adm": ("feedback optimizer", "adm"),
    DTP + "--feedback trained --feedback-rate 0": ("feedback rate", 0.0),
    DTP + "--feedback trained --feedback-steps 0": ("feedback steps", 0),
    DTP + "--relaxation auto": ("--relaxation", "auto"),
    TRAIN + "--ridge 0.1": ("--ridge", 0.1),
    PC + "--feedback ridge": ("--feedback", "ridge"),
    "theory": ("topic", None),
    "theory conditionin": ("topic", "conditionin"),
    THEORY + "--parameterization sp mupp": ("parameterization", "mupp"),
    THEORY + "--relaxation automatic": ("relaxation", "automatic"),
    THEORY + "--network residualmlp": ("network", "residualmlp"),
    TRAIN + "--batch-size 0": ("batch_size", 0),
    PC + "--activity-decay 0.1": ("activity_decay", None),
    PC + "--activity-decay -1 --relaxation auto": ("activity_decay", -1.0),
    TRAIN + "--devices 0": ("devices", 0),
    TRAIN + "--mesh 2x2": ("--mesh", "2x2"),
    TRAIN + "--mesh data=2,data=2": ("--mesh", "data=2,data=2"),
    TRAIN + "--mesh data=0": ("--mesh", "data=0"),
    TRAIN + "--mesh data=2 --devices 2": ("--devices", 2),
    TRAIN + "--mesh model=3": ("width", 8),
    TRAIN + "--coordinator here:1": ("--coordinator", "here:1"),
    TRAIN + "--distributed --process-id 0": ("--coordinator", None),
    TRAIN + "--batch-size 41": ("batch_size", 41),
    TRAIN + "--rate 0": ("--rate", 0.0),
    TRAIN + "--rate -1": ("--rate", -1.0),
    TRAIN + "--rate nan": ("--rate", float("nan")),
    TRAIN + "--rate inf": ("--rate", float("inf")),
    TRAIN + "--rate fast": ("--rate", "fast"),
    TRAIN + "--seed -1": ("seed", -1),
    TRAIN + "--seed 99999999999999999999": ("seed", 99999999999999999999),
    TRAIN + "--seed 1.5": ("--seed", "1.5"),
    TRAIN + "--weight-decay nan": ("weight_decay", float("nan")),
    TRAIN + "--weight-decay-kind lr": ("--weight-decay-kind", "lr"),
    TRAIN + "--epsilon 1e-3": ("--epsilon", 0.001),
    TRAIN + "--gain inf": ("gain", float("inf")),
    TRAIN + "--validation 0": ("validation", 0),
    TRAIN + "--validation 40": ("validation", 40),
    TRAIN + "--examples 0": ("examples", 0),
    TRAIN + "--examples 400": ("examples", 400),
    TRAIN + "--parameterization richness --richness 1/0": ("exponent", "1/0"),
    PC + "--iterations 0": ("iterations", 0),
    PC + "--relaxation descent --look-ahead": ("--look-ahead", True),
    PC + "--tolerance 0": ("tolerance", 0.0),
    PC + "--output-precision 0": ("output_precision", 0.0),
    PC + "--activity-rate -1": ("activity rate", -1.0),
    PC + "--relaxation sweep --sweep-step 0": ("step", 0.0),
    SWEEP + "--widths": ("--width", None),
    SWEEP + "--log2-rates 2 -5 0.5": ("log2 rates", (2.0, -5.0, 0.5)),
    SWEEP + "--log2-rates -5 2 0": ("log2 rates", (-5.0, 2.0, 0.0)),
    SWEEP + "--log2-rates -5 nan 1": ("log2 rates", (-5.0, float("nan"), 1.0)),
    SWEEP + "--log2-rates -5 2 1e-9": ("log2 rates", (-5.0, 2.0, 1e-09)),
    SWEEP + "--log2-rates -5 2": ("--log2-rates", None),
    SWEEP + "--algorithm pc --log2-activity-rates 0 -1 1": ("log2 activity rates", (0.0, -1.0, 1.0)),
    SWEEP + "--algorithm pc --log2-activity-rates 0 1": ("--log2-activity-rates", None),
    SWEEP + "--algorithm pc --activity-rate 0.1 --log2-activity-rates -2 0 1": ("--activity-rate", 0.1),
    SWEEP + "--engine rya": ("--engine", "rya"),
    SWEEP + "--workers 2": ("--workers", 2),
    SWEEP + "--engine processes --address here:1": ("--address", "here:1"),
    SWEEP + "--engine processes --workers 0": ("--workers", 0),
    SWEEP + "--engine ray --workers 2": ("--workers", 2),
    SWEEP + "--engine ray --group-gpus -1": ("--group-gpus", -1),
    SWEEP + "--engine ray --slurm timeout_min=3": ("--slurm", ["timeout_min=3"]),
    SWEEP + "--engine slurm": ("--engine", "slurm"),
    SWEEP + "--engine slurm --out run --slurm timeout_min": ("--slurm", "timeout_min"),
    SWEEP + "--batch-size 41": ("batch_size", 41),
    "check --depths 8 16": ("--depths", [8, 16]),
    "check --network residual_mlp --depths 8 16 --depth 8": ("--depth", 8),
    "check --network residual_mlp --depths 8 16 --widths 8 16": ("--widths", [8, 16]),
    "check --network residual_mlp --depths 8 16 --desiderata": ("--depths", [8, 16]),
    "check --widths 8 16 --richness 2x": ("exponent", "2x"),
    THEORY + "--widths": ("--width", None),
    THEORY + "--depths": ("--depth", None),
    THEORY + "--parameterization": ("--parameterization", None),
    THEORY + "--train-steps": ("--train-steps", None),
    THEORY + "--output-precision 0": ("output_precision", 0.0),
    "table --gamma-bar x --algorithm pc": ("exponent", "x"),
    # Settings that do not go together.
    SWEEP + "--widths 8 16 --depths 3 4": ("--widths", [8, 16]),
    SWEEP + "--depths 3 4 --widths 16 8": ("--widths", [16, 8]),
    SWEEP + "--widths 8 16 --depths 3 3 --grid": ("--depths", [3, 3]),
    SWEEP + "--widths 8 16 --grid": ("--depths", [3]),
    TRAIN + "--iterations 4": ("--iterations", 4),
    TRAIN + "--output-precision 1": ("--output-precision", 1.0),
    SWEEP + "--relaxation error": ("--relaxation", "error"),
    "check --widths 8 16 --activity-rate 0.1": ("--activity-rate", 0.1),
    PC + "--relaxation exact": ("--relaxation", "exact"),
    PC + "--relaxation exact --activation linear --loss ce": ("--relaxation", "exact"),
    SWEEP + "--algorithm bp pc --relaxation exact": ("--relaxation", "exact"),
    "check --algorithm pc --relaxation exact": ("--relaxation", "exact"),
    PC + "--relaxation sweep --activity-rate 0.1": ("--activity-rate", 0.1),
    PC + "--sweep-step 0.1": ("--sweep-step", 0.1),
    # Files.
    TRAIN + "--data missing.npz": ("data file", "missing.npz"),
    TRAIN + "--data corrupt.npz": ("data file", "corrupt.npz"),
    TRAIN + "--data lacking.npz": ("data file", "lacking.npz"),
    TRAIN + "--data nan.npz": ("x_train", 3),
    TRAIN + "--data-dir empty": ("--data-dir", "empty"),
    TRAIN + "--data fashion_mnist --data-dir empty": ("data_dir", "empty"),
    TRAIN + "--data cifar10 --data-dir empty": ("data_dir", "empty"),
    TRAIN + "--data cifar100 --data-dir file": ("data_dir", "file"),
    TRAIN + "--data mnst": ("data", "mnst"),
    TRAIN + "--image-size 2": ("image_size", 2),
    TRAIN + "--data digits --image-size 3": ("image_size", 3),
    TRAIN + "--data digits --image-size 0": ("image_size", 0),
    TRAIN + "--data digits --image-size half": ("--image-size", "half"),
    SWEEP + "--data digits --image-size 16": ("image_size", 16),
    TRAIN + "--parameterization none.json": ("table file", "none.json"),
    TRAIN + "--parameterization broken.json": ("table file", "broken.json"),
    TRAIN + "--parameterization list.json": ("table file", "list.json"),
    TRAIN + "--parameterization deep.json": ("table file", "deep.json"),
    TRAIN + "--parameterization other_version.json": ("schema version", 2),
    TRAIN + "--json nowhere/out.json": ("--json", "nowhere/out.json"),
    SWEEP + "--json empty": ("--json", "empty"),
    "table --json nowhere/out.json": ("--json", "nowhere/out.json"),
    THEORY + "--out figure.txt": ("--out", "figure.txt"),
    THEORY + "--out nowhere/figure.png": ("--out", "nowhere/figure.png"),
    TRAIN + "--out file": ("run directory", "file"),
    TRAIN + "--out empty/../file/run": ("file", "empty/../file/run"),
    "report nowhere": ("sweep file", "nowhere/transfer.json"),
    "report": ("DIR", None),
    "doctor --jsn x": ("argument", "--jsn"),
    "train": ("--rate", None),
    DTP + "--feedback drl --noise 0": ("noise", 0.0),
    # Linear functions of 6 inputs have rank 6, of 8 examples and 8 units.
    DTP + "--ridge 0 --activation linear": ("ridge", 0.0),
    "check --gamma-0 2 --against sp": ("gamma_0", 2.0),
    TRAIN + "--data digits --network cnn --stride 0": ("stride", 0),
    TRAIN + "--data digits --network cnn --width 0": ("channels", 0),
    TRAIN + "--data digits --network cnn --depth 6 --pool max --stride 1": ("image", "1 x 1"),
    TRAIN + "--data digits --network vgg --depth 6": ("depth", 6),
    TRAIN + "--data digits --network residual_cnn --state post": ("state", "post"),
    DTP + "--data digits --network vgg --feedback tied": ("pool", "max"),
    DTP + "--feedback trained --feedback-pretrain -1": ("pretrain", -1),
    DTP + "--network residual_mlp --feedback trained --parameterization sp": ("feedback", "residual"),
    DTP + "--network residual_mlp --feedback tied --parameterization sp": ("stage", "Dense"),
    DTP + "--parameterization mupc": ("parameterization", "mupc"),
    DTP + "--gamma-bar -1": ("gamma_bar", -1),
    # Numbers out of range.
    TRAIN + "--width 0": ("width", 0),
    TRAIN + "--width -3": ("width", -3),
    TRAIN + "--depth 1": ("depth", 1),
    PC + "--activity-decay 0.1 --relaxation auto --precision-cap 0.1": ("activity_decay", 0.1),
    TRAIN + "--steps 0": ("steps", 0),
    TRAIN + "--epochs 1": ("steps", 2),
    TRAIN + "--momentum 1": ("momentum", 1.0),
    TRAIN + "--optimizer adam --momentum 0.9": ("momentum", 0.9),
    TRAIN + "--weight-decay -1": ("weight_decay", -1.0),
    TRAIN + "--optimizer adam --epsilon 0": ("epsilon", 0.0),
    TRAIN + "--output-loss unweighted": ("output_loss", "unweighted"),
    TRAIN + "--base-width 0": ("base_width", 0),
    TRAIN + "--richness 1/4": ("richness", "1/4"),
    TRAIN + "--parameterization richness": ("richness", None),
    TRAIN + "--parameterization richness --richness 3/4": ("richness", Fraction(3, 4)),
    TRAIN + "--parameterization richness --richness -1/4": ("richness", Fraction(-1, 4)),
    TRAIN + "--gamma-bar -1": ("gamma_bar", -1),
    SWEEP + "--widths 8 0": ("width", 0),
    SWEEP + "--log2-activity-rates -2 0 1": ("algorithm", "bp"),
    SWEEP + "--algorithm pc --relaxation sweep --log2-activity-rates -2 0 1": ("relaxation", "SequentialSweep"),
    SWEEP + "--seeds 0": ("seeds", 0),
    SWEEP + "--seeds -2": ("seeds", -2),
    SWEEP + "--epochs 1": ("steps", 2),
    "check --widths 8": ("widths", [8]),
    "check --widths 16 8": ("widths", [16, 8]),
    "check --widths 8 16 --seeds 1": ("seeds", 1),
    "check --network residual_mlp --depths 8": ("depths", [8]),
    "check --network residual_mlp --depths 2 8": ("depths", [2, 8]),
    "check --network residual_mlp --depths 16 8": ("depths", [16, 8]),
    "check --widths 8 16 --rate 0": ("rate", 0.0),
    "check --widths 8 16 --rate nan": ("rate", float("nan")),
    THEORY + "--depths 4 1": ("depth", 1),
    THEORY + "--widths 8 0": ("width", 0),
    THEORY + "--train-steps 0 -1": ("steps", [0, -1]),
    THEORY + "--train-steps 0 5": ("rate", None),
    THEORY + "--train-steps 5 --rate 0": ("rate", 0.0),
    THEORY + "--seeds 0": ("seeds", 0),
    "theory conditioning --data ok.npz --batch-size 41": ("batch_size", 41),
    "table --base-depth 0": ("base_depth", 0),
    SWEEP + "--parameterization mupc mupc_constant": ("optimizer", "sgd"),
    TRAIN + "--network residual_mlp --state post": ("state", "post"),
}


@pytest.mark.parametrize("line", BAD)
def test_is_refused(refuse, line):
    assert "\n" not in str(refuse(line, *BAD[line]))


def test_it_is_printed_in_one_line(cli, refuse):
    line = TRAIN + "--data missing.npz"
    assert cli(line) == (2, "", f"widthwise: error: {refuse(line, 'data file', 'missing.npz')}\n")


@pytest.mark.parametrize(
    "flag",
    [
        "--optimizer adam",
        "--gamma-bar 0",
        "--richness 1/2",
        "--gauge stp",
        "--output-loss weighted",
        "--weight-decay-kind lr",
        "--base-width 64",
        "--base-depth 8",
    ],
)
def test_a_table_file_and_a_flag_of_the_table(cli, refuse, flag):
    assert cli("table --json mine.json")[0] == 0
    setting, value = flag.split()
    lines = [TRAIN, SWEEP] + ([] if flag.startswith("--richness") else ["check --widths 8 16 "])
    for line in lines if "decay" not in flag else lines[:2]:
        error = refuse(line + f"--parameterization mine.json {flag}", setting)
        assert (str(error.value), "mine.json" in str(error)) == (value, True)


def test_a_letter_and_a_power_that_disagree(cli, refuse, loaded, here):
    cli("table --json mine.json")
    table = loaded("mine.json")
    table["roles"]["hidden"]["c"] = "1"
    (here / "mine.json").write_text(json.dumps(table))
    error = refuse(TRAIN + "--parameterization mine.json", "c", Fraction(1))
    assert "mine.json" in str(error)
    assert "hidden" in str(error)


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"schema_version": 2}', '{"schema_version": 1}'])
def test_a_damaged_transfer_json(refuse, here, content):
    (here / "run").mkdir()
    (here / "run" / "transfer.json").write_text(content)
    refuse("report run", "sweep file", "run/transfer.json")
    assert not (here / "run" / "report.html").exists()


def test_a_run_directory_of_another_version(cli, refuse, here):
    line = TRAIN + "--out run"
    assert cli(line)[0] == 0
    spec = json.loads((here / "run" / "spec.json").read_text())
    (here / "run" / "spec.json").write_text(json.dumps(spec | {"schema_version": 99}))
    before = {path.name: path.read_bytes() for path in (here / "run").iterdir() if path.name != "lock"}
    assert "99" in refuse(line, "file", "run/spec.json").problem
    assert {path.name: path.read_bytes() for path in (here / "run").iterdir() if path.name != "lock"} == before


def test_a_refused_run_leaves_its_directory_free(cli, refuse, here):
    line = SWEEP + "--algorithm pc --width 8 --log2-rates -3 -1 1 --activity-decay 0.1 --out run "
    refuse(line, "activity_decay", None)
    assert cli(line + "--relaxation auto")[0] == 0
    # Once it holds runs it is theirs.
    assert "quasi_newton" in refuse(line + "--relaxation quasi_newton", "run directory", "run").problem


def test_a_report_of_a_training_run_names_what_shows_it(cli, refuse):
    assert cli(TRAIN + "--out run")[0] == 0
    assert "`widthwise runs run`" in refuse("report run", "sweep file", "run/transfer.json").remedy


def test_another_run_in_the_same_directory(cli, refuse, here):
    assert cli(TRAIN + "--out run")[0] == 0
    before = (here / "run" / "checkpoint").read_bytes()
    for flag, difference in (("--rate 0.2", r"\brate \(0\.1 .*0\.2 "), ("--seed 1", r"\bseed \(0 .*1 ")):
        assert re.search(difference, refuse(TRAIN + f"--out run {flag}", "run directory", "run").problem)
    assert (here / "run" / "checkpoint").read_bytes() == before


def test_a_damaged_checkpoint_is_set_aside(cli, here):
    line = TRAIN + "--out run"
    assert cli(line)[0] == 0
    path = here / "run" / "checkpoint"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    code, _, err = cli(line)
    assert code == 0
    assert err.startswith("widthwise: warning: checkpoint run/checkpoint is damaged: set aside as checkpoint.damaged")
    assert err.count("\n") == 1
    assert path.read_bytes() == whole
    assert path.with_name("checkpoint.damaged").read_bytes() == whole[:-10]


def test_a_checkpoint_that_is_a_link(cli, refuse, here):
    assert cli(TRAIN + "--out run")[0] == 0
    path = here / "run" / "checkpoint"
    path.rename(here / "elsewhere")
    path.symlink_to(here / "elsewhere")
    refuse(TRAIN + "--out run", "checkpoint", "run/checkpoint")


HOLDER = """
import sys
from widthwise.sweep import RunStore
with RunStore.open("run", kind="train", spec={}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_on_the_same_directory(refuse, here):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        assert str(holder.pid) in refuse(TRAIN + "--out run", "run directory", "run").problem
    finally:
        holder.communicate("")


def test_a_real_process_ends_the_same_way(here):
    done = subprocess.run(
        [sys.executable, "-m", "widthwise", *(TRAIN + "--data missing.npz").split()], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("widthwise: error: ")
    assert "missing.npz" in done.stderr
    assert done.stderr.count("\n") == 1
