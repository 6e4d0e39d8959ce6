"""Exponents by measurement: from an algorithm, a family and an optimizer to a table."""

from ._result import Derivation as Derivation
from ._rounding import CONFIDENT as CONFIDENT
from ._rounding import Exponent as Exponent
from ._rounding import rounded as rounded
from ._rounding import settled_slope as settled_slope
from ._search import derive as derive
from ._table import completed as completed
from ._table import exponent as exponent
from ._table import start_table as start_table
from ._table import with_exponents as with_exponents
