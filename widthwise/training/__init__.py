"""Training: one optimizer for every leaf's own scaling, a whole epoch a call, checkpoints."""

from ._checkpoint import load_checkpoint as load_checkpoint
from ._checkpoint import read_header as read_header
from ._checkpoint import save_checkpoint as save_checkpoint
from ._examples import Examples as Examples
from ._examples import Streams as Streams
from ._examples import batches_per_epoch as batches_per_epoch
from ._examples import epoch_order as epoch_order
from ._examples import evaluate as evaluate
from ._examples import examples as examples
from ._examples import run_order as run_order
from ._examples import streams as streams
from ._fit import DivergedWarning as DivergedWarning
from ._fit import Progress as Progress
from ._fit import Trained as Trained
from ._fit import UnsettledWarning as UnsettledWarning
from ._fit import diverged_at as diverged_at
from ._fit import evaluated as evaluated
from ._fit import train as train
from ._optimizer import SCHEDULES as SCHEDULES
from ._optimizer import optimizer as optimizer
from ._optimizer import schedule as schedule
from ._step import TrainState as TrainState
from ._step import make_step as make_step
from ._step import sampled as sampled
from ._step import scan_steps as scan_steps
from ._step import start as start
