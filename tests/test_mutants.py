"""`make mutants` takes minutes and runs apart: here only that every defect of its list still applies."""

import re
from pathlib import Path

import pytest
from mutants._defects import DEFECTS

import widthwise

PACKAGE = Path(widthwise.__file__).parent
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_every_defect_still_applies(defect):
    """Its text occurs once in its file, its replacement is another, and the tests that it names exist."""
    assert (PACKAGE / defect.file).read_text(encoding="utf-8").count(defect.old) == 1
    assert defect.new != defect.old
    assert defect.tests
    for test in defect.tests:
        file, name = test.split("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), test
