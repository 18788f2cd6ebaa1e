r"""What keeps the critic smooth, per example, given a critic. Knows no loss.

A penalty is a quantity of the critic at some place, ``[batch]``; the objective gains ``factor *
gamma`` times its mean, where ``gamma`` is the coefficient as the paper writes it. Gradients are
taken of the critic's *sum* over the batch, so that a critic which looks at several rows at once is
allowed.

On Dirac-GAN (arXiv:1801.04406), data at 0, samples at :math:`\theta`, :math:`D(x) = \psi x`, every
gradient is :math:`\psi`. R1 and R2 add :math:`-\gamma\psi` to the field of :math:`(\theta, \psi)`,
whose matrix is then :math:`\begin{pmatrix}0 & f' \\ -f' & -\gamma\end{pmatrix}` where the players
rest, f' being the loss's slope there: eigenvalues :math:`-\frac\gamma2 \pm \sqrt{\frac{\gamma^2}4 -
f'^2}` (the printed equation of arXiv:2501.05441 lacks the square). So they come to rest, as they do
not without (:math:`\pm i f'`).

WGAN-GP and DRAGAN add :math:`2\gamma(1 - |\psi|)\,\mathrm{sign}\,\psi`: they push :math:`\psi` from
0, where the field jumps, to 1 or -1, where it has the slope of an R1 of :math:`2\gamma` and the
generator is driven on: it does not rest at the data, unless its loss has no slope there. The
one-sided penalty adds nothing below a slope of 1, and the players circle.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.types import Batch, Critic, Judgement, Key, Samples

__all__ = [
    "PENALTIES",
    "Penalty",
    "dragan",
    "r1",
    "r2",
    "slope",
    "squared_slope",
    "wgan_gp",
    "wgan_gp_one_sided",
]


class Penalty(NamedTuple):
    """One term of the discriminator's objective: ``factor * gamma * mean(quantity)``."""

    at: Callable[[Key, Batch, Batch], Any]
    """``(key, real, fake) -> place``, where the critic is looked at: mostly a `Batch`."""
    value: Callable[[Critic, Any], tuple[jax.Array, Judgement | None]]
    """``(critic, place) -> (quantity, judgement)``: one quantity a row, or their mean.

    The judgement is what ``critic(*place)`` says. Where the place is ``real`` or ``fake`` itself,
    losses and terms take it for theirs, so that gradients go back through one pass for all; with
    None in its place they judge these rows themselves.
    """
    factor: float  # 1/2 where the paper writes gamma/2


def squared_slope(critic: Critic, batch: Batch) -> tuple[jax.Array, Judgement]:
    """Squared norm of the critic's gradient at each sample, ``[batch]``, and what it says there."""

    def total(samples: Samples) -> tuple[jax.Array, Judgement]:
        judgement = critic(samples, batch.labels)
        return jnp.sum(judgement.logits), judgement

    gradient, judgement = jax.grad(total, has_aux=True)(batch.samples)  # [batch, *sample_shape]
    return jnp.sum(jnp.square(gradient), axis=range(1, gradient.ndim)), judgement


def slope(critic: Critic, batch: Batch) -> tuple[jax.Array, Judgement]:
    """Norm of the critic's gradient at each sample, ``[batch]``, and what it says there.

    Where the gradient is 0, so is that of its norm.
    """
    squared, judgement = squared_slope(critic, batch)
    # The norm's own gradient at 0 is 0/0. A dead critic has to get 0 from it, not NaN.
    norm = jnp.where(squared > 0.0, jnp.sqrt(jnp.where(squared > 0.0, squared, 1.0)), 0.0)
    return norm, judgement


def _off_one(critic: Critic, batch: Batch) -> tuple[jax.Array, Judgement]:
    norm, judgement = slope(critic, batch)
    return jnp.square(norm - 1.0), judgement


def _above_one(critic: Critic, batch: Batch) -> tuple[jax.Array, Judgement]:
    norm, judgement = slope(critic, batch)
    return jnp.square(jax.nn.relu(norm - 1.0)), judgement


def _real(key: Key, real: Batch, fake: Batch) -> Batch:
    del key, fake
    return real


def _fake(key: Key, real: Batch, fake: Batch) -> Batch:
    del key, real
    return fake


def _between(key: Key, real: Batch, fake: Batch) -> Batch:
    """One point of the line between each pair."""
    mix = jax.random.uniform(key, (real.samples.shape[0],) + (1,) * (real.samples.ndim - 1))
    return Batch(mix * real.samples + (1.0 - mix) * fake.samples, real.labels)


def _about_real(key: Key, real: Batch, fake: Batch) -> Batch:
    del fake
    # As the paper's code: uniform noise, up to half of the deviation over the whole batch, times a
    # share of each row's own, so that near points are among them.
    noise_key, share_key = jax.random.split(key)
    noise = 0.5 * jnp.std(real.samples) * jax.random.uniform(noise_key, real.samples.shape)
    rows = (real.samples.shape[0],) + (1,) * (real.samples.ndim - 1)
    noise *= jax.random.uniform(share_key, rows)
    return Batch(real.samples + noise, real.labels)


r1 = Penalty(_real, squared_slope, 0.5)
r"""R1 (arXiv:1801.04406): :math:`\frac\gamma2 \|\nabla_x D(x)\|^2` at the real samples."""

r2 = Penalty(_fake, squared_slope, 0.5)
r"""R2 (arXiv:1801.04406): :math:`\frac\gamma2 \|\nabla_x D(x)\|^2` at the generated samples."""

wgan_gp = Penalty(_between, _off_one, 1.0)
r"""WGAN-GP (arXiv:1704.00028): :math:`\gamma (\|\nabla_x D\| - 1)^2` between real and fake."""

wgan_gp_one_sided = Penalty(_between, _above_one, 1.0)
r"""WGAN-LP (arXiv:1709.08894): as WGAN-GP, :math:`\gamma \max(0, \|\nabla_x D\| - 1)^2`."""

dragan = Penalty(_about_real, _off_one, 1.0)
r"""DRAGAN (arXiv:1705.07215): :math:`\gamma (\|\nabla_x D\| - 1)^2` about the real samples."""

PENALTIES: Mapping[str, Penalty] = {
    "r1": r1,
    "r2": r2,
    "wgan_gp": wgan_gp,
    "wgan_gp_one_sided": wgan_gp_one_sided,
    "dragan": dragan,
}
