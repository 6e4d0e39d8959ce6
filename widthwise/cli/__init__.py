"""The command line, one file a verb: results to stdout, progress to stderr; exit code 1 a failed check, 2 bad input."""

from ._compilation import use_compilation_cache as use_compilation_cache
from ._main import VERBS as VERBS
from ._main import interruptible as interruptible
from ._main import main as main
from ._main import run as run
from ._progress import runs_text as runs_text
from ._progress import runs_told as runs_told
