"""A convolutional pair after DCGAN (arXiv:1511.06434), without batch statistics.

Each of the widths is the channels of one convolution with 4x4 kernels, which halves the size of an
image for the discriminator and doubles it for the generator. Where DCGAN normalises by the batch,
layer or spectral normalisation stand here: batch statistics would be state besides the parameters,
would tie together the rows whose gradients penalties take apart, and let the discriminator judge a
row by its neighbours.
"""

import math

import flax.linen as nn

from gan_jax.config import Config, DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import InputError, lookup
from gan_jax.networks.convolutions import Convolution
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

__all__ = ["dcgan_discriminator", "dcgan_generator"]


class DCGANGenerator(nn.Module):
    """A dense layer to a small image of many channels, then ever larger ones of fewer."""

    widths: tuple[int, ...]
    activation: str
    normalization: str
    last_activation: str
    sample_shape: tuple[int, ...]
    precision: str
    classes: int  # told as a one-hot vector; 0 = none

    @nn.compact
    def __call__(self, latents: Latents, labels: Labels | None = None) -> Samples:
        """``[batch, latent_size] -> [batch, height, width, channels]``."""
        height, width, channels = self.sample_shape
        factor = 2 ** len(self.widths)
        small = (-(-height // factor), -(-width // factor), self.widths[0])
        x = labelled(latents, labels, self.classes)
        size = math.prod(small)
        x = Dense(size, self.precision, self.normalization)(x)
        x = x.reshape(-1, *small)
        for outputs in (*self.widths[1:], channels):
            x = ACTIVATIONS[self.activation](normalize(self.normalization, x))
            x = Convolution(outputs, self.normalization, self.precision, transposed=True)(x)
        return ACTIVATIONS[self.last_activation](x[:, :height, :width])


class DCGANDiscriminator(nn.Module):
    """Ever smaller images of more channels, then a dense layer."""

    widths: tuple[int, ...]
    activation: str
    normalization: str
    center: float
    precision: str
    concatenated: int  # classes told as further channels; 0 = none
    deviation: bool  # whether it sees how much the batch deviates
    output: Output

    @nn.compact
    def __call__(self, samples: Samples, labels: Labels | None = None) -> Logits | Judgement:
        """``[batch, height, width, channels] -> [batch]``."""
        x = samples - self.center
        if self.deviation:
            x = with_deviation(x)
        if self.concatenated:
            x = beside(x, labels, self.concatenated)
        for index, outputs in enumerate(self.widths):
            x = Convolution(outputs, self.normalization, self.precision)(x)
            if index:  # as the paper: not where samples come in
                x = normalize(self.normalization, x)
            x = ACTIVATIONS[self.activation](x)
        x = x.reshape(x.shape[0], -1)
        last = Dense(self.output.size, self.precision, self.normalization)
        return self.output.read(last(x), labels)


def dcgan_generator(config: Config) -> Network:
    """Convolutional generator of images, ``[batch, latents] -> [batch, height, width, channels]``.

    Raises:
        InputError: data that are no images, or as for an MLP.
    """
    check_conditions(config)
    generator = config.generator
    lookup("generator.last_activation", generator.last_activation, ACTIVATIONS)
    _check("generator", generator, config)
    told = 0 if generator.condition == "none" else config.classes
    module = DCGANGenerator(
        generator.widths,
        generator.activation,
        generator.normalization,
        generator.last_activation,
        tuple(config.sample_shape),
        config.precision,
        told,
    )
    return generator_network(module, config)


def dcgan_discriminator(config: Config) -> Network:
    """Convolutional discriminator of images, ``[batch, height, width, channels] -> [batch]``.

    Raises:
        InputError: data that are no images, or as for an MLP.
    """
    check_conditions(config)
    discriminator = config.discriminator
    _check("discriminator", discriminator, config)
    condition = discriminator.condition
    module = DCGANDiscriminator(
        discriminator.widths,
        discriminator.activation,
        discriminator.normalization,
        discriminator.center,
        config.precision,
        config.classes if condition == "concatenate" else 0,
        discriminator.minibatch_deviation,
        output_of(config),
    )
    return discriminator_network(module, config)


def _check(player: str, chosen: GeneratorConfig | DiscriminatorConfig, config: Config) -> None:
    check_layers(player, chosen, config.precision)
    if len(config.sample_shape) != 3:
        raise InputError(f"{player}.name: 'dcgan' makes images; samples here are points")
    if not chosen.widths:
        raise InputError(f"{player}.widths: 'dcgan' needs one at least")
