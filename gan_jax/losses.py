r"""What each player minimises, per example, given logits.

A loss is a pair of functions of both players' logits, ``(real_logits, fake_logits) -> [batch]``,
so that relativistic losses fit and every loss can stand in for every other. Nothing here knows
parameters, and nothing is averaged: the game takes the mean. Binary cross-entropies are written
on logits, :math:`-\log \sigma(x) = \mathrm{softplus}(-x)`, which stays finite however sure the
discriminator is; on probabilities it does not.

Below :math:`r` is a real logit, :math:`f` the fake one in the same row.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus

from gan_jax.types import Logits

__all__ = [
    "LOSSES",
    "AdversarialLoss",
    "boundary_seeking",
    "hinge",
    "least_squares",
    "losses_at_equilibrium",
    "minimax",
    "non_saturating",
    "relativistic",
    "relativistic_average",
    "softmax",
    "wasserstein",
]


class AdversarialLoss(NamedTuple):
    """What the two players minimise, given logits of shape ``[batch]``."""

    discriminator: Callable[[Logits, Logits], jax.Array]  # (real, fake) -> [batch]
    generator: Callable[[Logits, Logits], jax.Array]  # (real, fake) -> [batch]
    probability: Callable[[Logits], jax.Array] | None = None  # D(x) in [0, 1], if the loss has one
    equilibrium: float = 0.0  # the logit of a discriminator that cannot tell real from fake
    least: float = 0.0  # what the discriminator loses where it tells all; -inf if nothing bounds it


def _cross_entropy_discriminator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return softplus(-real_logits) + softplus(fake_logits)


def _minimax_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    del real_logits
    return -softplus(fake_logits)


def _non_saturating_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    del real_logits
    return softplus(-fake_logits)


def _least_squares_discriminator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return 0.5 * (jnp.square(real_logits - 1.0) + jnp.square(fake_logits))


def _least_squares_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    del real_logits
    return 0.5 * jnp.square(fake_logits - 1.0)


def _hinge_discriminator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return relu(1.0 - real_logits) + relu(1.0 + fake_logits)


def _wasserstein_discriminator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return fake_logits - real_logits


def _linear_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    del real_logits
    return -fake_logits


def _relativistic_discriminator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return softplus(fake_logits - real_logits)


def _relativistic_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return softplus(real_logits - fake_logits)


def _relativistic_average_discriminator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    real = softplus(jnp.mean(fake_logits) - real_logits)
    return 0.5 * (real + softplus(fake_logits - jnp.mean(real_logits)))


def _relativistic_average_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    real = softplus(real_logits - jnp.mean(fake_logits))
    return 0.5 * (real + softplus(jnp.mean(real_logits) - fake_logits))


def _log_mean_exp(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    both = jnp.concatenate([real_logits, fake_logits])
    return jax.nn.logsumexp(both) - math.log(both.size)


def _softmax_discriminator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return _log_mean_exp(real_logits, fake_logits) - real_logits


def _softmax_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    return _log_mean_exp(real_logits, fake_logits) - 0.5 * (real_logits + fake_logits)


def _boundary_seeking_generator(real_logits: Logits, fake_logits: Logits) -> jax.Array:
    del real_logits
    return 0.5 * jnp.square(fake_logits)


def losses_at_equilibrium(loss: AdversarialLoss) -> tuple[float, float]:
    """What discriminator and generator lose where the one cannot tell the other's samples."""
    unsure = jnp.full(1, loss.equilibrium)
    lost = [jnp.mean(of(unsure, unsure)) for of in (loss.discriminator, loss.generator)]
    return float(lost[0]), float(lost[1])


minimax = AdversarialLoss(_cross_entropy_discriminator, _minimax_generator, jax.nn.sigmoid)
r"""The game as first written (arXiv:1406.2661): :math:`V = \log D(x) + \log(1 - D(G(z)))`.

Discriminator :math:`-\log\sigma(r) - \log(1-\sigma(f))`, generator :math:`\log(1-\sigma(f))`.
Its generator gradient vanishes while the discriminator is sure of itself.

Where real samples have density p and generated ones q, :math:`p \log D + q \log(1 - D)` is
stationary at :math:`p/D = q/(1-D)`: the best discriminator is :math:`D^* = p/(p+q)`, its logit
:math:`\log p/q`. With :math:`m = (p+q)/2` it leaves :math:`V = \int p \log\frac{p}{2m} + q
\log\frac{q}{2m} = 2\,\mathrm{JSD}(p, q) - \log 4`: least, :math:`-\log 4`, where the generator has
found the data.
"""

non_saturating = AdversarialLoss(
    _cross_entropy_discriminator, _non_saturating_generator, jax.nn.sigmoid
)
r"""The same discriminator; the generator minimises :math:`-\log\sigma(f)` (arXiv:1406.2661 §3).

As :math:`-\log\sigma(f) = -\log(1 - \sigma(f)) - f`, it descends minimax's divergence negated, and
:math:`-\mathbb E_q D^*` of a :math:`D^* = \log p/q` that stands still, whose slope in q is that of
:math:`\mathrm{KL}(q\,|\,p)`: together :math:`\mathrm{KL}(q\,|\,p) - 2\,\mathrm{JSD}(p, q)`
(arXiv:1701.04862, theorem 2.5).
"""

least_squares = AdversarialLoss(_least_squares_discriminator, _least_squares_generator, None, 0.5)
r"""LSGAN (arXiv:1611.04076), targets 1 and 0.

Discriminator :math:`\frac12(r-1)^2 + \frac12 f^2`, generator :math:`\frac12(f-1)^2`. The best
discriminator, where :math:`p(D-1) + qD = 0`, is :math:`p/(p+q)`; it leaves :math:`\frac12\int
\frac{pq}{p+q} = \frac14(1 - \chi^2(q\,|\,m))`, with :math:`m = (p+q)/2`. The generator then moves
along :math:`\frac12(D^* - 1)^2 = \frac12(\frac q{p+q})^2`, which is the slope in q of
:math:`\mathrm{KL}(p\,|\,m) - \frac14\chi^2(p\,|\,m)`.
"""

hinge = AdversarialLoss(_hinge_discriminator, _linear_generator)
r"""Geometric GAN (arXiv:1705.02894): :math:`\max(0,1-r) + \max(0,1+f)`; generator :math:`-f`.

The best discriminator is :math:`\mathrm{sign}(p - q)`, one of the corners of :math:`p\max(0,1-D) +
q\max(0,1+D)`; it leaves :math:`2\int\min(p, q) = 2 - 2\,\mathrm{TV}(p, q)`, and the generator moves
along :math:`-D^* = \mathrm{sign}(q - p)`, the slope in q of :math:`\int|p - q|`.
"""

wasserstein = AdversarialLoss(_wasserstein_discriminator, _linear_generator, least=-math.inf)
r"""WGAN (arXiv:1701.07875): critic :math:`f - r`, generator :math:`-f`.

A distance only while the critic is kept Lipschitz: give it a penalty. On a line, by parts,
:math:`\mathbb E_p D - \mathbb E_q D = \int D'(F_q - F_p)`, F being distribution functions. Slopes
up to 1 do best by :math:`D' = \mathrm{sign}(F_q - F_p)`, which leaves :math:`-\int|F_p - F_q|`, the
distance that mass has to be moved, negated.
"""

relativistic = AdversarialLoss(_relativistic_discriminator, _relativistic_generator)
r"""Relativistic pairing GAN (arXiv:1807.00734, arXiv:2501.05441): which of the two is real?

Discriminator :math:`-\log\sigma(r-f)`, generator :math:`-\log\sigma(f-r)`. It leaves :math:`\log 2`
where real and generated samples are alike, and less otherwise: a divergence (arXiv:1901.02474),
though of more than two kinds of samples none in closed form. As
:math:`-\log\sigma(-x) = x - \log\sigma(x)`, the generator's is the discriminator's plus
:math:`r - f`: it descends that divergence and :math:`-\mathbb E_q D^*` of a :math:`D^*` that stands
still.
"""

relativistic_average = AdversarialLoss(
    _relativistic_average_discriminator, _relativistic_average_generator
)
r"""Relativistic average GAN (arXiv:1807.00734): is a row more real than the others' mean?

Discriminator :math:`\frac12(-\log\sigma(r - \bar f) - \log(1 - \sigma(f - \bar r)))`, bars for
means over the batch; the generator's is the same with the players' places changed. In
the mean over a batch it is the discriminator's plus :math:`\bar r - \bar f`, as for pairs.
"""

softmax = AdversarialLoss(_softmax_discriminator, _softmax_generator, least=-math.log(2.0))
r"""Softmax GAN (arXiv:1704.06191): a softmax over the whole batch, real rows and generated ones.

With :math:`Z = \frac1{2b}\sum(e^r + e^f)` the discriminator minimises :math:`\log Z - r`, which
spreads all probability over the real rows, the generator :math:`\log Z - \frac12(r + f)`, which
spreads it over all. The paper's Z is a sum; the mean only adds a constant. With :math:`m = (p+q)/2`
the discriminator's is :math:`\log\mathbb E_m e^D - \mathbb E_p D \ge -\mathrm{KL}(p\,|\,m)`
(Donsker and Varadhan), equal at :math:`D = \log p/m`; the generator's then has in q the slope of
:math:`\mathrm{KL}(m\,|\,p) - \mathrm{KL}(p\,|\,m)`.
"""

boundary_seeking = AdversarialLoss(
    _cross_entropy_discriminator, _boundary_seeking_generator, jax.nn.sigmoid
)
r"""Boundary-seeking GAN (arXiv:1702.08431): the generator minimises :math:`\frac12 f^2`.

With the best discriminator, :math:`f = \log p/q`, it descends :math:`\mathbb E_q\frac12\log^2\frac
qp - \mathrm{KL}(q\,|\,p)`, whose slope in q is :math:`\frac12\log^2\frac qp - 1`. That is no
divergence: it is stationary where the generator has found the data, but not least.
"""

LOSSES: Mapping[str, AdversarialLoss] = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
    "relativistic_average": relativistic_average,
    "softmax": softmax,
    "boundary_seeking": boundary_seeking,
}
