"""Where the optimum lies at every size, and whether it moved: plain arithmetic on a sweep's rows."""

from ._cost import LARGEST_COST as LARGEST_COST
from ._cost import Cost as Cost
from ._cost import cost_of as cost_of
from ._divergence import with_divergence as with_divergence
from ._metric import METRICS as METRICS
from ._metric import Metric as Metric
from ._metric import metric_of as metric_of
from ._optimum import optimum as optimum
from ._summary import resummarized as resummarized
from ._summary import summarize as summarize
from ._verdict import to_run as to_run
from ._verification import around as around
from ._verification import verify as verify
