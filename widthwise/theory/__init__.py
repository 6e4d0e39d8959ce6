"""What should happen: exponents counted from tables, and closed forms of linear networks.

Independent of `inference` and `algorithms`, so that each can test the other.
"""

from ._exponents import predicted_slopes as predicted_slopes
from ._linear_equilibrium import activity_hessian as activity_hessian
from ._linear_equilibrium import curvature_matrix as curvature_matrix
from ._linear_equilibrium import dense_equilibrium as dense_equilibrium
from ._linear_equilibrium import effective_matrices as effective_matrices
from ._linear_equilibrium import equilibrated_energy as equilibrated_energy
from ._linear_equilibrium import equilibrium_weight_gradients as equilibrium_weight_gradients
from ._linear_equilibrium import fixed_point_errors as fixed_point_errors
from ._linear_equilibrium import rescaling as rescaling
