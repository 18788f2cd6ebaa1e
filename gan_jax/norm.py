"""The size of a gradient."""

import jax
import jax.numpy as jnp

from gan_jax.types import Params

__all__ = ["gradient_norm"]


def gradient_norm(gradient: Params) -> jax.Array:
    """Euclidean norm over all leaves, ``[]``: what `optax.tree.norm` gives, to float32 rounding.

    Written for XLA's CPU compiler, which sums a matrix of squares column by column faster than
    whole, and faster again where the squares are not computed anew for it: steps of `concept` take
    3 to 4 % less time, those of `gan` the same.
    """
    return jnp.sqrt(sum(_sum_of_squares(leaf) for leaf in jax.tree.leaves(gradient)))


def _sum_of_squares(leaf: jax.Array) -> jax.Array:
    squares = jax.lax.optimization_barrier(jnp.square(jnp.atleast_1d(leaf)))
    return jnp.sum(jax.lax.optimization_barrier(jnp.sum(squares, axis=0)))
