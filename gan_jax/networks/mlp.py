"""Fully-connected players, plain or residual."""

import math

import flax.linen as nn
import jax

from gan_jax.config import Config, DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import lookup
from gan_jax.networks.heads import Output, output_of
from gan_jax.networks.inputs import (
    beside,
    check_conditions,
    discriminator_network,
    generator_network,
    labelled,
    with_deviation,
)
from gan_jax.networks.layers import ACTIVATIONS, Dense, check_layers, normalize
from gan_jax.networks.network import Network
from gan_jax.types import Judgement, Labels, Latents, Logits, Samples

__all__ = ["mlp_discriminator", "mlp_generator"]


class MLP(nn.Module):
    """Dense layers of the given widths, normalisation and activation between each two.

    Residual: the first layer's width stays, and every further hidden layer is a block
    ``x + dense(activation(dense(activation(x))))`` with that layer's width inside.
    """

    widths: tuple[int, ...]  # of every layer, the last included
    activation: str
    precision: str
    normalization: str = "none"
    residual: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """``[batch, inputs] -> [batch, widths[-1]]``."""

        def between(x: jax.Array) -> jax.Array:
            return ACTIVATIONS[self.activation](normalize(self.normalization, x))

        def dense(x: jax.Array, width: int) -> jax.Array:
            return Dense(width, self.precision, self.normalization)(x)

        *hidden, last = self.widths
        for index, width in enumerate(hidden):
            if not index:
                x = dense(x, width)
            elif self.residual:
                x = x + dense(between(dense(between(x), width)), x.shape[-1])
            else:
                x = dense(between(x), width)
        return dense(between(x) if hidden else x, last)


class MLPGenerator(nn.Module):
    """Latents, and labels beside them where it is conditional, to samples by dense layers."""

    body: MLP
    last_activation: str
    sample_shape: tuple[int, ...]
    classes: int  # told as a one-hot vector; 0 = none

    def __call__(self, latents: Latents, labels: Labels | None = None) -> Samples:
        """``[batch, latent_size] -> [batch, *sample_shape]``."""
        flat = ACTIVATIONS[self.last_activation](self.body(labelled(latents, labels, self.classes)))
        return flat.reshape(flat.shape[0], *self.sample_shape)


class MLPDiscriminator(nn.Module):
    """Samples, and labels beside them where it is conditional, to logits by dense layers."""

    body: MLP
    center: float
    concatenated: int  # classes told as further pixels; 0 = none
    deviation: bool  # whether it sees how much the batch deviates
    output: Output

    def __call__(self, samples: Samples, labels: Labels | None = None) -> Logits | Judgement:
        """``[batch, *shape shown] -> [batch]``."""
        flat = samples.reshape(samples.shape[0], -1) - self.center
        if self.deviation:
            flat = with_deviation(flat)
        if self.concatenated:
            flat = beside(flat, labels, self.concatenated)
        return self.output.read(self.body(flat), labels)


def mlp_generator(config: Config, *, residual: bool = False) -> Network:
    """Fully-connected generator, ``[batch, latents] -> [batch, *sample_shape]``.

    A conditional one (arXiv:1411.1784) takes labels too; given none, it draws them uniformly.

    Raises:
        InputError: an unknown name, or a condition where there are no classes.
    """
    check_conditions(config)
    generator = config.generator
    lookup("generator.last_activation", generator.last_activation, ACTIVATIONS)
    body = _body("generator", config, math.prod(config.sample_shape), residual)
    told = 0 if generator.condition == "none" else config.classes
    module = MLPGenerator(body, generator.last_activation, tuple(config.sample_shape), told)
    return generator_network(module, config)


def mlp_discriminator(config: Config, *, residual: bool = False) -> Network:
    """Fully-connected discriminator, ``[batch, *sample_shape] -> [batch]``.

    A conditional one sees each row's label beside it (``concatenate``, arXiv:1411.1784), or adds
    the product of its last features with a vector of the label's own (``projection``,
    arXiv:1802.05637). A row labelled -1 is judged as one of no class in particular.

    Raises:
        InputError: an unknown name, or a condition or head for which there is nothing to tell.
    """
    check_conditions(config)
    discriminator, output = config.discriminator, output_of(config)
    condition = discriminator.condition
    module = MLPDiscriminator(
        _body("discriminator", config, output.size, residual),
        discriminator.center,
        config.classes if condition == "concatenate" else 0,
        discriminator.minibatch_deviation,
        output,
    )
    return discriminator_network(module, config)


def _body(player: str, config: Config, outputs: int, residual: bool) -> MLP:
    chosen: GeneratorConfig | DiscriminatorConfig = getattr(config, player)
    check_layers(player, chosen, config.precision)
    return MLP(
        (*chosen.widths, outputs),
        chosen.activation,
        config.precision,
        chosen.normalization,
        residual,
    )
