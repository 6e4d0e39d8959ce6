"""The coordinate check: does every layer move as it should as the network grows?"""

from ._coordinate_check import coordinate_check as coordinate_check
from ._result import CoordinateCheck as CoordinateCheck
from ._result import Line as Line
