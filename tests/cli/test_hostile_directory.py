"""A run directory from a stranger: nothing in it is executed, imported or believed to be a path."""

import importlib.util
import json
import os
import shutil
import sys
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest

SWEEP = "transfer --data ok.npz --batch-size 8 --steps 2 --widths 4 --depth 2 --log2-rates -3 -2 1 --seeds 1 --out run"
TRAIN = "train --data ok.npz --batch-size 8 --width 4 --depth 2 --steps 2 --rate 0.1 --out trained"
# Files that end a reader's patience or memory.
ENDLESS = [os.mkfifo, lambda path: os.symlink("/dev/zero", path)]
MARKUP = '"><img src=x onerror=alert(1)></title></svg><script>alert(2)</script><!--{{7*7}}{% raise %}'


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Where the first test that needs it leaves a sweep's directory."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def swept(cli, here, once):
    """A sweep's directory."""
    if not (once / "run").exists():
        assert cli(SWEEP)[0] == 0
        shutil.copytree(here / "run", once / "run")
    return shutil.copytree(once / "run", here / "run", dirs_exist_ok=True)


@pytest.fixture
def trap(here, monkeypatch):
    """A module that tells when it is imported, at hand under every name that a directory could give it."""
    (here / "evil.py").write_text("open('sprung', 'w')\nclass Network: pass\ndef run(*_): pass\n")
    monkeypatch.syspath_prepend(str(here))
    yield here
    assert "evil" not in sys.modules
    assert not (here / "sprung").exists()


def poisoned(value, word):
    """The same JSON with every text replaced."""
    if isinstance(value, dict):
        return {key: poisoned(item, word) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, word) for item in value]
    return word if isinstance(value, str) else value


WORDS = ("evil:run", "evil.Network", "!!python/name:evil.run", "__import__('evil')", "{{ cycler.__init__ }}")


@pytest.mark.parametrize("word", WORDS)
def test_names_of_modules_import_nothing(cli, refuse, trap, swept, word):
    home = swept
    content = json.loads((home / "spec.json").read_text())
    (home / "spec.json").write_text(json.dumps(content | {"spec": poisoned(content["spec"], word)}))
    records = [json.loads(line) for line in (home / "records.jsonl").read_text().splitlines()]
    with (home / "records.jsonl").open("a") as file:
        for record in records:
            file.write(json.dumps(poisoned(record, word) | {"hash": record["hash"], "__reduce__": word}) + "\n")
    payload = json.loads((home / "transfer.json").read_text())
    (home / "transfer.json").write_text(json.dumps(poisoned(payload, word)))
    # Another spec is refused, whatever it names; reading shows the names as text.
    refuse(SWEEP, "run directory", "run")
    code, out, _ = cli("runs run --show " + records[0]["hash"])
    assert code == 0
    assert word in out
    assert cli("report run")[0] in (0, 2)


def test_a_pickle_is_never_opened(cli, trap):
    assert cli(TRAIN)[0] == 0
    body = b"cevil\nrun\n(tR."
    for name in ("checkpoint", "checkpoint.part", "spec.json", "records.jsonl"):
        before = (trap / "trained" / name).read_bytes() if (trap / "trained" / name).exists() else None
        (trap / "trained" / name).write_bytes(body)
        code, _, err = cli(TRAIN)
        assert code in (0, 2)
        assert err.count("\n") <= 1
        if before is not None:
            (trap / "trained" / name).write_bytes(before)


def test_arrays_of_objects_in_data_are_refused(refuse, trap):
    np.savez(trap / "objects.npz", **{name: np.array([{}], dtype=object) for name in ("x_train", "y_train")})
    refuse(TRAIN.replace("ok.npz", "objects.npz"), "data file", "objects.npz")


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_names_lead_to_no_other_file(cli, here, swept):
    payload = json.loads((here / "run" / "transfer.json").read_text())
    (here / "run" / "transfer.json").write_text(json.dumps(poisoned(payload, "../../escape")))
    lines = (here / "run" / "records.jsonl").read_text().splitlines()
    with (here / "run" / "records.jsonl").open("a") as file:
        for name in ("../../escape", "/etc/passwd", "a\x00b", ".." * 500):
            file.write(json.dumps(json.loads(lines[0]) | {"hash": name, "group": name}) + "\n")
    before = files(here)
    assert cli("runs run --json out.json")[0] == 0
    cli("report run")
    assert cli(SWEEP)[0] == 0
    changed = {path.name for path, content in files(here).items() if before.get(path) != content}
    assert changed <= {"out.json", "report.html", "transfer.json", "lock"}


@pytest.mark.parametrize("name", ["transfer.json", "report.html", "records.jsonl", "spec.json", "parts", "lock"])
def test_links_reach_nothing(cli, here, swept, name):
    outside = here / "outside"
    if name == "parts":
        if importlib.util.find_spec("submitit") is None:
            pytest.skip("the extra slurm is not installed")
        outside.mkdir()
    else:
        outside.write_text("{}")
    path = here / "run" / name
    path.unlink(missing_ok=True)
    path.symlink_to(outside)
    content = None if name == "parts" else outside.read_bytes()
    for line in (SWEEP + (" --engine slurm" if name == "parts" else ""), "report run", "runs run"):
        code, _, err = cli(line)
        assert code in (0, 2)
        assert err.count("\n") <= 1
    if name == "parts":
        assert os.listdir(outside) == []
    else:
        assert outside.read_bytes() == content


READERS = {"transfer.json": "report run", "records.jsonl": "runs run", "spec.json": SWEEP}


@pytest.mark.parametrize("filler", ["", " "])
@pytest.mark.parametrize("name", READERS)
def test_a_huge_file_is_refused_unread(refuse, here, swept, name, filler):
    path = here / "run" / name
    if filler:
        # Valid JSON all the same: whoever read the first of it, or left out its end, would believe it.
        with path.open("a") as file:
            file.writelines([filler * 1_000_000] * 101)
    else:
        # Sparse: a line of a terabyte that takes no room.
        os.truncate(path, 2**40)
    with (here / "run" / "records.jsonl").open("a") as file:
        file.write("\n")
    error = refuse(READERS[name], "sweep file" if name == "transfer.json" else "file", f"run/{name}")
    # For its size: what follows its beginning is no JSON, and was not read.
    assert ("line is over" if name == "records.jsonl" else "larger than") in error.problem


@pytest.mark.parametrize("name", ["transfer.json", "spec.json", "records.jsonl", "tuned.json"])
def test_a_huge_file_takes_no_memory(refuse, here, swept, name):
    line, setting = {
        "transfer.json": ("report run", "sweep file"),
        "tuned.json": ("train --tuned run", "tuned file"),
        "spec.json": ("report run --watch", "file"),
    }.get(name, ("runs run", "file"))
    path = here / "run" / name
    path.touch()
    os.truncate(path, 2**40)
    # Once before, so that no import is counted.
    refuse(line, setting, f"run/{name}")
    tracemalloc.start()
    try:
        refuse(line, setting, f"run/{name}")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A record is read up to the end of its line, or to what a line may have at most; the others are not opened.
    assert most < (30_000_000 if name == "records.jsonl" else 1_000_000)


@pytest.mark.parametrize("reach", ENDLESS, ids=["pipe", "device"])
def test_a_tuned_rate_without_an_end_is_not_read(refuse, here, reach):
    (here / "tuned").mkdir()
    reach(here / "tuned" / "tuned.json")
    refuse("train --data ok.npz --width 4 --depth 2 --steps 2 --tuned tuned", "tuned file", "tuned/tuned.json")


@pytest.mark.parametrize("reach", ENDLESS, ids=["pipe", "device"])
@pytest.mark.parametrize(
    "line", ["table --parameterization t.json", "train --rate 0.1 --parameterization t.json", "derive --start t.json"]
)
def test_a_table_without_an_end_is_not_read(refuse, here, reach, line):
    reach(here / "t.json")
    refuse(line, "table file", "t.json")


def test_a_huge_table_takes_no_memory(refuse, here):
    (here / "t.json").touch()
    os.truncate(here / "t.json", 2**40)
    tracemalloc.start()
    try:
        refuse("table --parameterization t.json", "table file", "t.json")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What a table may have, held at most twice.
    assert most < 25_000_000


def holding(here, name, place, value):
    """A file whose inner entry at `place` is `value`."""
    content = json.loads((here / name).read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (here / name).write_text(json.dumps(content))


@pytest.mark.parametrize("place", [("gamma_bar",), ("richness",), ("roles", "hidden", "b")])
def test_an_exponent_of_a_tables_file_that_would_take_hours(cli, refuse, here, place):
    # A power of ten that is still computed at once, so that what refuses it late fails here and hangs nothing.
    assert cli("table --algorithm pc --json mine.json")[0] == 0
    holding(here, "mine.json", place, "1e9999")
    refuse("train --data ok.npz --rate 0.1 --algorithm pc --parameterization mine.json", "exponent", "1e9999")


def test_an_exponent_of_a_tuned_run_or_of_a_flag_that_would_take_hours(refuse, here):
    tuned = {"schema_version": 1, "search": "grid", "log2_rate": -2, "log2_activity_rate": None}
    settings = {"data": "ok.npz", "algorithm": "pc", "gamma_bar": "1e9999"}
    (here / "tuned.json").write_text(json.dumps(tuned | {"settings": settings}))
    for line in ("train --tuned tuned.json", "table --algorithm pc --gamma-bar 1e9999"):
        refuse(line, "exponent", "1e9999")


def test_an_exponent_of_a_page_that_would_take_hours(cli, here, swept):
    payload = json.loads((here / "run" / "transfer.json").read_text())
    table = next(iter(payload["tables"].values()))
    table["roles"]["hidden"]["a"] = "1e4200"
    (here / "run" / "transfer.json").write_text(json.dumps(payload))
    assert cli("report run")[0] == 0
    # As it is written: whoever computed it would show 4201 digits.
    page = (here / "run" / "report.html").read_text()
    assert "1e4200" in page
    assert "0" * 1000 not in page


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}


def test_markup_in_names_stays_text(cli, here, swept):
    plain = Page((here / "run" / "report.html").read_text())
    payload = json.loads((here / "run" / "transfer.json").read_text())
    for name in ("command", "created", "device", "versions", "settings"):
        payload[name] = poisoned(payload[name], MARKUP)
    payload["tables"] = {MARKUP: next(iter(payload["tables"].values()))}
    for row in (*payload["curves"], *payload["summary"]):
        row |= {"parameterization": MARKUP, "algorithm": MARKUP}
    (here / "run" / "transfer.json").write_text(json.dumps(payload))
    assert cli("report run")[0] == 0
    text = (here / "run" / "report.html").read_text()
    page = Page(text)
    assert page.tags.count("script") == plain.tags.count("script")
    assert not {"onerror"} & page.attributes
    assert page.tags.count("img") == plain.tags.count("img")
    assert "<script>alert(2)" not in text
    assert "{{7*7}}" in text
