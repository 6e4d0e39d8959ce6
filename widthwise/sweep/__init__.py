"""Sweeps: groups of runs in one program each, a store that loses nothing, and the transfer summary."""

from ._group import Group as Group
from ._group import Member as Member
from ._group import members as members
from ._group import with_activity_rate as with_activity_rate
from ._record import device as device
from ._record import run_names as run_names
from ._record import versions as versions
from ._run import Training as Training
from ._run import run_group as run_group
from ._store import RunStore as RunStore
from ._store import content_hash as content_hash
from ._store import jsonable as jsonable
from ._store import read as read
from ._store import read_json as read_json
from ._store import stream as stream
from ._store import write_json as write_json
from ._summary import summarize as summarize
from ._transfer import TransferResult as TransferResult
from ._transfer import grid as grid
from ._transfer import run_sweep as run_sweep
from ._transfer import summary_text as summary_text
from ._transfer import transfer as transfer
