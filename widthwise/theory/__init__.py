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
from ._exponents import own_movement as own_movement
from ._exponents import predicted_depth_slopes as predicted_depth_slopes
from ._exponents import predicted_errors as predicted_errors
from ._exponents import predicted_own_movements as predicted_own_movements
from ._exponents import predicted_slopes as predicted_slopes
from ._exponents import predicted_vectors as predicted_vectors
from ._gradient_limits import LimitCosines as LimitCosines
from ._gradient_limits import clamped_output_errors as clamped_output_errors
from ._gradient_limits import gauss_newton_errors as gauss_newton_errors
from ._gradient_limits import gradient_descent_errors as gradient_descent_errors
from ._gradient_limits import limit_cosines as limit_cosines
from ._gradient_limits import single_sweep_errors as single_sweep_errors
from ._gradient_limits import wide_limit_cosines as wide_limit_cosines
from ._initialization import expected_curvature as expected_curvature
from ._initialization import forward_growth as forward_growth
from ._kernel import kernel_flow as kernel_flow
from ._kernel import neural_tangent_kernel as neural_tangent_kernel
from ._linear_equilibrium import activity_hessian as activity_hessian
from ._linear_equilibrium import curvature_matrix as curvature_matrix
from ._linear_equilibrium import dense_equilibrium as dense_equilibrium
from ._linear_equilibrium import effective_matrices as effective_matrices
from ._linear_equilibrium import equilibrated_energy as equilibrated_energy
from ._linear_equilibrium import equilibrium_weight_gradients as equilibrium_weight_gradients
from ._linear_equilibrium import fixed_point_errors as fixed_point_errors
from ._linear_equilibrium import rescaling as rescaling
from ._plane import Place as Place
from ._plane import place as place
