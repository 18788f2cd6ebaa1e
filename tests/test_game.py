"""The game: what is drawn, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
from conftest import tiny_config

from gan_jax.config import GeneratorConfig
from gan_jax.game import clustered_latents, normal_latents
from gan_jax.gan import from_config

ROWS = 4000


def test_normal_latents(key):
    latents = normal_latents(3)(key, ROWS)
    assert latents.shape == (ROWS, 3)
    np.testing.assert_allclose(latents.mean(axis=0), 0.0, atol=4 / ROWS**0.5)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(3), atol=6 / ROWS**0.5)


def test_clustered_latents(key):
    latents = np.asarray(clustered_latents(3, 5)(key, ROWS))
    assert latents.shape == (ROWS, 8)
    normals, category = latents[:, :3], latents[:, 3:]
    np.testing.assert_allclose(np.cov(normals.T), np.eye(3), atol=6 / ROWS**0.5)
    # One of five, equally likely, and independent of the normals.
    assert ((category > 0).sum(axis=1) == 1).all() and len(np.unique(category)) == 2
    share = (category > 0).mean(axis=0)
    np.testing.assert_allclose(share, 0.2, atol=4 * (0.16 / ROWS) ** 0.5)
    correlation = np.corrcoef(latents.T)[:3, 3:]
    assert np.abs(correlation).max() < 5 / ROWS**0.5


def test_categories_reach_the_generator(key):
    generator = GeneratorConfig(latent_size=3, categories=5, widths=(4,))
    gan = from_config(tiny_config(generator=generator))
    params = gan.init(key).generator.params
    assert params["body"]["Dense_0"]["kernel"].shape == (8, 4)
    assert gan.sample(gan.init(key), key, 6).shape == (6, 2)


def test_same_key_same_latents():
    draw = clustered_latents(3, 5)
    once, again = (draw(jax.random.key(1), 6) for _ in range(2))
    assert (once == again).all()
    assert not jnp.allclose(once, draw(jax.random.key(2), 6))
