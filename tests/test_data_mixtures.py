"""The two mixtures in the plane: their constants, and draws from them."""

import jax
import numpy as np
import pytest

from gan_jax.data import Mixture, load
from gan_jax.data.mixtures import MIXTURES

ROOT = np.sqrt(0.5)
RING = [
    (1, 0),
    (ROOT, ROOT),
    (0, 1),
    (-ROOT, ROOT),
    (-1, 0),
    (-ROOT, -ROOT),
    (0, -1),
    (ROOT, -ROOT),
]
GRID = [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
COUNT = 20_000


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.mark.parametrize(("name", "centers", "std"), [("ring", RING, 0.01), ("grid", GRID, 0.05)])
def test_constants(name: str, centers: list[tuple[float, float]], std: float) -> None:
    dataset = load(name)
    assert isinstance(dataset.train, Mixture)
    np.testing.assert_allclose(dataset.train.centers, centers, atol=1e-7)
    assert len(np.unique(dataset.train.centers.round(3), axis=0)) == len(centers)
    assert dataset.train.std == std
    assert dataset.classes == len(centers)
    assert (dataset.name, dataset.sample_shape, dataset.is_image) == (name, (2,), False)


@pytest.mark.parametrize("name", MIXTURES)
def test_draws_have_the_mixture_s_moments(name: str, key: jax.Array) -> None:
    mixture = MIXTURES[name]
    batch = jax.jit(mixture.draw, static_argnums=1)(key, COUNT)
    assert batch.samples.shape == (COUNT, 2)
    assert batch.samples.dtype == np.float32
    assert batch.labels is not None
    assert batch.labels.dtype == np.int32
    labels = np.asarray(batch.labels)
    noise = np.asarray(batch.samples) - mixture.centers[labels]
    modes = len(mixture.centers)
    share = 1 / modes
    counts = np.bincount(labels, minlength=modes)
    # Four standard errors: one of some hundred figures beyond them is a chance of 1 in 150.
    assert np.abs(counts / COUNT - share).max() < 4 * np.sqrt(share * (1 - share) / COUNT)
    for mode in range(modes):
        values = noise[labels == mode].ravel()
        error = mixture.std / np.sqrt(2 * len(values))
        assert abs(values.std() - mixture.std) < 4 * error
        assert abs(values.mean()) < 4 * mixture.std / np.sqrt(len(values))
    assert abs(np.corrcoef(noise.T)[0, 1]) < 4 / np.sqrt(COUNT)


def test_a_key_fixes_every_bit(key: jax.Array) -> None:
    mixture = MIXTURES["ring"]
    first, again = mixture.draw(key, 100), mixture.draw(key, 100)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = mixture.draw(jax.random.fold_in(key, 1), 100)
    assert not np.array_equal(first.samples, other.samples)


def test_held_out_rows_are_fixed_and_differ() -> None:
    dataset, again = load("grid", validation=0.1), load("grid")
    assert dataset.validation is not None
    assert again.validation is None
    assert dataset.test.samples.shape == dataset.validation.samples.shape == (10_000, 2)
    np.testing.assert_array_equal(dataset.test.samples, again.test.samples)
    assert not np.array_equal(dataset.test.samples, dataset.validation.samples)
    assert dataset.test.labels is not None
    assert np.unique(dataset.test.labels).tolist() == list(range(25))


def test_fingerprints_differ() -> None:
    assert load("ring").fingerprint != load("grid").fingerprint
    assert load("ring").fingerprint == load("ring").fingerprint
