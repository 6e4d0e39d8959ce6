"""The command line, one file a verb: results to stdout, progress to stderr; exit code 1 a failed check, 2 bad input."""

from ._main import main as main
