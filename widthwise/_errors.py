"""Errors that a user can mend: they name the value received, what was expected and the remedy."""

import difflib
import re
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """Input that cannot be used; the command line prints it and exits with code 2.

    **Arguments:** `problem`: what was received and why it cannot be used; it names the setting and the value;
    `setting`: the argument, field or flag; `value`: what was received; `remedy`: what to give instead, which ends the
    message.

    >>> print(InputError("momentum is 1.5", setting="momentum", value=1.5, remedy="give at least 0 and below 1"))
    momentum is 1.5: give at least 0 and below 1
    """

    def __init__(self, problem: str, *, setting: str = "", value: Any = None, remedy: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.problem, self.setting, self.value, self.remedy = problem, setting, value, remedy

    def within(self, place: str) -> "InputError":
        """The same error, its message beginning with the file in which it was found.

        >>> print(InputError("base is 0", setting="base", value=0, remedy="give 1").within("table file t.json"))
        table file t.json: base is 0: give 1
        """
        return InputError(f"{place}: {self.problem}", setting=self.setting, value=self.value, remedy=self.remedy)


def unknown(kind: str, name: object, options: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest name that does.

    **Arguments:** `kind`: what the name stands for (`"parameterization"`); `name`: what was
    received; `options`: the names that exist.

    **Returns:** the error, to be raised by the caller.

    >>> unknown("gauge", "stq", ["stp", "mup"]).args[0]
    "unknown gauge 'stq': did you mean 'stp'? Known: mup, stp"
    >>> unknown("algorithm", "predictive_coding", ["bp", "pc"]).args[0]
    "unknown algorithm 'predictive_coding': did you mean 'pc'? Known: bp, pc"
    """
    options = sorted(options)
    initials = "".join(word[0] for word in re.findall(r"[a-z]+", str(name).lower()))
    # Names differ in more than their case: `muPC` means mupc, not mup.
    near = difflib.get_close_matches(str(name).lower(), options, n=1, cutoff=0.5)
    close = near or [option for option in options if option == initials]
    hint = f"did you mean '{close[0]}'? " if close else ""
    remedy = f"{hint}Known: {', '.join(options)}"
    return InputError(f"unknown {kind} {str(name)!r}", setting=kind, value=name, remedy=remedy)


def expect(kind: Any, example: str, **given: object) -> None:
    """Refuse what is of another kind, before something in it is missed where nobody can tell why.

    **Arguments:** `kind`: a type, a union of types, or `Callable`; `example`: how one is had; `given`: values by name.

    **Raises:** `InputError`.

    >>> expect(int, "3", seeds=2)
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            received = f"{name} is {str(value)[:60]!r}"
            raise InputError(received, setting=name, value=value, remedy=f"expected one like {example}")


class RunWarning(UserWarning):
    """A run ended, and its numbers should not be taken at face value."""
