"""How tests say that input is refused: by the three fields of `InputError` and what is printed, never by its words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import widthwise as ww
from widthwise.cli import run

ANY = object()
# Of a long value the message shows the beginning.
SHOWN = 40


@contextmanager
def refused(setting: str, value: Any = ANY) -> Iterator[pytest.ExceptionInfo[ww.InputError]]:
    """The block raises `InputError` for this setting and, where given, this value, which its message shows.

    A path may be given as text; None is what was received where nothing was.
    """
    with pytest.raises(ww.InputError) as caught:
        yield caught
    error = caught.value
    assert error.setting == setting, str(error)
    # By its text first: nan equals nothing, and arrays give no one answer.
    same = value is ANY or repr(error.value) == repr(value) or _plain(error.value) == _plain(value)
    assert same, (error.value, str(error))
    assert error.remedy.strip(), str(error)
    assert str(error).endswith(error.remedy)
    assert setting in error.problem, str(error)
    assert any(all(part[:SHOWN] in error.problem for part in parts) for parts in _texts(error.value)), str(error)


def refused_line(line: str, setting: str, value: Any = ANY) -> ww.InputError:
    """A command line, run in this process, that is refused so; before `main` would print why."""
    with refused(setting, value) as caught:
        run(line.split())
    return caught.value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _texts(value: Any) -> list[list[str]]:
    """How a message may write a value, in parts; None and a flag without a value are not written."""
    if value is None or value is True:
        return [[]]
    several = [list(map(str, value))] if isinstance(value, list | tuple) else []
    return [[str(value)], [repr(value)], *several]
