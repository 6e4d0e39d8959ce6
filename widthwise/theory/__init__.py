"""What should happen: exponents counted from tables, closed forms of linear networks, conditioning of inference.

Exponents and closed forms use neither `inference` nor `algorithms`, so that each can test the other.
"""

from ._conditioning import Spectrum as Spectrum
from ._conditioning import curvature_norm as curvature_norm
from ._conditioning import dense_spectrum as dense_spectrum
from ._conditioning import gauss_newton_product as gauss_newton_product
from ._conditioning import gauss_newton_rows as gauss_newton_rows
from ._conditioning import gauss_newton_solve as gauss_newton_solve
from ._conditioning import hessian_product as hessian_product
from ._conditioning import spectrum as spectrum
from ._exponents import predicted_slopes as predicted_slopes
from ._linear_equilibrium import activity_hessian as activity_hessian
from ._linear_equilibrium import curvature_matrix as curvature_matrix
from ._linear_equilibrium import dense_equilibrium as dense_equilibrium
from ._linear_equilibrium import effective_matrices as effective_matrices
from ._linear_equilibrium import equilibrated_energy as equilibrated_energy
from ._linear_equilibrium import equilibrium_weight_gradients as equilibrium_weight_gradients
from ._linear_equilibrium import fixed_point_errors as fixed_point_errors
from ._linear_equilibrium import rescaling as rescaling
