"""Networks behind optax's own grammar, ``Network(init, apply)``. The only Flax modules are here.

Linen, because its modules are stateless: a network here is two pure functions and nothing more,
so hand-written ones and Flax NNX modules fit just as well (the README shows both).
"""

from collections.abc import Callable, Mapping
from functools import partial

from gan_jax.config import Config
from gan_jax.networks.dcgan import dcgan_discriminator, dcgan_generator
from gan_jax.networks.initial import INITIALIZERS
from gan_jax.networks.inputs import LOUD
from gan_jax.networks.layers import ACTIVATIONS, NORMALIZATIONS, spectral_norm
from gan_jax.networks.mlp import mlp_discriminator, mlp_generator
from gan_jax.networks.network import Network, from_linen

__all__ = [
    "ACTIVATIONS",
    "DISCRIMINATORS",
    "GENERATORS",
    "INITIALIZERS",
    "LOUD",
    "NORMALIZATIONS",
    "Network",
    "dcgan_discriminator",
    "dcgan_generator",
    "from_linen",
    "mlp_discriminator",
    "mlp_generator",
    "spectral_norm",
]

GENERATORS: Mapping[str, Callable[[Config], Network]] = {
    "mlp": mlp_generator,
    "residual_mlp": partial(mlp_generator, residual=True),
    "dcgan": dcgan_generator,
}
DISCRIMINATORS: Mapping[str, Callable[[Config], Network]] = {
    "mlp": mlp_discriminator,
    "residual_mlp": partial(mlp_discriminator, residual=True),
    "dcgan": dcgan_discriminator,
}
