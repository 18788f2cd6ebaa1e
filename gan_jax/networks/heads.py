"""What a discriminator's last layer says: a logit, and what else it is asked to tell."""

import dataclasses

import jax
import jax.numpy as jnp

from gan_jax.config import Config
from gan_jax.errors import InputError, lookup
from gan_jax.networks.inputs import needed
from gan_jax.types import Judgement, Labels, Logits

__all__ = ["HEADS", "Output", "output_of"]

HEADS = ("none", "classes", "semi_supervised", "codes")


@dataclasses.dataclass(frozen=True)
class Output:
    """How the last layer's numbers are read, one row of them for each sample."""

    projection: bool = False
    head: str = "none"
    classes: int = 0
    categories: int = 0  # of the generator's latents
    codes: int = 0  # how many of its normals are told

    @property
    def size(self) -> int:
        """How many numbers the last layer has to give."""
        if self.head == "semi_supervised":
            return self.classes
        told = {"classes": self.classes, "codes": self.categories + self.codes}.get(self.head, 0)
        return 1 + (self.classes if self.projection else 0) + told

    def read(self, output: jax.Array, labels: Labels | None) -> Logits | Judgement:
        """``[batch, size] -> [batch]`` logits, with heads beside them where there are any."""
        if self.head == "semi_supervised":
            # K classes and one more for fakes, whose logit is 0: real against fake is then
            # log(sum exp) against 0 (arXiv:1606.03498).
            return Judgement(jax.nn.logsumexp(output, axis=1), {"classes": output})
        logits, rest = output[:, 0], output[:, 1:]
        if self.projection:
            # Features times a vector of all classes, and one of the row's own: the last layer
            # has both, each row takes its own class's (arXiv:1802.05637).
            told = jax.nn.one_hot(needed(labels), self.classes)
            logits = logits + jnp.sum(rest[:, : self.classes] * told, axis=1)
            rest = rest[:, self.classes :]
        if self.head == "classes":
            return Judgement(logits, {"classes": rest})
        if self.head == "codes":
            category, normals = rest[:, : self.categories], rest[:, self.categories :]
            return Judgement(logits, {"category": category, "codes": normals})
        return logits


def output_of(config: Config) -> Output:
    """What a config's discriminator is asked to say.

    Raises:
        InputError: an unknown name, or a head for which there is nothing to tell.
    """
    discriminator, generator = config.discriminator, config.generator
    head = lookup("discriminator.head", discriminator.head, {name: name for name in HEADS})
    if head in ("classes", "semi_supervised") and config.classes < 2:
        raise InputError(
            f"discriminator.head: {head!r} needs data with labels of two classes or more"
        )
    codes = discriminator.codes if head == "codes" else 0
    if codes > generator.latent_size:
        raise InputError(
            f"discriminator.codes: {codes} of {generator.latent_size} latents cannot be told"
        )
    if head == "codes" and codes + generator.categories == 0:
        raise InputError(
            "discriminator.head: 'codes' needs generator.categories or discriminator.codes"
        )
    # Of a projection only the logit sees the label; the head beside it does not.
    given_away = {"classes": ("concatenate",), "semi_supervised": ("concatenate", "projection")}
    if discriminator.condition in given_away.get(head, ()):
        raise InputError(
            f"discriminator.condition: {discriminator.condition!r} would give away the label that "
            f"head {head!r} has to tell; 'none' is allowed"
        )
    return Output(
        discriminator.condition == "projection",
        head,
        config.classes,
        generator.categories if head == "codes" else 0,
        codes,
    )
