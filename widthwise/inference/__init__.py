"""How activities settle: a problem in, a settled point out, and how far it is from equilibrium."""

from ._anderson import Anderson as Anderson
from ._automatic import Automatic as Automatic
from ._base import AbstractRelaxation as AbstractRelaxation
from ._base import Point as Point
from ._base import Problem as Problem
from ._base import Settled as Settled
from ._base import capped as capped
from ._base import curvature as curvature
from ._base import refuse_decay as refuse_decay
from ._base import relative_residual as relative_residual
from ._base import scaled as scaled
from ._checks import at_least_one as at_least_one
from ._checks import factor as factor
from ._checks import factor_or_none as factor_or_none
from ._checks import not_negative as not_negative
from ._checks import positive as positive
from ._descent import ActivityDescent as ActivityDescent
from ._descent import activity_gradient as activity_gradient
from ._error import ErrorDescent as ErrorDescent
from ._exact import OutputSpaceSolve as OutputSpaceSolve
from ._gauss_newton import GaussNewton as GaussNewton
from ._ode import OdeFlow as OdeFlow
from ._quasi_newton import QuasiNewton as QuasiNewton
from ._sweep import SequentialSweep as SequentialSweep
