"""The game: what is drawn, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import assert_close, assert_same_bits, random_batch, tiny_config

from gan_jax.config import DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import InputError
from gan_jax.game import Round, clustered_latents, instance_noise, normal_latents, packed
from gan_jax.gan import build, from_config
from gan_jax.losses import LOSSES
from gan_jax.networks import Network
from gan_jax.penalties import PENALTIES
from gan_jax.types import Batch

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


def seeing_gan(shape: tuple[int, ...], loss: str = "non_saturating", **parts):
    """D(x) = w.x, G(z) = z + p: what is shown can be read from logits and gradients."""
    return build(
        generator=Network(
            lambda key: jnp.zeros(2), lambda params, z, labels, key: z + params[None]
        ),
        discriminator=Network(
            lambda key: 0.1 * jnp.arange(1.0, 1.0 + shape[0]),
            lambda params, x, labels, key: jnp.dot(x, params, precision="highest"),
        ),
        loss=LOSSES[loss],
        generator_optimizer=optax.sgd(0.1),
        discriminator_optimizer=optax.sgd(0.1),
        draw_latents=2,
        **parts,
    )


def test_instance_noise_falls_to_nothing(key):
    batch = Batch(jnp.ones((4_000, 2)))
    hyperparameters = {"noise.deviation": jnp.float32(0.5), "noise.horizon": jnp.float32(100)}
    for step, expected in ((0, 0.5), (40, 0.3), (100, 0.0), (1_000, 0.0)):
        round = Round(batch, batch, None, key, jnp.int32(step), hyperparameters)
        added = np.asarray(instance_noise(batch, round, key).samples) - 1.0
        np.testing.assert_allclose(added.std(), expected, rtol=0.03)
        assert abs(added.mean()) < 0.02


def test_noise_of_none_and_packs_of_one_are_the_plain_step(key):
    batch = random_batch(0)
    plain, same = seeing_gan((2,)), seeing_gan((2,), noise=(0.0, 10), pack=1)
    state, found = (jax.jit(gan.train_step)(gan.init(key), batch) for gan in (plain, same))
    assert_close(found[0].generator, state[0].generator)
    assert_close(found[0].discriminator, state[0].discriminator)
    labelled = batch._replace(labels=jnp.arange(8) % 3)
    round = Round(labelled, labelled, None, key, jnp.int32(0), {})
    assert_same_bits(packed(1)(labelled, round, key), labelled)
    noisy = seeing_gan((2,), noise=(1.0, 10))
    moved, _ = jax.jit(noisy.train_step)(noisy.init(key), batch)
    assert np.abs(moved.discriminator.params - state[0].discriminator.params).max() > 1e-3


def test_noise_on_real_and_generated_rows_is_not_the_same(key):
    # This loss sees differences alone: the same noise on both would leave it as it is.
    batch = Batch(jnp.zeros((4_000, 2)))
    noisy, plain = (
        seeing_gan((2,), "relativistic", noise=noise) for noise in ((5.0, 10), (0.0, 10))
    )
    _, with_noise = jax.jit(noisy.train_step)(noisy.init(key), batch)
    _, without = jax.jit(plain.train_step)(plain.init(key), batch)
    assert with_noise.discriminator_loss > without.discriminator_loss + 0.1


def test_packs_are_further_channels(key):
    images = jnp.arange(4 * 2 * 3 * 2, dtype=jnp.float32).reshape(4, 2, 3, 2)
    round = Round(Batch(images), Batch(images), None, key, jnp.int32(0), {})
    packs = packed(2)(Batch(images), round, key).samples
    assert packs.shape == (2, 2, 3, 4)
    np.testing.assert_array_equal(packs[1, ..., :2], images[2])
    np.testing.assert_array_equal(packs[1, ..., 2:], images[3])
    labels = packed(2)(Batch(images, jnp.array([5, 5, 2, 7])), round, key).labels
    np.testing.assert_array_equal(labels, [5, -1])
    with pytest.raises(InputError, match="batch_size: 4 rows do not divide into packs of 3"):
        packed(3)(Batch(images), round, key)


def test_a_discriminator_of_packs(key):
    gan = seeing_gan((4,), pack=2, penalties={"r1": (PENALTIES["r1"], 1.0)})
    state, batch = gan.init(key), random_batch(0)
    after, metrics = jax.jit(gan.train_step)(state, batch)
    weights = np.asarray(state.discriminator.params)
    packs = np.asarray(batch.samples).reshape(4, 4)
    np.testing.assert_allclose(metrics.real_logits, (packs @ weights).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics.penalties["r1"], (weights**2).sum(), rtol=1e-5)
    assert np.abs(after.generator.params - state.generator.params).max() > 1e-4
    config = tiny_config(discriminator=DiscriminatorConfig(widths=(8,), pack=4))
    params = from_config(config).init(key).discriminator.params
    assert params["body"]["Dense_0"]["kernel"].shape == (8, 8)
    with pytest.raises(InputError, match="batch_size: 8 rows do not divide into packs of 3"):
        from_config(tiny_config(discriminator=DiscriminatorConfig(pack=3)))
    conditional = DiscriminatorConfig(pack=2, condition="projection")
    with pytest.raises(InputError, match="discriminator.pack: 1 is allowed beside a condition"):
        from_config(tiny_config(classes=3, discriminator=conditional))
