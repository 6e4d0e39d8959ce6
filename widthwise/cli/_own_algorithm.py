"""An algorithm of one's own: a class in a file, imported where the command line names it and nowhere else."""

import argparse
import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InputError
from ..config import PREDICTIVE_CODING, TARGET_PROPAGATION, Run, misplaced
from ..parameterizations import OWN

if TYPE_CHECKING:
    from ..algorithms import AbstractAlgorithm


def add_rule_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of verbs that run an algorithm of one's own."""
    parser.add_argument("--rule", metavar="FILE.py:CLASS", help="an algorithm of one's own, instead of --algorithm")


def with_rule(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they are stored: of a rule its class's name and its file's digest, which nothing can import.

    **Raises:** `InputError` where there is no such file, and for an algorithm beside it.
    """
    name = settings.get("rule")
    if name is None:
        return settings
    if "algorithm" in settings:
        raise InputError(
            f"--rule {name} and --algorithm {settings['algorithm']}",
            setting="--rule",
            value=name,
            remedy="give one of them",
        )
    path, attribute = _place(name)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(
            f"--rule {name}: {path}: {error.strerror}",
            setting="--rule",
            value=name,
            remedy="expected a file that can be read",
        ) from None
    return settings | {"algorithm": OWN, "rule": f"{attribute} {digest}"}


def own_rule(name: str, spec: Run) -> "AbstractAlgorithm":
    """An instance of the class that a file of the user's defines.

    **Arguments:** `name`: FILE.py:CLASS, of the command line; `spec`: the run, whose settings it must not ignore.

    **Raises:** `InputError` for settings of our algorithms, a file that cannot be imported, and a class that is no
    algorithm or needs arguments.
    """
    for setting in (*PREDICTIVE_CODING, *TARGET_PROPAGATION, "gamma_bar", "output_loss"):
        if getattr(spec, setting) not in (None, False):
            raise misplaced(
                {setting: getattr(spec, setting)}, "of our algorithms", "a rule of one's own sets it itself"
            )
    path, attribute = _place(name)
    source = importlib.util.spec_from_file_location(path.stem, path)
    assert source is not None
    assert source.loader is not None
    module = importlib.util.module_from_spec(source)
    from ..algorithms import AbstractAlgorithm

    # Any error: the file is the user's, and so is what it raises.
    try:
        source.loader.exec_module(module)
    except Exception as error:
        raise InputError(
            f"--rule {name}: {path} cannot be imported: {_told(error)}",
            setting="--rule",
            value=name,
            remedy="mend the file",
        ) from error
    kind = getattr(module, attribute, None)
    if not (isinstance(kind, type) and issubclass(kind, AbstractAlgorithm)):
        raise InputError(
            f"--rule {name}: {path} has no algorithm {attribute}",
            setting="--rule",
            value=name,
            remedy="expected a class of AbstractAlgorithm",
        )
    try:
        return kind()
    except Exception as error:
        raise InputError(
            f"--rule {name}: {attribute}() cannot be made: {_told(error)}",
            setting="--rule",
            value=name,
            remedy="expected a class that is made without arguments",
        ) from error


def _place(name: str) -> tuple[Path, str]:
    file, _, attribute = name.rpartition(":")
    path = Path(file)
    if not attribute or path.suffix != ".py" or not path.is_file():
        raise InputError(
            f"--rule {name}",
            setting="--rule",
            value=name,
            remedy="expected a file and a class of it, as in my_rule.py:MyRule",
        )
    return path, attribute


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
