r"""What players want besides telling real from generated, per example, given judgements.

A term is a pair of functions ``(real, fake, told) -> [batch]``, one for each player, either of
which may be None. The mean is reported; the objective gains it times the term's factor and weight.
Nothing here knows parameters or a critic: what is asked is what the discriminator said of both
batches, by logits and by heads.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.errors import InputError
from gan_jax.types import Judgement, Labels, Latents

__all__ = [
    "HEADS_OF",
    "TERMS",
    "Term",
    "Told",
    "classes",
    "fake_smoothing",
    "information",
    "semi_supervised",
    "smoothing",
]


class Told(NamedTuple):
    """What is known of a batch besides its samples."""

    labels: Labels | None  # [batch], of the real rows; generated ones were asked for the same
    latents: Latents  # of the generated rows


Want = Callable[[Judgement, Judgement, Told], jax.Array]  # (real, fake, told) -> [batch]


class Term(NamedTuple):
    """A further part of each player's objective."""

    discriminator: Want | None
    generator: Want | None
    factor: float = 1.0  # -1 for what players want more of


def _head(judgement: Judgement, name: str) -> jax.Array:
    if name not in judgement.heads:
        found = ", ".join(judgement.heads) or "none"
        raise InputError(f"terms: need the discriminator's head {name!r}; it has {found}")
    return judgement.heads[name]


def _surprise(judgement: Judgement, labels: Labels | None) -> jax.Array:
    """Cross-entropy of each row's class, nats; 0 where a row has no label."""
    if labels is None:
        raise InputError("terms: need the rows' labels; the data have none")
    logits = _head(judgement, "classes")
    # By one-hot vectors, all 0 where there is no label. XLA's CPU compiler (0.10) aborts on the
    # gradient of a gather here.
    return optax.softmax_cross_entropy(logits, jax.nn.one_hot(labels, logits.shape[1]))


def _classes_of_both(real: Judgement, fake: Judgement, told: Told) -> jax.Array:
    return _surprise(real, told.labels) + _surprise(fake, told.labels)


def _classes_of_fakes(real: Judgement, fake: Judgement, told: Told) -> jax.Array:
    del real
    return _surprise(fake, told.labels)


def _semi_supervised(real: Judgement, fake: Judgement, told: Told) -> jax.Array:
    del fake
    surprise = _surprise(real, told.labels)
    assert told.labels is not None
    known = jnp.sum(told.labels >= 0, dtype=jnp.float32)
    return surprise * (surprise.size / jnp.maximum(known, 1.0))  # the mean over those with a label


def _information(real: Judgement, fake: Judgement, told: Told) -> jax.Array:
    del real
    category, codes = _head(fake, "category"), _head(fake, "codes")
    latents = told.latents
    bound = jnp.zeros(latents.shape[0])
    if category.shape[1]:
        asked = latents[:, -category.shape[1] :] > 0.0
        bound += jnp.log(jnp.float32(category.shape[1]))
        bound -= optax.softmax_cross_entropy(category, asked.astype(jnp.float32))
    normals = latents[:, : codes.shape[1]]
    # Entropy of a normal, less its surprise under a normal of deviation 1 about what was said.
    return bound + jnp.sum(0.5 - 0.5 * jnp.square(normals - codes), axis=1)


def _smooth_real(real: Judgement, fake: Judgement, told: Told) -> jax.Array:
    del fake, told
    return real.logits


def _smooth_fake(real: Judgement, fake: Judgement, told: Told) -> jax.Array:
    del real, told
    return -fake.logits


classes = Term(_classes_of_both, _classes_of_fakes)
"""AC-GAN (arXiv:1610.09585): both players want the head ``classes`` to tell every row's label.

Nats; for the discriminator of a real row and a generated one together.
"""

semi_supervised = Term(_semi_supervised, None)
"""SGAN (arXiv:1606.01583, arXiv:1606.03498): the discriminator learns the labels there are.

Nats, the mean over those real rows of a batch that have a label.
"""

information = Term(_information, _information, factor=-1.0)
r"""InfoGAN (arXiv:1606.03657): what was put into the latents is to be read from the sample.

A lower bound of their mutual information, nats: :math:`\mathbb E \log Q(c|G(c)) + H(c)` over the
category and the first normals, for each of which :math:`Q` is a normal of deviation 1, as in the
authors' code. So it comes to at most :math:`\log K` of the category and half a nat of each normal.
"""

smoothing = Term(_smooth_real, None)
r"""One-sided label smoothing (arXiv:1606.03498) of weight s: reals are told to be so by 1 - s.

:math:`(1-s)\,\mathrm{softplus}(-r) + s\,\mathrm{softplus}(r) = \mathrm{softplus}(-r) + s r`: for
losses of cross-entropy.
"""

fake_smoothing = Term(_smooth_fake, None)
r"""The other side: generated rows are told to be so by 1 - s, which adds :math:`-s f`."""

HEADS_OF: Mapping[str, str] = {
    "classes": "classes",
    "semi_supervised": "semi_supervised",
    "information": "codes",
}
"""What the discriminator's head has to be for a term; others need none."""

TERMS: Mapping[str, Term] = {
    "classes": classes,
    "semi_supervised": semi_supervised,
    "information": information,
    "smoothing": smoothing,
    "fake_smoothing": fake_smoothing,
}
