"""Bad input: exit code 2, one line on stderr that names the value, no traceback, nothing stored lost."""

import json
import subprocess
import sys

import pytest

TRAIN = "train --data ok.npz --batch-size 8 --width 8 --steps 2 --rate 0.1 "
DTP = TRAIN + "--algorithm dtp --parameterization mup "
SWEEP = "transfer --data ok.npz --batch-size 8 --steps 2 "
PC = TRAIN + "--algorithm pc "
THEORY = "theory conditioning --data ok.npz --batch-size 8 "

BAD = {
    # Names: the nearest is named.
    "trian": "'trian': did you mean 'train'",
    TRAIN + "--parameterization mupp": "'mupp': did you mean 'mup'",
    TRAIN + "--network residualmlp": "'residualmlp': did you mean 'residual_mlp'",
    TRAIN + "--activation tahn": "'tahn': did you mean 'tanh'",
    TRAIN + "--optimizer adm": "'adm': did you mean 'adam'",
    TRAIN + "--loss mze": "'mze': did you mean 'mse'",
    TRAIN + "--schedule cosin": "'cosin': did you mean 'cosine'",
    TRAIN + "--gauge stq": "'stq': did you mean 'stp'",
    TRAIN + "--state poste": "'poste': did you mean 'post'",
    TRAIN + "--dtype float46": "'float46': did you mean 'float64'",
    TRAIN + "--data digit": "'digit': did you mean 'digits'",
    TRAIN + "--weight-decay 0.1 --weight-decay-kind coupld": "'coupld': did you mean 'coupled'",
    PC + "--relaxation eror": "'eror': did you mean 'error'",
    PC + "--output-loss weightd": "'weightd': did you mean 'weighted'",
    TRAIN + "--algorithm pcc": "'pcc': did you mean 'pc'",
    TRAIN + "--wdth 3": "'--wdth'; did you mean --width",
    TRAIN + "--lr 0.1": "'--lr'; did you mean --rate?",
    SWEEP + "--lr 0.1": "'--lr'; did you mean --log2-rates?",
    TRAIN + "--parameterization muPC": "'muPC': did you mean 'mupc'",
    # What a counter, or a square in float32, does not hold.
    PC + "--iterations 3000000000": "iterations is 3000000000: it must be below 2^31",
    PC + "--output-precision 1e-22": "output_precision is 1e-22: it must be from 1.1e-19 to 1.8e+19",
    PC + "--precision-cap 1e-30": "precision_cap is 1e-30: it must be from",
    PC + "--activity-rate 1e300": "activity rate is 1e+300: it must be from",
    PC + "--activity-rate 0": "activity rate is 0.0: it must be positive",
    PC + "--tolerance 1e60": "tolerance is 1e+60: it must be from",
    SWEEP + "--parameterization sp mupp": "'mupp'",
    SWEEP + "--schedule cosin": "'cosin'",
    TRAIN + "left": "'left'",
    DTP + "--feedback rige": "'rige': did you mean 'ridge'",
    DTP + "--ridge -1": "ridge is -1.0",
    DTP + "--eta-hat 0": "eta_hat is 0.0: it must be positive",
    DTP + "--feedback trained --ridge 0.1": "--ridge: the feedback 'trained' has none; it belongs to ridge",
    DTP + "--noise 0.1": "--noise: the feedback 'ridge' has none; it belongs to trained, drl, ldrl",
    DTP + "--feedback drl --noise 0": "noise is 0",
    # Linear functions of 6 inputs have rank 6, of 8 examples and 8 units.
    DTP + "--ridge 0 --activation linear": "states of layer 2 have rank 6 of 8",
    # Networks of images: ok.npz has none, digits have 8 x 8 pixels.
    TRAIN + "--network cnn": "--network cnn reads images, and ok.npz has none",
    TRAIN + "--network cnm": "'cnm': did you mean 'cnn'",
    "check --times 4 1": "--times [4, 1]: expected increasing numbers of steps",
    "check --times 1 4 --steps 4": "--steps 4 and --times [1, 4]: give one of them",
    "check --out slopes.txt": "--out slopes.txt: expected a file in a folder that exists",
    "check --gamma-0 2 --against sp": "gamma_0 2.0: the name 'sp' has no richness",
    "check --against mup": "that is the table under test",
    "check --desiderata --times 1 --out a.png": "--times, --out: the desiderata are of the first update's direction",
    TRAIN + "--pool max": "--pool: of networks of images (cnn, vgg, residual_cnn), not of mlp",
    TRAIN + "--data digits --network cnn --channels 4,M": "--channels 4,M: of vgg, not of cnn",
    TRAIN + "--data digits --network cnn --pool mx": "'mx': did you mean 'max'",
    TRAIN + "--data digits --network cnn --readout gab": "'gab': did you mean 'gap'",
    TRAIN + "--data digits --network cnn --norm bath": "'bath': did you mean 'batch'",
    TRAIN + "--data digits --network cnn --stride 0": "stride is 0",
    TRAIN + "--data digits --network cnn --width 0": "channels is 0",
    TRAIN + "--data digits --network cnn --depth 6 --pool max --stride 1": "fewer strides and poolings",
    TRAIN + "--data digits --network vgg --channels 0,M": "'0' is neither a number of at least 1 nor M",
    TRAIN + "--data digits --network vgg --channels M,4": "M follows the convolution",
    TRAIN + "--data digits --network vgg --channels 4,6 --width 3": "times 3/4 are not whole",
    TRAIN + "--data digits --network vgg --channels 4,M --depth 5": "a depth of 2",
    TRAIN + "--data digits --network vgg --depth 6": "styles 5, 7, 9, 11",
    TRAIN + "--data digits --network residual_cnn --state post": "carries pre-activations",
    DTP + "--data digits --network vgg --feedback tied": "max pooling has no transposed map",
    THEORY + "--network cnn": "conditioning is of mlp and residual_mlp",
    DTP + "--feedback trained --feedback-activation tahn": "'tahn': did you mean 'tanh'",
    DTP + "--feedback trained --feedback-optimizer adm": "'adm': did you mean 'adam'",
    DTP + "--feedback trained --feedback-rate 0": "feedback rate is 0.0",
    DTP + "--feedback trained --feedback-steps 0": "feedback steps is 0",
    DTP + "--feedback trained --feedback-pretrain -1": "pretraining is -1",
    DTP + "--network residual_mlp --feedback trained --parameterization sp": "use the feedback 'ridge'",
    DTP + "--network residual_mlp --feedback tied --parameterization sp": "use the feedback 'ridge'",
    DTP + "--parameterization mupc": "no table 'mupc' is known for target propagation",
    DTP + "--gamma-bar -1": "no meaning for target propagation",
    DTP + "--relaxation auto": "--relaxation: of predictive coding",
    TRAIN + "--ridge 0.1": "--ridge: of target propagation",
    PC + "--feedback ridge": "--feedback: of target propagation",
    "theory": "topic",
    "theory conditionin": "'conditionin': did you mean 'conditioning'",
    THEORY + "--parameterization sp mupp": "'mupp': did you mean 'mup'",
    THEORY + "--relaxation automatic": "relaxation 'automatic'",
    THEORY + "--network residualmlp": "'residualmlp': did you mean 'residual_mlp'",
    # Numbers out of range.
    TRAIN + "--width 0": "width is 0",
    TRAIN + "--width -3": "width is -3",
    TRAIN + "--depth 1": "depth is 1",
    TRAIN + "--batch-size 0": "batch_size is 0",
    PC + "--activity-decay 0.1": "activity_decay",
    PC + "--activity-decay -1 --relaxation auto": "activity_decay is -1.0",
    PC + "--activity-decay 0.1 --relaxation auto --precision-cap 0.1": "precision_cap",
    TRAIN + "--devices 0": "devices is 0",
    TRAIN + "--mesh 2x2": "--mesh 2x2: expected axes data and model",
    TRAIN + "--mesh data=2,data=2": "--mesh data=2,data=2: expected",
    TRAIN + "--mesh data=0": "--mesh data=0: expected",
    TRAIN + "--mesh data=2 --devices 2": "--devices 2 and --mesh data=2: give one of them",
    TRAIN + "--mesh model=3": "width is 8: 3 devices cannot share it evenly",
    TRAIN + "--coordinator here:1": "go with --distributed",
    TRAIN + "--distributed --process-id 0": "go together; or none of them",
    TRAIN + "--batch-size 41": "batch_size is 41: it must be between 1 and the 40",
    TRAIN + "--steps 0": "steps 0",
    TRAIN + "--epochs 1": "epochs 1, steps 2",
    TRAIN + "--rate 0": "0.0",
    TRAIN + "--rate -1": "-1.0",
    TRAIN + "--rate nan": "nan",
    TRAIN + "--rate inf": "inf",
    TRAIN + "--rate fast": "'fast'",
    TRAIN + "--seed -1": "-1",
    TRAIN + "--seed 99999999999999999999": "99999999999999999999",
    TRAIN + "--seed 1.5": "'1.5'",
    TRAIN + "--momentum 1": "momentum is 1.0",
    TRAIN + "--optimizer adam --momentum 0.9": "momentum 0.9",
    TRAIN + "--weight-decay -1": "-1.0",
    TRAIN + "--weight-decay nan": "weight_decay is nan",
    TRAIN + "--weight-decay-kind lr": "--weight-decay-kind lr",
    TRAIN + "--optimizer adam --epsilon 0": "epsilon is 0.0",
    TRAIN + "--epsilon 1e-3": "--epsilon 0.001 is of adam",
    TRAIN + "--output-loss unweighted": "output_loss 'unweighted' has no meaning for backprop",
    TRAIN + "--gain inf": "gain is inf",
    TRAIN + "--base-width 0": "base_width is 0",
    TRAIN + "--validation 0": "0 validation examples",
    TRAIN + "--validation 40": "40 validation examples",
    TRAIN + "--examples 0": "0 training examples",
    TRAIN + "--examples 400": "400 training examples",
    TRAIN + "--richness 1/4": "richness 1/4",
    TRAIN + "--parameterization richness": "needs richness",
    TRAIN + "--parameterization richness --richness 3/4": "3/4",
    TRAIN + "--parameterization richness --richness -1/4": "-1/4",
    TRAIN + "--parameterization richness --richness 1/0": "'1/0'",
    TRAIN + "--gamma-bar -1": "gamma_bar -1",
    PC + "--iterations 0": "iterations is 0",
    PC + "--relaxation descent --look-ahead": "it belongs to error",
    PC + "--tolerance 0": "tolerance is 0.0",
    PC + "--output-precision 0": "output_precision is 0.0",
    PC + "--activity-rate -1": "-1.0",
    PC + "--activity-rate 0": "0.0",
    PC + "--relaxation sweep --sweep-step 0": "0.0",
    SWEEP + "--widths 8 0": "width is 0",
    SWEEP + "--widths": "--width",
    SWEEP + "--log2-rates 2 -5 0.5": "2.0 -5.0 0.5",
    SWEEP + "--log2-rates -5 2 0": "-5.0 2.0 0.0",
    SWEEP + "--log2-rates -5 nan 1": "nan",
    SWEEP + "--log2-rates -5 2 1e-9": "1e-09",
    SWEEP + "--log2-rates -5 2": "--log2-rates",
    SWEEP + "--algorithm pc --log2-activity-rates 0 -1 1": "log2 activity rates 0.0 -1.0 1.0",
    SWEEP + "--algorithm pc --log2-activity-rates 0 1": "--log2-activity-rates",
    SWEEP + "--log2-activity-rates -2 0 1": "log2_activity_rates: 'bp' has no activity rate",
    SWEEP + "--algorithm pc --relaxation sweep --log2-activity-rates -2 0 1": "SequentialSweep has no rate to sweep",
    SWEEP + "--algorithm pc --activity-rate 0.1 --log2-activity-rates -2 0 1": "--activity-rate 0.1",
    SWEEP + "--seeds 0": "seeds 0",
    SWEEP + "--engine rya": "invalid choice: 'rya'",
    SWEEP + "--workers 2": "--workers: the engine 'local' has none; it belongs to --engine processes or slurm",
    SWEEP + "--engine processes --address here:1": "--address: the engine 'processes' has none",
    SWEEP + "--engine processes --workers 0": "--workers is 0",
    SWEEP + "--engine ray --workers 2": "--workers: the engine 'ray' has none",
    SWEEP + "--engine ray --group-gpus -1": "--group-gpus is -1",
    SWEEP + "--engine ray --slurm timeout_min=3": "--slurm: the engine 'ray' has none; it belongs to --engine slurm",
    SWEEP + "--engine slurm": "--engine slurm needs --out DIR",
    SWEEP + "--engine slurm --out run --slurm timeout_min": "'timeout_min': expected NAME=VALUE",
    SWEEP + "--seeds -2": "seeds -2",
    SWEEP + "--batch-size 41": "batch_size is 41",
    SWEEP + "--epochs 1": "steps 2, epochs 1",
    "check --widths 8": "[8]",
    "check --widths 16 8": "[16, 8]",
    "check --widths 8 16 --seeds 1": "seeds 1",
    "check --depths 8 16": "only residual networks",
    "check --network residual_mlp --depths 8": "at least two depths",
    "check --network residual_mlp --depths 2 8": "3 layers at least",
    "check --network residual_mlp --depths 16 8": "increasing",
    "check --network residual_mlp --depths 8 16 --depth 8": "give one of them",
    "check --network residual_mlp --depths 8 16 --widths 8 16": "give one width",
    "check --network residual_mlp --depths 8 16 --desiderata": "--depths",
    "check --widths 8 16 --rate 0": "rate is 0.0",
    "check --widths 8 16 --rate nan": "rate is nan",
    "check --widths 8 16 --richness 2x": "'2x'",
    THEORY + "--depths 4 1": "depth is 1",
    THEORY + "--widths 8 0": "width is 0",
    THEORY + "--widths": "--width",
    THEORY + "--depths": "--depth",
    THEORY + "--parameterization": "--parameterization",
    THEORY + "--train-steps": "--train-steps",
    THEORY + "--train-steps 0 -1": "-1",
    THEORY + "--train-steps 0 5": "rate",
    THEORY + "--train-steps 5 --rate 0": "rate is 0.0",
    THEORY + "--seeds 0": "seeds 0",
    THEORY + "--output-precision 0": "output_precision is 0.0",
    "theory conditioning --data ok.npz --batch-size 41": "batch_size is 41",
    "table --gamma-bar x --algorithm pc": "'x'",
    "table --base-depth 0": "base_depth is 0",
    # Settings that do not go together.
    SWEEP + "--widths 8 16 --depths 3 4": "--widths [8, 16] and --depths [3, 4]",
    SWEEP + "--depths 3 4 --widths 16 8": "or both with --grid",
    SWEEP + "--widths 8 16 --depths 3 3 --grid": "--widths [8, 16] and --depths [3, 3]: --grid is for several",
    SWEEP + "--widths 8 16 --grid": "--depths [3]: --grid is for several values of both",
    TRAIN + "--iterations 4": "--iterations: of predictive coding",
    TRAIN + "--output-precision 1": "--output-precision: of predictive coding",
    SWEEP + "--relaxation error": "--relaxation: of predictive coding",
    "check --widths 8 16 --activity-rate 0.1": "--activity-rate: of predictive coding",
    PC + "--relaxation exact": "use --relaxation error",
    PC + "--relaxation exact --activation linear --loss ce": "use --relaxation error",
    SWEEP + "--algorithm bp pc --relaxation exact": "use --relaxation error",
    "check --algorithm pc --relaxation exact": "use --relaxation error",
    SWEEP + "--parameterization mupc mupc_constant": "'mupc_constant' is a rule for Adam, got optimizer 'sgd'",
    PC + "--relaxation sweep --activity-rate 0.1": "--activity-rate: the relaxation 'sweep'",
    PC + "--sweep-step 0.1": "--sweep-step: the relaxation 'error'",
    TRAIN + "--network residual_mlp --state post": "'post'",
    # Files.
    TRAIN + "--data missing.npz": "missing.npz",
    TRAIN + "--data corrupt.npz": "corrupt.npz",
    TRAIN + "--data lacking.npz": "x_test",
    TRAIN + "--data nan.npz": "row 3",
    TRAIN + "--data-dir empty": "ok.npz reads no folder; it is for fashion_mnist, mnist, cifar10, cifar100",
    TRAIN + "--data fashion_mnist --data-dir empty": "train-images-idx3-ubyte.gz",
    TRAIN + "--data cifar10 --data-dir empty": "empty lacks cifar-10-binary.tar.gz",
    TRAIN + "--data cifar100 --data-dir file": "file lacks cifar-100-binary.tar.gz",
    TRAIN + "--data mnst": "'mnst': did you mean 'mnist'",
    TRAIN + "--image-size 2": "'ok.npz': image_size 2 asked for, and these are no images",
    TRAIN + "--data digits --image-size 3": "expected 8, 4, 2, 1",
    TRAIN + "--data digits --image-size 0": "image_size 0",
    TRAIN + "--data digits --image-size half": "'half'",
    SWEEP + "--data digits --image-size 16": "expected 8, 4, 2, 1",
    TRAIN + "--parameterization none.json": "none.json",
    TRAIN + "--parameterization broken.json": "broken.json",
    TRAIN + "--parameterization list.json": "list.json",
    TRAIN + "--parameterization deep.json": "deep.json",
    TRAIN + "--parameterization other_version.json": "schema version 2",
    TRAIN + "--json nowhere/out.json": "nowhere/out.json",
    SWEEP + "--json empty": "--json empty",
    "table --json nowhere/out.json": "nowhere/out.json",
    THEORY + "--out figure.txt": "--out figure.txt",
    THEORY + "--out nowhere/figure.png": "--out nowhere/figure.png",
    TRAIN + "--out file": "file",
    TRAIN + "--out empty/../file/run": "file/run",
    "report nowhere": "nowhere",
    "report": "DIR",
    "doctor --jsn x": "did you mean --json",
    "train": "--rate",
}


@pytest.mark.parametrize("line", BAD)
def test_is_refused_in_one_line(cli, line):
    code, out, err = cli(line)
    assert code == 2, (out, err)
    assert err.startswith("widthwise: error: ")
    assert err.count("\n") == 1
    assert BAD[line] in err
    assert "Traceback" not in err


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
def test_a_table_file_and_a_flag_of_the_table(cli, flag):
    assert cli("table --json mine.json")[0] == 0
    lines = [TRAIN, SWEEP] + ([] if flag.startswith("--richness") else ["check --widths 8 16 "])
    for line in lines if "decay" not in flag else lines[:2]:
        code, _, err = cli(line + f"--parameterization mine.json {flag}")
        assert code == 2
        assert "mine.json" in err
        assert flag.split()[0] in err


def test_a_letter_and_a_power_that_disagree(cli, loaded, here):
    cli("table --json mine.json")
    table = loaded("mine.json")
    table["roles"]["hidden"]["c"] = "1"
    (here / "mine.json").write_text(json.dumps(table))
    code, _, err = cli(TRAIN + "--parameterization mine.json")
    assert code == 2
    assert "mine.json" in err
    assert "hidden" in err


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"schema_version": 2}', '{"schema_version": 1}'])
def test_a_damaged_transfer_json(cli, here, content):
    (here / "run").mkdir()
    (here / "run" / "transfer.json").write_text(content)
    code, _, err = cli("report run")
    assert code == 2
    assert "transfer.json" in err
    assert not (here / "run" / "report.html").exists()


def test_a_run_directory_of_another_version(cli, here):
    line = TRAIN + "--out run"
    assert cli(line)[0] == 0
    spec = json.loads((here / "run" / "spec.json").read_text())
    (here / "run" / "spec.json").write_text(json.dumps(spec | {"schema_version": 99}))
    before = {path.name: path.read_bytes() for path in (here / "run").iterdir() if path.name != "lock"}
    code, _, err = cli(line)
    assert code == 2
    assert "schema version 99" in err
    assert {path.name: path.read_bytes() for path in (here / "run").iterdir() if path.name != "lock"} == before


def test_a_refused_run_leaves_its_directory_free(cli, here):
    line = SWEEP + "--algorithm pc --width 8 --log2-rates -3 -1 1 --activity-decay 0.1 --out run "
    code, _, err = cli(line)
    assert code == 2
    assert "use the relaxation auto" in err
    assert cli(line + "--relaxation auto")[0] == 0
    # Once it holds runs it is theirs.
    code, _, err = cli(line + "--relaxation quasi_newton")
    assert code == 2
    assert "another spec" in err


def test_a_report_of_a_training_run_names_what_shows_it(cli):
    assert cli(TRAIN + "--out run")[0] == 0
    code, _, err = cli("report run")
    assert code == 2
    assert "run holds a training run, which `widthwise runs run` lists" in err


def test_another_run_in_the_same_directory(cli, here):
    assert cli(TRAIN + "--out run")[0] == 0
    before = (here / "run" / "checkpoint").read_bytes()
    code, _, err = cli(TRAIN + "--out run --rate 0.2")
    assert code == 2
    assert "rate (0.1 stored, 0.2 given)" in err
    code, _, err = cli(TRAIN + "--out run --seed 1")
    assert code == 2
    assert "seed (0 stored, 1 given)" in err
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


def test_a_checkpoint_that_is_a_link(cli, here):
    assert cli(TRAIN + "--out run")[0] == 0
    path = here / "run" / "checkpoint"
    path.rename(here / "elsewhere")
    path.symlink_to(here / "elsewhere")
    code, _, err = cli(TRAIN + "--out run")
    assert code == 2
    assert "run/checkpoint is a link" in err


HOLDER = """
import sys
from widthwise.sweep import RunStore
with RunStore.open("run", kind="train", spec={}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_on_the_same_directory(cli, here):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        code, _, err = cli(TRAIN + "--out run")
        assert code == 2
        assert f"another process (pid {holder.pid}) is using run" in err
    finally:
        holder.communicate("")


def test_a_real_process_ends_the_same_way(here):
    done = subprocess.run(
        [sys.executable, "-m", "widthwise", *(TRAIN + "--data missing.npz").split()], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("widthwise: error: missing.npz")
    assert done.stderr.count("\n") == 1
