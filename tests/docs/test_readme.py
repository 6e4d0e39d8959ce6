"""What the documents show works: Python runs, commands parse, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from command_words import refused

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md", "CONTRIBUTING.md", "recipes/README.md", "docs/workflow.md", "docs/check.md", "docs/derive.md",
    "docs/inference.md", "docs/richness_and_gauges.md", "docs/sweeps.md", "docs/target_propagation.md",
)  # fmt: skip
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name, *languages):
    return [code for language, code in FENCE.findall(text(name)) if language in languages]


def commands(name):
    """Every `widthwise ...` command of a document: in console blocks, and in backticks where it names a verb."""
    found = []
    for block in blocks(name, "console", "bash", "sh", "shell", ""):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ ").removeprefix("srun "), comments=True)
            if words[:1] == ["widthwise"]:
                found.append(words[1:])
    prose = FENCE.sub("", text(name))
    inline = [shlex.split(code) for code in re.findall(r"`widthwise ([^`]+)`", prose)]
    return found + [words for words in inline if words[0].islower() and words[0] != "--help" and len(words) > 1]


def test_there_is_something_to_test():
    assert blocks("README.md", "python")
    assert {words[0] for words in commands("README.md")} >= {"table", "check", "transfer", "train", "report", "doctor"}


CODE = [code for name in ("README.md", "docs/inference.md") for code in blocks(name, "python")]


@pytest.mark.parametrize("code", CODE, ids=map(str, range(len(CODE))))
def test_python_runs(code, tmp_path, monkeypatch, float32):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "documents", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize(
    "words", [words for name in DOCUMENTS for words in commands(name)], ids=lambda words: " ".join(words)[:60]
)
def test_commands_parse(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert refused(words, capsys) is None


# Issue 2: the demo is this command.
DEMO = """transfer --data digits --network mlp --depth 3 --activation tanh --algorithm pc --parameterization sp mup
    --gamma-bar -1 --optimizer sgd --relaxation error --iterations 12 --widths 128 256 512 --log2-rates -5 2 0.5
    --seeds 6 --steps 40 --batch-size 64 --out runs/demo"""


def test_make_demo_is_the_documented_sweep():
    flags = re.search(r"^DEMO := (.*?[^\\])\n", text("Makefile"), re.MULTILINE | re.DOTALL)[1]
    assert ["transfer", *flags.replace("\\\n", " ").split()] == DEMO.split()


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))
    named = {found for name in DOCUMENTS for found in re.findall(r"(?:`|^\$ )make (\w+)", text(name), re.MULTILINE)}
    assert {"demo", "test", "lint", "types", "bench"} | named <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text(name)))
    here = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    missing = [link for link in here if not ((ROOT / name).parent / link).exists()]
    assert not missing
