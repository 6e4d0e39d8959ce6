"""Where the optimum lies at every size, and whether it moved: plain arithmetic on a sweep's rows."""

from ._optimum import optimum as optimum
from ._summary import summarize as summarize
from ._verification import around as around
from ._verification import verify as verify
