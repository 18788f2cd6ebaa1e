"""What networks are made of: initial values, activations, normalisation without any state."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from gan_jax.config import DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import lookup
from gan_jax.precision import product
from gan_jax.types import Key

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "NORMALIZATIONS",
    "Dense",
    "check_layers",
    "normalize",
    "spectral_norm",
]


def uniform_fan_in(fan_in: int) -> Initializer:
    r"""U(±1/√fan_in) for weights and biases alike: what PyTorch's ``Linear`` starts from."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key: Key, shape: Sequence[int], dtype: Any = jnp.float32, out_sharding: Any = None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


# name -> (kernel initializer, bias initializer), given the layer's fan-in
INITIALIZERS: Mapping[str, Callable[[int], tuple[Initializer, Initializer]]] = {
    "uniform_fan_in": lambda fan_in: (uniform_fan_in(fan_in), uniform_fan_in(fan_in)),
    "lecun_normal": lambda fan_in: (nn.initializers.lecun_normal(), nn.initializers.zeros_init()),
    "he_normal": lambda fan_in: (nn.initializers.he_normal(), nn.initializers.zeros_init()),
}

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
    initializer: str
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel_init, bias_init = INITIALIZERS[self.initializer](x.shape[-1])
        kernel = self.param("kernel", kernel_init, (x.shape[-1], self.width))
        bias = self.param("bias", bias_init, (self.width,))
        kernel = kernel / jnp.maximum(spectral_norm(kernel), 1e-12)
        rows = product(self.precision)(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
        return rows + bias[None]


def Dense(width: int, inputs: int, initializer: str, precision: str, normalization: str):
    """A dense layer, of spectral norm 1 where that is its normalisation."""
    if normalization == "spectral":
        return _SpectralDense(width, initializer, precision)
    kernel_init, bias_init = INITIALIZERS[initializer](inputs)
    return nn.Dense(
        width, kernel_init=kernel_init, bias_init=bias_init, dot_general=product(precision)
    )


def normalize(name: str, x: jax.Array) -> jax.Array:
    """Layer normalisation over all of a row's features (arXiv:1607.06450), where asked for."""
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
