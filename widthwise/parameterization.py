"""The import path of `parameterizations` until 0.2: `from widthwise.parameterization import Role` goes on working.

The name `widthwise.parameterization` is a function, so that this module steps aside for it, with the folder's names.
"""

import sys

from . import parameterizations
from .parameterizations import parameterization

for _name, _value in vars(parameterizations).items():
    if not _name.startswith("_"):
        setattr(parameterization, _name, _value)
sys.modules[__name__] = parameterization  # type: ignore[assignment]
