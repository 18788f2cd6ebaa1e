"""The vocabulary: the arrays that flow through the pure floor, each with its shape.

Images are ``[batch, height, width, channels]`` everywhere; a fully-connected network flattens
and reshapes them itself. Logits have rank 1, always: ``[batch, 1]`` against ``[batch]``
broadcasts silently to a square and is the field's classic bug.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

__all__ = [
    "Batch",
    "Critic",
    "Judgement",
    "Key",
    "Labels",
    "Latents",
    "Logits",
    "Params",
    "Samples",
]

Key = jax.Array  # [] typed key, as jax.random.key makes it
Samples = jax.Array  # [batch, *sample_shape] float32; images in [-1, 1]
Latents = Any  # a pytree of [batch, ...], for most one array [batch, latent_size] float32
Labels = jax.Array  # [batch] int32; -1 = this row has none
Logits = jax.Array  # [batch] float32; positive means "looks real"
Params = Any  # a pytree of arrays


class Batch(NamedTuple):
    """Rows of data, or of a generator's imitation of it."""

    samples: Samples  # [batch, *sample_shape] float32; images in [-1, 1]
    labels: Labels | None = None  # [batch] int32; None = the data has none


class Judgement(NamedTuple):
    """What a discriminator says about a batch."""

    logits: Logits  # [batch]; positive means "looks real"
    heads: dict[str, jax.Array]  # further outputs, e.g. class logits [batch, classes]; often {}


Critic = Callable[[Samples, Labels | None], Judgement]  # a discriminator with its parameters bound
