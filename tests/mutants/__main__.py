"""Apply each defect to a copy of the library, and demand that the tests it names fail.

First all named tests must pass without any defect. A defect whose text does not occur exactly once in its file, or
under which a named test passes, is a failure.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

from ._defects import DEFECTS, Defect

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 600


def copy(home: Path) -> Path:
    """A copy of the library and its tests."""
    for name in ("widthwise", "tests", "examples"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", home)
    shutil.copy(ROOT / "README.md", home)
    return home


def outcomes(home: Path, tests: tuple[str, ...]) -> dict[str, bool]:
    """Whether each named test passed; a test that was not found is missing."""
    report = home / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    environment = os.environ | {"PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*command, f"--junitxml={report}", "-p", "no:cacheprovider"],
        cwd=home,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT,
        check=False,
    )
    passed: dict[str, bool] = {}
    if report.exists():
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            name = case.get("name", "").split("[")[0]
            file = case.get("classname", "").replace(".", "/") + ".py"
            good = case.find("failure") is None and case.find("error") is None and case.find("skipped") is None
            key = f"{file}::{name}"
            passed[key] = passed.get(key, True) and good
    return passed


def caught(defect: Defect) -> str:
    """What is wrong with the suite's answer to a defect; empty where every named test fails."""
    with tempfile.TemporaryDirectory() as folder:
        home = copy(Path(folder))
        path = home / "widthwise" / defect.file
        text = path.read_text(encoding="utf-8")
        if text.count(defect.old) != 1:
            return f"its text occurs {text.count(defect.old)} times in {defect.file}: the defect no longer applies"
        path.write_text(text.replace(defect.old, defect.new), encoding="utf-8")
        passed = outcomes(home, defect.tests)
    blind = [test for test in defect.tests if passed.get(test, False)]
    return f"passed under it: {', '.join(blind)}" if blind else ""


def main() -> int:
    """Run all; the exit code is 0 where every defect is caught."""
    began = time.perf_counter()
    unnamed = [defect.name for defect in DEFECTS if not defect.tests]
    if unnamed:
        print(f"no test is named for: {', '.join(unnamed)}")
        return 1
    named = tuple(sorted({test for defect in DEFECTS for test in defect.tests}))
    with tempfile.TemporaryDirectory() as folder:
        passed = outcomes(copy(Path(folder)), named)
    broken = [test for test in named if not passed.get(test, False)]
    if broken:
        print(f"do not pass, or are not found, without a defect: {', '.join(broken)}")
        return 1
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for defect, problem in zip(DEFECTS, pool.map(caught, DEFECTS), strict=True):
            failures += bool(problem)
            print(
                f"{'ESCAPED' if problem else 'caught':8s} {defect.name}{': ' + problem if problem else ''}",
                flush=True,
            )
    print(f"{len(DEFECTS) - failures} of {len(DEFECTS)} caught in {time.perf_counter() - began:.0f} s")
    return 1 if failures else 0


sys.exit(main())
