"""The command line: one file a verb. Results to stdout, progress to stderr; exit 0, 1 (a check failed), 2 (bad input)."""

from ._main import main as main
