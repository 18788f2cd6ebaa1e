"""The GANs that are timed, by name."""

import dataclasses

from gan_jax.config import Config
from gan_jax.recipes import recipe

SIZES = ("concept", "gan", "wide")


def size(name: str) -> Config:
    """The recipe of that name, or `concept` made wide: three hidden layers of 1024, batches of 256.

    At a learning rate that such a width can bear.
    """
    if name != "wide":
        return recipe(name)
    concept = recipe("concept")
    widths = (1024,) * 3
    adam = dataclasses.replace(concept.generator_optimizer, learning_rate=1e-4)
    return dataclasses.replace(
        concept,
        batch_size=256,
        generator=dataclasses.replace(concept.generator, widths=widths),
        discriminator=dataclasses.replace(concept.discriminator, widths=widths),
        generator_optimizer=adam,
        discriminator_optimizer=adam,
    )
