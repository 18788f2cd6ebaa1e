"""What networks see beside their latents or samples: labels, and how varied a batch is."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.config import Config
from gan_jax.errors import InputError, lookup
from gan_jax.networks.initial import initialized
from gan_jax.networks.network import Network, from_linen
from gan_jax.types import Key, Labels, Latents, Params, Samples

__all__ = [
    "LOUD",
    "beside",
    "check_conditions",
    "discriminator_network",
    "generator_network",
    "labelled",
    "needed",
    "shape_shown",
    "with_deviation",
]

# Of a one-hot vector among latents: as 16 normals together, or it drowns among them at first.
LOUD = 4.0

_CONDITIONS = {
    "generator": ("none", "concatenate"),
    "discriminator": ("none", "concatenate", "projection"),
}


def check_conditions(config: Config) -> None:
    """Refuse unknown conditions, and those on labels that there are not.

    Raises:
        InputError: either.
    """
    for player, allowed in _CONDITIONS.items():
        condition = getattr(config, player).condition
        lookup(f"{player}.condition", condition, dict.fromkeys(allowed))
        if condition != "none" and config.classes < 2:
            raise InputError(
                f"{player}.condition: {condition!r} needs data with labels of two classes or more"
            )


def shape_shown(config: Config) -> tuple[int, ...]:
    """Shape of what the discriminator judges at a time: one sample, or a pack of them.

    Raises:
        InputError: packs of rows that it is to tell the labels of, or that come with labels.
    """
    *front, channels = config.sample_shape
    discriminator = config.discriminator
    if discriminator.pack > 1 and (discriminator.condition, discriminator.head) != ("none", "none"):
        raise InputError(
            "discriminator.pack: 1 is allowed beside a condition or head, which are of single rows"
        )
    return (*front, channels * discriminator.pack)


def labelled(latents: Latents, labels: Labels | None, classes: int) -> Latents:
    """Latents with a one-hot vector of the label behind them, if there are classes."""
    if not classes:
        return latents
    assert labels is not None, "generator_network has seen to it"
    return jnp.concatenate([latents, LOUD * jax.nn.one_hot(labels, classes)], axis=1)


def generator_network(module: nn.Module, config: Config) -> Network:
    """A module of latents, and of labels where it is conditional; given none, it draws them."""
    generator = config.generator
    conditional = generator.condition != "none"
    inputs = (generator.latent_size + generator.categories,)
    network = from_linen(module, inputs, conditional=conditional)
    network = initialized(network, generator.initializer)
    if not conditional:
        return network

    def apply(params: Params, latents: Latents, labels: Labels | None, key: Key) -> Samples:
        if labels is None:
            labels = jax.random.randint(key, latents.shape[:1], 0, config.classes)
        return network.apply(params, latents, labels, key)

    return Network(network.init, apply)


def discriminator_network(module: nn.Module, config: Config) -> Network:
    """A module of what the discriminator is shown, and of labels where it is conditional."""
    discriminator = config.discriminator
    conditional = discriminator.condition != "none"
    network = from_linen(module, shape_shown(config), conditional=conditional)
    return initialized(network, discriminator.initializer)


def beside(samples: jax.Array, labels: Labels | None, classes: int) -> jax.Array:
    """Labels as further features, or as further channels of every pixel: one is 1, if any.

    ``[batch, ..., channels]`` and labels ``[batch]`` to ``[batch, ..., channels + classes]``.
    """
    told = jax.nn.one_hot(needed(labels), classes)
    told = told.reshape(told.shape[0], *(1,) * (samples.ndim - 2), classes)
    planes = jnp.broadcast_to(told, (*samples.shape[:-1], classes))
    return jnp.concatenate([samples, planes], axis=-1)


def needed(labels: Labels | None) -> Labels:
    """The labels.

    Raises:
        InputError: there are none.
    """
    if labels is None:
        raise InputError("discriminator: is conditional; every row needs a label")
    return labels


def with_deviation(samples: jax.Array) -> jax.Array:
    """One more feature or channel: the deviation over the batch, averaged over all features.

    Minibatch standard deviation (arXiv:1710.10196), seen where samples come in: a discriminator
    that is told how varied a batch is sees a collapse at once. ``[batch, ..., channels]`` to
    ``[batch, ..., channels + 1]``.
    """
    variance = jnp.var(samples, axis=0)
    deviation = jnp.mean(jnp.sqrt(variance + 1e-8))  # its gradient at 0 would be 1/0
    told = jnp.broadcast_to(deviation, (*samples.shape[:-1], 1))
    return jnp.concatenate([samples, told], axis=-1)
