"""How layers multiply matrices: in float32, tf32 or bfloat16. All else stays float32.

Products in bfloat16 differentiate backwards only (`jax.grad`, `jax.vjp`), as often as one likes.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax.typing import DotGeneralT
from jax.experimental.layout import Layout, with_layout_constraint

from gan_jax.errors import InputError, lookup

__all__ = ["PRECISIONS", "product"]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _bfloat16(
    left: jax.Array, right: jax.Array, left_turned: bool, right_turned: bool
) -> jax.Array:
    """``[m, k] @ [k, n] -> [m, n]``: factors rounded to bfloat16, sums and result in float32.

    A turned factor is given transposed. The products of its gradients, and of theirs, are the same
    function; autodiff alone would multiply the float32 gradient as it is, at float32's price.
    """
    left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)  # once for all its products
    left, right = left.T if left_turned else left, right.T if right_turned else right
    if 1 in left.shape + right.shape:  # XLA's CPU compiler has no bfloat16 product for vectors
        left, right = left.astype(jnp.float32), right.astype(jnp.float32)
        return jax.lax.dot(left, right, precision=jax.lax.Precision.HIGHEST)
    return _row_major(
        jax.lax.dot(_row_major(left), _row_major(right), preferred_element_type=jnp.float32)
    )


def _forward(left: jax.Array, right: jax.Array, left_turned: bool, right_turned: bool):
    return _bfloat16(left, right, left_turned, right_turned), (left, right)


def _backward(left_turned: bool, right_turned: bool, factors: Any, gradient: jax.Array):
    left, right = factors
    return (
        _bfloat16(right, gradient, right_turned, True)
        if left_turned
        else _bfloat16(gradient, right, False, not right_turned),
        _bfloat16(gradient, left, True, left_turned)
        if right_turned
        else _bfloat16(left, gradient, not left_turned, False),
    )


_bfloat16.defvjp(_forward, _backward)


def _row_major(x: jax.Array) -> jax.Array:
    # Left to itself, XLA's CPU compiler moves transpositions into the product, where one of the
    # left factor halves the speed, one of the right makes it multiply in float32 after all, and one
    # of both is refused; writing them out costs little.
    return jax.lax.platform_dependent(
        x, cpu=lambda x: with_layout_constraint(x, Layout((0, 1))), default=lambda x: x
    )


def _bfloat16_general(left: jax.Array, right: jax.Array, dimensions: Any, **_: Any) -> jax.Array:
    assert dimensions == (((left.ndim - 1,), (0,)), ((), ())), "only rows by a matrix here"
    rows: jax.Array = _bfloat16(left.reshape(-1, left.shape[-1]), right, False, False)
    return rows.reshape(*left.shape[:-1], right.shape[1])


def _at(precision: jax.lax.Precision | jax.lax.DotAlgorithmPreset) -> DotGeneralT:
    def general(left: Any, right: Any, dimensions: Any, **_: Any) -> jax.Array:
        return jax.lax.dot_general(left, right, dimensions, precision=precision)

    return general


PRECISIONS: Mapping[str, DotGeneralT] = {
    # Float32 must mean float32 on every device: left to itself, a GPU or TPU multiplies float32
    # matrices in fewer bits.
    "float32": _at(jax.lax.Precision.HIGHEST),
    "tf32": _at(jax.lax.DotAlgorithmPreset.TF32_TF32_F32),
    "bfloat16": _bfloat16_general,
}


def product(precision: str) -> DotGeneralT:
    """The ``dot_general`` of a Flax dense layer.

    Raises:
        InputError: an unknown name, or tf32 where there is no GPU.
    """
    chosen = lookup("precision", precision, PRECISIONS)
    if precision == "tf32" and jax.default_backend() != "gpu":
        raise InputError("precision: tf32 needs a GPU; float32 and bfloat16 are allowed here")
    return chosen
