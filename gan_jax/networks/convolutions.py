"""Convolutions that halve the size of an image, and transposed ones that double it, as products.

Kernels are 4x4, steps 2, and there are zeros around an image. Pixels of 2x2 laid side by side make
them kernels of 2x2 at every place: four shifted copies and one matrix product, at any precision a
dense layer has. XLA's own convolutions are slow on CPUs, most of all within a loop of steps.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.networks.layers import LATER, spectral_norm
from gan_jax.precision import product

__all__ = ["Convolution", "double", "halve"]

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


class Convolution(nn.Module):
    """A 4x4 kernel over every other pixel, or, transposed, to twice as many."""

    channels: int
    normalization: str
    precision: str
    transposed: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """``[batch, height, width, inputs] -> [batch, h, w, channels]``."""
        inputs = x.shape[-1]
        kernel = self.param("kernel", LATER, (4, 4, inputs, self.channels))
        bias = self.param("bias", LATER, (self.channels,))
        if self.normalization == "spectral":
            norm = spectral_norm(kernel.reshape(-1, self.channels))  # of the kernel as a matrix
            kernel = kernel / jnp.maximum(norm, 1e-12)
        apply = double if self.transposed else halve
        return apply(x, kernel, self.precision) + bias[None, None, None]


def halve(x: jax.Array, kernel: jax.Array, precision: str) -> jax.Array:
    """``[batch, height, width, inputs] -> [batch, ceil(height/2), ceil(width/2), outputs]``.

    ``kernel`` is ``[4, 4, inputs, outputs]``; as ``jax.lax.conv_general_dilated`` with steps of 2
    and padding SAME.
    """
    rows, height, width, inputs = x.shape
    h, w = -(-height // 2), -(-width // 2)
    x = jnp.pad(x, ((0, 0), (1, 2 * h + 1 - height), (1, 2 * w + 1 - width), (0, 0)))
    x = x.reshape(rows, h + 1, 2, w + 1, 2, inputs).swapaxes(2, 3)
    x = x.reshape(rows, h + 1, w + 1, 4 * inputs)
    seen = jnp.concatenate([x[:, i : i + h, j : j + w] for i, j in _CORNERS], axis=-1)
    kernel = kernel.reshape(2, 2, 2, 2, inputs, -1).swapaxes(1, 2)
    return _product(seen, kernel.reshape(16 * inputs, -1), precision)


def double(x: jax.Array, kernel: jax.Array, precision: str) -> jax.Array:
    """``[batch, height, width, inputs] -> [batch, 2 * height, 2 * width, outputs]``.

    ``kernel`` is ``[4, 4, inputs, outputs]``; as ``jax.lax.conv_transpose`` with steps of 2 and
    padding SAME, which looks at it from its other end.
    """
    rows, height, width, inputs = x.shape
    kernel = kernel[::-1, ::-1].reshape(2, 2, 2, 2, inputs, -1).transpose(4, 0, 2, 1, 3, 5)
    every = _product(x, kernel.reshape(inputs, -1), precision)
    every = every.reshape(rows, height, width, 4, -1)
    # What one pixel adds to the four squares of 2x2 that it reaches; the outermost lie outside.
    total = sum(
        jnp.pad(every[:, :, :, corner], ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0)))
        for corner, (i, j) in enumerate(_CORNERS)
    )
    total = jnp.asarray(total).reshape(rows, height + 1, width + 1, 2, 2, -1).swapaxes(2, 3)
    return total.reshape(rows, 2 * height + 2, 2 * width + 2, -1)[:, 1:-1, 1:-1]


def _product(x: jax.Array, matrix: jax.Array, precision: str) -> jax.Array:
    return product(precision)(x, matrix, (((x.ndim - 1,), (0,)), ((), ())))
