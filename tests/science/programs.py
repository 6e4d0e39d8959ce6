"""Programs as JAX traces them."""

import jax


def every_equation(jaxpr):
    """The equations of a program, inner programs' included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from every_equation(inner)
