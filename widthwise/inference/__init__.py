"""How activities settle: a problem in, a settled point out, and how far it is from equilibrium."""

from .._arguments import at_least_one as at_least_one
from .._arguments import factor as factor
from .._arguments import factor_or_none as factor_or_none
from .._arguments import not_negative as not_negative
from .._arguments import positive as positive
from ._activity_descent import ActivityDescent as ActivityDescent
from ._activity_descent import activity_gradient as activity_gradient
from ._anderson import Anderson as Anderson
from ._automatic import DESCENT as DESCENT
from ._automatic import Automatic as Automatic
from ._base import AbstractRelaxation as AbstractRelaxation
from ._base import Settled as Settled
from ._base import refuse_decay as refuse_decay
from ._base import relative as relative
from ._base import relative_residual as relative_residual
from ._curvature import capped as capped
from ._curvature import curvature as curvature
from ._error_descent import ErrorDescent as ErrorDescent
from ._gauss_newton import GaussNewton as GaussNewton
from ._ode import OdeFlow as OdeFlow
from ._output_space_solve import OutputSpaceSolve as OutputSpaceSolve
from ._problem import Point as Point
from ._problem import Problem as Problem
from ._problem import scaled as scaled
from ._quasi_newton import QuasiNewton as QuasiNewton
from ._sequential import SequentialSweep as SequentialSweep
