"""What networks are made of: dense layers, activations, normalisation without any state."""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.config import DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import lookup
from gan_jax.networks.initial import INITIALIZERS
from gan_jax.precision import product

__all__ = [
    "ACTIVATIONS",
    "LATER",
    "NORMALIZATIONS",
    "Dense",
    "check_layers",
    "normalize",
    "spectral_norm",
]


# Of what `initialized` gives its value later: a player's initial values are drawn at once.
LATER = nn.initializers.zeros_init()

ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    # DCGAN's slope is 0.2 (arXiv:1511.06434); half of it made better digits.
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.1),
    "silu": nn.silu,
    # Smooth as SiLU, with leaky ReLU's slope on the left.
    "leaky_silu": lambda x: 0.1 * x + 0.9 * nn.silu(x),
    "gelu": nn.gelu,
    "elu": nn.elu,
    "tanh": jnp.tanh,
    "sigmoid": nn.sigmoid,
    "identity": lambda x: x,
}

# Of hidden layers. Batch statistics are not among them: they would be state besides the
# parameters, and tie the rows of a batch together, whose gradients the penalties take apart.
NORMALIZATIONS = ("none", "layer", "spectral")

_ITERATIONS = 10


def spectral_norm(kernel: jax.Array) -> jax.Array:
    """The largest singular value of ``[inputs, outputs]``, by power iterations.

    arXiv:1802.05957 goes on from the vectors of the step before; here they start from the same
    place every time, so that there is no state to keep. An estimate from below, whose gradient goes
    through the last ten of twenty iterations: what it comes to is that of the singular value, but
    gradients of gradients (of penalties, of the game) need that of the vectors too. The first ten
    are no part of it: where the vector is nearly at right angles to where they start, whatever it
    does shows enlarged by as much as they have to make up for.
    """

    def length(vector: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.sum(jnp.square(vector)) + 1e-24)  # with a slope also at 0

    def times(left: jax.Array, right: jax.Array) -> jax.Array:
        product = jnp.dot(left, right, precision="highest")
        return product / length(product)

    def iterated(kernel: jax.Array, right: jax.Array) -> jax.Array:
        def iterate(right: jax.Array, _: None) -> tuple[jax.Array, None]:
            return times(times(kernel, right), kernel), None

        return jax.lax.scan(iterate, right, length=_ITERATIONS)[0]

    start = jax.random.normal(jax.random.key(0), (kernel.shape[1],), kernel.dtype)
    right = jax.lax.stop_gradient(iterated(jax.lax.stop_gradient(kernel), start))
    right = iterated(kernel, right)
    return length(jnp.dot(kernel, right, precision="highest"))


class _SpectralDense(nn.Module):
    """A dense layer of spectral norm 1."""

    width: int
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", LATER, (x.shape[-1], self.width))
        bias = self.param("bias", LATER, (self.width,))
        kernel = kernel / jnp.maximum(spectral_norm(kernel), 1e-12)
        rows = product(self.precision)(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
        return rows + bias[None]


def Dense(width: int, precision: str, normalization: str) -> nn.Module:
    """A dense layer, of spectral norm 1 where that is its normalisation."""
    if normalization == "spectral":
        return _SpectralDense(width, precision)
    return nn.Dense(width, kernel_init=LATER, bias_init=LATER, dot_general=product(precision))


def normalize(name: str, x: jax.Array) -> jax.Array:
    """Layer normalisation over all features of a row ``[batch, ...]``, if ``name`` is "layer".

    arXiv:1607.06450.
    """
    return nn.LayerNorm(reduction_axes=range(1, x.ndim))(x) if name == "layer" else x


def check_layers(
    player: str, config: GeneratorConfig | DiscriminatorConfig, precision: str
) -> None:
    """Refuse what there is not, before anything is made of it.

    Raises:
        InputError: an unknown activation, initializer or normalization, or a precision that cannot
            be had here.
    """
    lookup(f"{player}.activation", config.activation, ACTIVATIONS)
    lookup(f"{player}.initializer", config.initializer, INITIALIZERS)
    lookup(f"{player}.normalization", config.normalization, dict.fromkeys(NORMALIZATIONS))
    product(precision)
