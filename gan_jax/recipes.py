"""Named configs. Taken by itself a recipe means 28x28x1 images. Loads no jax."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from gan_jax.config import (
    Config,
    DecayConfig,
    DiscriminatorConfig,
    DynamicsConfig,
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
    for_points: bool = False  # rather than images


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

# Small networks and batches, because updates per second are worth more than width. A penalty asks
# for the slope of a slope, which a kink has not: a smooth discriminator halves the distance. By
# SiLU it grows too weak on Fashion-MNIST. Without normalisation the generator's last layer grows
# until tanh is saturated: strokes bear that, the greys of Fashion-MNIST turn to speckles. Of 64
# latents in place of 16, Fashion-MNIST gets more varied (recall 0.35 in place of 0.25, coverage
# 0.78 in place of 0.75), but fewer digits can be read, and MNIST's distance is 3.7 times real
# rows', not 3.2 (these at a temperature of 1).
_GAN_ADAM = OptimizerConfig(name="adam", learning_rate=1e-3, b1=0.0, b2=0.99, epsilon=1e-8)
_GAN = Config(
    recipe="gan",
    steps=3_000,  # enough for the 1,617 digits, which later become copies; MNIST wants 40,000
    batch_size=32,
    loss="non_saturating",
    penalties={"r1": 1.0, "r2": 1.0},
    penalty_interval=4,  # a fifth more steps a second, each about as good
    average_decay=0.99965,  # half of it is forgotten after 2,000 steps
    generator=GeneratorConfig(
        latent_size=16,
        categories=10,
        temperature=1.12,  # samples vary a little more, and lie less near to training rows
        widths=(256, 128),
        activation="relu",
        normalization="layer",
    ),
    discriminator=DiscriminatorConfig(widths=(256, 256), activation="leaky_silu", center=-1.0),
    generator_optimizer=_GAN_ADAM,
    discriminator_optimizer=_GAN_ADAM,
    # Rates that have reached zero by the last step made worse digits than rates still falling.
    decay=DecayConfig(shape="linear", horizon=150_000),
    picture_interval=250,
)


def _variant(name: str, **changes: Any) -> Config:
    """The default recipe with other values; tables as dictionaries of what changes in them.

    As the papers have it, penalties are taken at every step, and samples at a temperature of 1.
    """
    changes["generator"] = {"temperature": 1.0} | changes.get("generator", {})
    for field, value in changes.items():
        record = getattr(_GAN, field)
        if dataclasses.is_dataclass(record) and not isinstance(record, type):
            changes[field] = dataclasses.replace(record, **value)
    return dataclasses.replace(
        _GAN, **{"recipe": name, "steps": 5_000, "penalty_interval": 1, **changes}
    )


_POINTS_ADAM = dataclasses.replace(_GAN_ADAM, learning_rate=2e-3)
# The modes of `ring` and `grid` are narrow: a penalty fit for 784 pixels flattens the discriminator
# between them, and one of 0.01 loses modes of `grid` by some seeds. Few latents, and a generator of
# kinks, leave the modes by short ways: of `ring`, 14 % of samples are lost there by 16 latents and
# leaky ReLU, 3 % by 2 and ReLU. With categories among the latents, each mode shrinks to a point.
_POINTS = dataclasses.replace(
    _GAN,
    recipe="points",
    batch_size=64,
    penalties={"r1": 0.1, "r2": 0.1},
    penalty_interval=1,
    generator=GeneratorConfig(latent_size=2, widths=(128, 128), activation="relu"),
    discriminator=DiscriminatorConfig(widths=(128, 128), activation="relu"),
    generator_optimizer=_POINTS_ADAM,
    discriminator_optimizer=_POINTS_ADAM,
    steps=40_000,
    decay=DecayConfig(shape="linear", horizon=40_000),
    picture_interval=1_000,
)

# Half the penalties of gan: with labels the game is easier. A discriminator that takes labels by a
# projection is ahead at first of one that reads them beside pixels, and as good in the end. Labels
# keep digits readable by 64 latents too: Fashion-MNIST is a little more varied than by 16 (recall
# 0.44, not 0.38) if less sure (label consistency 0.88, not 0.89), MNIST the same but for seeds.
_CGAN = _variant(
    "cgan",
    classes=10,
    penalties={"r1": 0.5, "r2": 0.5},
    penalty_interval=4,
    generator={"latent_size": 64, "categories": 0, "condition": "concatenate"},
    discriminator={"condition": "projection"},
)
# Ten minutes on two cores, a quarter of an hour on old ones, for MNIST: `cgan`, wider. Rates that
# are zero at the last step cost a third of the quality (`gan` so widened: 3.2 times real rows'
# Fréchet distance after 80,000 steps, 2.1 where they are then half), and constant ones a tenth. A
# seventh of them left at the end, and a shorter average, pay for a temperature at which samples lie
# no nearer to training rows than these to one another.
_GAN_LARGE = dataclasses.replace(
    _CGAN,
    recipe="gan-large",
    steps=75_000,
    average_decay=0.9998,
    generator=dataclasses.replace(_CGAN.generator, widths=(512, 256), temperature=1.07),
    discriminator=dataclasses.replace(_CGAN.discriminator, widths=(512, 256)),
    decay=dataclasses.replace(_CGAN.decay, horizon=87_750),
    picture_interval=5_000,
    checkpoint_interval=20_000,
)
_ACGAN = _variant(
    "acgan",
    classes=10,
    terms={"classes": 1.0},
    generator={"categories": 0, "condition": "concatenate"},
    discriminator={"head": "classes"},
)
_SGAN = _variant(
    "sgan",
    classes=10,
    terms={"semi_supervised": 1.0},
    discriminator={"head": "semi_supervised"},
)
_INFOGAN = _variant("infogan", terms={"information": 1.0}, discriminator={"head": "codes"})
_LSGAN = _variant("lsgan", loss="least_squares")
_HINGE = _variant(
    "hinge",
    loss="hinge",
    penalties={},
    discriminator={"normalization": "spectral"},
)
_RGAN = _variant("rgan", loss="relativistic_average")
_R3GAN = _variant("r3gan", loss="relativistic")
_DRAGAN = _variant("dragan", penalties={"dragan": 10.0})
_PACGAN = _variant("pacgan", batch_size=64, discriminator={"pack": 2})
# As in the papers: five moves of the critic, RMSProp and clipped weights, or Adam and GP. The rest,
# rates for small networks and an averaged generator among it, is the default recipe's.
_WGAN = _variant(
    "wgan",
    loss="wasserstein",
    penalties={},
    discriminator_steps=5,
    generator_optimizer={"name": "rmsprop", "learning_rate": 5e-4},
    discriminator_optimizer={"name": "rmsprop", "learning_rate": 5e-4, "clip": 0.01},
)
_WGAN_GP = _variant(
    "wgan-gp",
    loss="wasserstein",
    penalties={"wgan_gp": 10.0},
    discriminator_steps=5,
    generator_optimizer={"b2": 0.9},
    discriminator_optimizer={"b2": 0.9},
)
_UNROLLED = dataclasses.replace(
    _POINTS,
    recipe="unrolled",
    steps=20_000,  # of six moves each
    decay=DecayConfig(shape="linear", horizon=20_000),
    dynamics=DynamicsConfig(name="unrolled", unroll=5),
)
_DCGAN = _variant(
    "dcgan",
    generator={
        "name": "dcgan",
        "widths": (64, 32),
        "activation": "relu",
        "normalization": "layer",
    },
    discriminator={"name": "dcgan", "widths": (32, 64), "activation": "leaky_relu"},
)

_ENTRIES = (
    (
        _GAN,
        "the default: gradient penalties on both sides, categories among the latents, averaging",
        "Mescheder et al. 2018, arXiv:1801.04406",
    ),
    (
        _CONCEPT,
        "the tutorial GAN, 784-128-1 against 100-128-784: watch the discriminator win",
        "Goodfellow et al. 2014, arXiv:1406.2661",
    ),
    (
        _CGAN,
        "both players see the labels: draw samples of the class you ask for",
        "Mirza & Osindero 2014, arXiv:1411.1784; Miyato & Koyama 2018, arXiv:1802.05637",
    ),
    (
        _GAN_LARGE,
        "cgan with wider networks: ten minutes on two cores for MNIST's digits",
        "Mescheder et al. 2018, arXiv:1801.04406",
    ),
    (
        _LSGAN,
        "least squares in place of cross-entropy",
        "Mao et al. 2016, arXiv:1611.04076",
    ),
    (
        _WGAN,
        "a critic kept Lipschitz by clipped weights, five moves of it to one",
        "Arjovsky et al. 2017, arXiv:1701.07875",
    ),
    (
        _WGAN_GP,
        "a critic kept Lipschitz by a penalty on its gradient",
        "Gulrajani et al. 2017, arXiv:1704.00028",
    ),
    (
        _DRAGAN,
        "the gradient's norm held at 1 about the real samples",
        "Kodali et al. 2017, arXiv:1705.07215",
    ),
    (
        _HINGE,
        "hinge loss, spectral normalisation of the discriminator",
        "Miyato et al. 2018, arXiv:1802.05957",
    ),
    (
        _RGAN,
        "is a sample more real than the others are on average?",
        "Jolicoeur-Martineau 2018, arXiv:1807.00734",
    ),
    (
        _R3GAN,
        "which of a pair is real? With both gradient penalties",
        "Huang et al. 2025, arXiv:2501.05441",
    ),
    (
        _ACGAN,
        "a discriminator that also tells the class, a generator asked for one",
        "Odena et al. 2016, arXiv:1610.09585",
    ),
    (
        _SGAN,
        "a classifier of all classes and fakes, from few labels and many rows",
        "Odena 2016, arXiv:1606.01583",
    ),
    (
        _INFOGAN,
        "categories and codes that can be read from the sample, no labels needed",
        "Chen et al. 2016, arXiv:1606.03657",
    ),
    (
        _PACGAN,
        "a discriminator that judges two samples together, and sees them alike",
        "Lin et al. 2017, arXiv:1712.04086",
    ),
    (
        _UNROLLED,
        "for points: a generator that looks five moves of the discriminator ahead",
        "Metz et al. 2016, arXiv:1611.02163",
    ),
    (
        _DCGAN,
        "convolutions, with layer normalisation in place of the batch's",
        "Radford et al. 2015, arXiv:1511.06434",
    ),
    (
        _POINTS,
        "weak penalties, small networks: for narrow modes in the plane, such as those of ring",
        "Mescheder et al. 2018, arXiv:1801.04406",
    ),
)

RECIPES: Mapping[str, Recipe] = {
    config.recipe: Recipe(summary, source, config, config.recipe in ("points", "unrolled"))
    for config, summary, source in _ENTRIES
}


def recipe(name: str) -> Config:
    """The config of that name.

    Raises:
        InputError: no such recipe; the message lists all there are.
    """
    return copy.deepcopy(lookup("recipe", name, RECIPES).config)
