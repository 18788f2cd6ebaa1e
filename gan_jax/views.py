"""What a discriminator is shown in place of the rows as they are, real and generated alike."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax.errors import InputError
from gan_jax.game import Round, View
from gan_jax.types import Batch, Key

__all__ = ["check_shift", "instance_noise", "packed", "shifted"]


def check_shift(size: int, sample_shape: Sequence[int]) -> None:
    """Refuse to move what is no image, or images by as much as they are wide.

    Raises:
        InputError: samples are not ``[height, width, channels]``, or the size is not from 1 to
            less than their shorter side.
    """
    most = min(sample_shape[:2]) - 1 if len(sample_shape) == 3 else 0
    if size not in range(1, most + 1):
        allowed = f"0 to {most} is allowed" if most else "0 is allowed"
        raise InputError(
            f"discriminator.shift: {size} is out of range for samples of shape "
            f"{tuple(sample_shape)}; {allowed}"
        )


def shifted(size: int) -> View:
    r"""Half of the images, by chance, moved by up to so many pixels either way (arXiv:2006.10738).

    Few images, or a long training, let a discriminator know each by heart, and a generator that
    it teaches copies them. One that sees them moved has (2 size + 1)² times as many to know. What
    moves in at a side is the rim, once more.

    The generator still learns images that are not moved. To move by chance convolves with a
    distribution of shifts, and of two distributions that come out equal the Fourier transforms are
    equal wherever that of the shifts is not 0 (arXiv:2006.06676). Of uniform shifts it is a product
    of two Dirichlet kernels, each from -1/3 to 1, and has zeros; half of it and half of none come
    to 1/3 or more. Exactly so where the rim is of one colour and what lies within stays inside.

    Args:
        size: pixels, 1 or more, fewer than the images have to a side.

    Raises:
        InputError: (when traced) as `check_shift`.
    """

    def view(batch: Batch, round: Round, key: Key) -> Batch:
        del round
        check_shift(size, batch.samples.shape[1:])
        samples, (pick_key, move_key) = batch.samples, jax.random.split(key)
        rows = samples.shape[0]
        moves = jax.random.randint(move_key, (rows, 2), 0, 2 * size + 1)
        moves = jnp.where(jax.random.bernoulli(pick_key, 0.5, (rows, 1)), moves, size)
        wider = jnp.pad(samples, ((0, 0), (size, size), (size, size), (0, 0)), mode="edge")

        def cut(image: jax.Array, move: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice(image, (move[0], move[1], 0), samples.shape[1:])

        return batch._replace(samples=jax.vmap(cut)(wider, moves))

    return view


def instance_noise(batch: Batch, round: Round, key: Key) -> Batch:
    r"""Normal noise on every sample shown, which falls to nothing (arXiv:1610.04490).

    Its deviation is ``noise.deviation`` at first and falls in proportion to the steps that are left
    until ``noise.horizon``; both are hyperparameters of the state.

    It damps as R1 does (arXiv:1801.04406). On Dirac-GAN, data at 0 and :math:`D(x) = \psi x`, the
    discriminator's loss :math:`-f(\psi s n) - f(-\psi(\theta + s n'))` gains, to second order in
    :math:`\psi` and in the mean over the noise, :math:`-f''(0) s^2 \psi^2`: an R1 of
    :math:`\gamma = -2 f''(0) s^2`, and eigenvalues :math:`f'' s^2 \pm \sqrt{f''^2 s^4 - f'^2}`.
    """
    time = round.step.astype(jnp.float32) / round.hyperparameters["noise.horizon"]
    deviation = round.hyperparameters["noise.deviation"] * jnp.maximum(0.0, 1.0 - time)
    noise = jax.random.normal(key, batch.samples.shape)
    return batch._replace(samples=batch.samples + deviation * noise)


def packed(size: int) -> View:
    """Samples shown by so many together, as further channels or features (arXiv:1712.04086).

    A discriminator that judges packs sees how alike their samples are. The batch then counts packs.
    A pack has the label that all its samples have, or else -1; packs of one are the plain batch.

    Raises:
        InputError: (when traced) the batch does not divide into packs.
    """

    def view(batch: Batch, round: Round, key: Key) -> Batch:
        del round, key
        rows = batch.samples.shape[0]
        if rows % size:
            raise InputError(f"batch_size: {rows} rows do not divide into packs of {size}")
        packs = batch.samples.reshape(rows // size, size, *batch.samples.shape[1:])
        packs = jnp.moveaxis(packs, 1, -2)  # [packs, ..., size, channels]
        packs = packs.reshape(*packs.shape[:-2], -1)
        if batch.labels is None:
            return Batch(packs, None)
        labels = batch.labels.reshape(rows // size, size)
        alike = jnp.all(labels == labels[:, :1], axis=1)
        return Batch(packs, jnp.where(alike, labels[:, 0], -1))

    return view
