"""Flags: made from the fields of `config.Run`, one list for the command line and for specifications."""

import argparse
import difflib
import re
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .._errors import InputError
from ..config import Run

# Flags that take several values in `transfer` and `theory`, and by what other name.
PLURAL = {"width": "--widths", "depth": "--depths", "algorithm": None, "parameterization": None}
# What other programs call a flag of ours, which is one or the other with us.
RATES = ("--lr", "--learning-rate"), ("--rate", "--log2-rates")
# What argparse says: of which flag, and what it received.
FLAG, QUOTED = re.compile(r"--[a-z0-9-]+"), re.compile(r"'([^']*)'")
NEGATIVE = re.compile(r"-\d+/\d+|-\d*\.?\d+[eE][+-]?\d+")


class Parser(argparse.ArgumentParser):
    """A parser that raises `InputError`, naming the nearest flag, where argparse would exit."""

    def __init__(self, **settings: Any) -> None:
        # An abbreviation that works today would mean another flag, or none, once a flag is added.
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Bad usage is bad input."""
        flag = FLAG.search(message)
        wrong = QUOTED.search(message)
        raise InputError(
            message,
            setting=flag.group() if flag else message.split(": ")[-1],
            value=wrong.group(1) if wrong else None,
            remedy=f"see `{self.prog} --help`",
        )

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse, and name the nearest flag for one that does not exist."""
        values, rest = self.parse_known_args(fractions_joined(arguments))
        if rest:
            flags = [flag for action in self._actions for flag in action.option_strings]
            word = rest[0].split("=")[0]
            meant = [flag for flag in RATES[1] if flag in flags and word in RATES[0]]
            close = meant or difflib.get_close_matches(word, flags, n=1, cutoff=0.5)
            remedy = f"did you mean {close[0]}?" if close else f"see `{self.prog} --help`"
            raise InputError(f"unknown argument {rest[0]!r}", setting="argument", value=rest[0], remedy=remedy)
        target = getattr(values, "json", None)
        # Found out now, and not when hours of work wait to be written.
        if target is not None and (Path(target).is_dir() or not Path(target).parent.is_dir()):
            raise InputError(
                f"--json {target}", setting="--json", value=target, remedy="expected a file in a folder that exists"
            )
        return values


def fractions_joined(arguments: Sequence[str]) -> list[str]:
    """`--gamma-bar -1/2` as `--gamma-bar=-1/2`: argparse takes a leading minus for a flag.

    >>> fractions_joined(["--gamma-bar", "-1/2", "--out", "runs"])
    ['--gamma-bar=-1/2', '--out', 'runs']
    """
    joined: list[str] = []
    for argument in arguments:
        if NEGATIVE.fullmatch(argument) and joined and joined[-1].startswith("--"):
            joined[-1] += "=" + argument
        else:
            joined.append(argument)
    return joined


def add_run_flags(parser: argparse.ArgumentParser, verb: str) -> None:
    """The flags of a verb, from the fields of `Run` that it uses."""
    group = parser.add_argument_group("what is run")
    for name, field in Run.model_fields.items():
        extra = field.json_schema_extra
        if not isinstance(extra, dict) or verb not in str(extra["verbs"]).split():
            continue
        flag = "--" + name.replace("_", "-")
        default = field.default
        described = field.description or ""
        text = described if default in (None, False) else f"{described} ({default})"
        kind = _kind(field.annotation)
        if kind is bool:
            group.add_argument(flag, action="store_true", default=None, help=text)
        elif verb in ("transfer", "theory") and name in PLURAL:
            names = [flag] if PLURAL[name] is None else [flag, PLURAL[name]]
            group.add_argument(*names, dest=name, nargs="+", type=kind, metavar=name.upper(), help=text)
        elif verb in ("check", "derive") and name == "width":
            group.add_argument(flag, "--widths", dest=name, nargs="+", type=int, metavar="WIDTH", help=text)
        else:
            group.add_argument(flag, type=kind, metavar=name.upper(), help=text)


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of verbs that keep compiled programs."""
    parser.add_argument(
        "--no-compilation-cache", action="store_true",
        help="neither read nor keep compiled programs in the user's cache (WIDTHWISE_CACHE)",
    )  # fmt: skip


def add_select_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of verbs that look for a best rate."""
    parser.add_argument(
        "--select", default="final_loss", metavar="METRIC",
        help="what is best: final_loss (of all training examples), test_loss or test_accuracy (final_loss)",
    )  # fmt: skip


def given(values: argparse.Namespace) -> dict[str, Any]:
    """The fields of `Run` that were given on the command line."""
    return {name: getattr(values, name) for name in Run.model_fields if getattr(values, name, None) is not None}


def _kind(annotation: Any) -> Any:
    """The type of a field, Optional taken away."""
    if isinstance(annotation, types.UnionType):
        annotation = next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation
