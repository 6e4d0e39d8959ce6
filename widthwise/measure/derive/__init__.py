"""Exponents by measurement: from an algorithm, a family and an optimizer to a table."""

from ._result import Derivation as Derivation
from ._rounding import Exponent as Exponent
from ._search import derive as derive
from ._table import start_table as start_table
