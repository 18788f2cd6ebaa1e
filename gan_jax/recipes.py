"""Named configs. Taken by itself a recipe means 28x28x1 images. Loads no jax."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from gan_jax.config import (
    Config,
    DecayConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    OptimizerConfig,
)
from gan_jax.errors import lookup

__all__ = ["RECIPES", "Recipe", "recipe"]


class Recipe(NamedTuple):
    """A config, and what a person should know before choosing it."""

    summary: str
    source: str  # paper and year
    config: Config


# The tutorial this project began from, number by number. PyTorch's Adam has these betas and this
# epsilon by default, and its Linear layers start from uniform_fan_in.
_CONCEPT_ADAM = OptimizerConfig(name="adam", learning_rate=0.01, b1=0.9, b2=0.999, epsilon=1e-8)
_CONCEPT = Config(
    recipe="concept",
    steps=1_200,
    batch_size=100,
    loss="non_saturating",
    generator=GeneratorConfig(
        latent_size=100, widths=(128,), activation="relu", initializer="uniform_fan_in"
    ),
    discriminator=DiscriminatorConfig(
        widths=(128,), activation="relu", initializer="uniform_fan_in"
    ),
    generator_optimizer=_CONCEPT_ADAM,
    discriminator_optimizer=_CONCEPT_ADAM,
    log_interval=20,
    picture_interval=100,
    checkpoint_interval=600,
)

# Small networks and batches, because updates per second are worth more than width.
_GAN_ADAM = OptimizerConfig(name="adam", learning_rate=2e-3, b1=0.0, b2=0.99, epsilon=1e-8)
_GAN_STEPS = 20_000  # a minute on two cores, and enough for the digits; MNIST wants 50,000
_GAN = Config(
    recipe="gan",
    steps=_GAN_STEPS,
    batch_size=32,
    loss="non_saturating",
    penalties={"r1": 1.0, "r2": 1.0},
    average_decay=0.99965,  # half of it is forgotten after 2,000 steps
    generator=GeneratorConfig(latent_size=16, categories=10, widths=(256, 128)),
    discriminator=DiscriminatorConfig(widths=(256, 256), center=-1.0),
    generator_optimizer=_GAN_ADAM,
    discriminator_optimizer=_GAN_ADAM,
    # Rates that have reached zero by the last step made worse digits than rates still falling.
    decay=DecayConfig(shape="linear", horizon=75_000),
)

# The modes of `ring` are narrow: to find them the discriminator has to be steep, and a penalty fit
# for 784 pixels flattens it (no mode of 8 is hit then). Categories shrink to a point each there.
_POINTS = dataclasses.replace(
    _GAN,
    recipe="points",
    batch_size=64,
    penalties={"r1": 0.01, "r2": 0.01},
    generator=GeneratorConfig(latent_size=16, widths=(128, 128)),
    discriminator=DiscriminatorConfig(widths=(128, 128)),
    decay=DecayConfig(shape="linear", horizon=_GAN_STEPS),
)

_CGAN = dataclasses.replace(
    _GAN,
    recipe="cgan",
    classes=10,
    generator=dataclasses.replace(_GAN.generator, categories=0, condition="concatenate"),
    discriminator=dataclasses.replace(_GAN.discriminator, condition="concatenate"),
)

RECIPES: Mapping[str, Recipe] = {
    "gan": Recipe(
        "the default: gradient penalties on both sides, categories among the latents, averaging",
        "Mescheder et al. 2018, arXiv:1801.04406",
        _GAN,
    ),
    "cgan": Recipe(
        "both players see the labels: draw samples of the class you ask for",
        "Mirza & Osindero 2014, arXiv:1411.1784",
        _CGAN,
    ),
    "points": Recipe(
        "weak penalties, small networks: for narrow modes in the plane, such as those of ring",
        "Mescheder et al. 2018, arXiv:1801.04406",
        _POINTS,
    ),
    "concept": Recipe(
        "the tutorial GAN, 784-128-1 against 100-128-784: watch the discriminator win",
        "Goodfellow et al. 2014, arXiv:1406.2661",
        _CONCEPT,
    ),
}


def recipe(name: str) -> Config:
    """The config of that name.

    Raises:
        InputError: no such recipe; the message lists all there are.
    """
    return copy.deepcopy(lookup("recipe", name, RECIPES).config)
