"""Mixtures whose density is known exactly, as PacGAN sets them (arXiv 1712.04086)."""

import itertools
import math

import numpy as np

from gan_jax.data.dataset import Dataset, Mixture, Part

__all__ = ["MIXTURES", "load_mixture"]

HELD_OUT_ROWS = 10_000
TEST_SEED, VALIDATION_SEED = 0, 1


def _ring() -> Mixture:
    """Eight Gaussians of standard deviation 0.01 on the unit circle."""
    angles = [2 * math.pi * mode / 8 for mode in range(8)]
    centers = [(math.cos(angle), math.sin(angle)) for angle in angles]
    return Mixture(np.array(centers, np.float32), 0.01)


def _grid() -> Mixture:
    """Twenty-five Gaussians of standard deviation 0.05, two apart."""
    centers = list(itertools.product((-4, -2, 0, 2, 4), repeat=2))
    return Mixture(np.array(centers, np.float32), 0.05)


MIXTURES = {"ring": _ring(), "grid": _grid()}


def load_mixture(name: str, *, validation: bool = False) -> Dataset:
    """A mixture to train on, with held-out rows drawn under keys of their own."""
    mixture = MIXTURES[name]
    return Dataset(
        name=name,
        train=mixture,
        validation=_rows(mixture, VALIDATION_SEED) if validation else None,
        test=_rows(mixture, TEST_SEED),
        classes=len(mixture.centers),
    )


def _rows(mixture: Mixture, seed: int) -> Part:
    import jax

    batch = mixture.draw(jax.random.key(seed), HELD_OUT_ROWS)
    return Part(np.asarray(batch.samples), np.asarray(batch.labels))
