"""What is kept on disk: records of runs that no kill loses, and JSON files written whole."""

from ._json_files import LONGEST_LINE as LONGEST_LINE
from ._json_files import content_hash as content_hash
from ._json_files import content_hashes as content_hashes
from ._json_files import jsonable as jsonable
from ._json_files import read_json as read_json
from ._json_files import write_json as write_json
from ._run_directory import RunStore as RunStore
from ._run_directory import read as read
from ._run_directory import read_spec as read_spec
from ._run_directory import stream as stream
