"""Whether the command line takes a command that somebody wrote down; nothing is trained."""

import itertools

from widthwise.cli import main
from widthwise.config import Run

SINGULAR = {"widths": "width", "depths": "depth"}


def refused(words, capsys):
    """Why the command line does not take a command, or None."""
    # An unknown flag is named once all the others have been read.
    assert main([*words, "--no-such-flag"]) == 2
    error = capsys.readouterr().err
    if "'--no-such-flag'" not in error:
        return error
    # Names too, where they are checked without data: the first value of each flag.
    values = {}
    for flag, value in itertools.pairwise(words):
        name = flag.removeprefix("--").replace("-", "_")
        name = SINGULAR.get(name, name)
        if flag.startswith("--") and not value.startswith("--") and name in Run.model_fields:
            values[name] = value
    try:
        Run(**values)
    except ValueError as problem:
        return str(problem)
    return None
