"""What the discriminator is shown: samples moved, noisy, or several together."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import assert_close, assert_same_bits, random_batch, tiny_config

from gan_jax.assembly import from_config
from gan_jax.config import DiscriminatorConfig
from gan_jax.errors import InputError
from gan_jax.game import Round
from gan_jax.gan import build
from gan_jax.losses import LOSSES
from gan_jax.networks import Network
from gan_jax.penalties import PENALTIES
from gan_jax.types import Batch
from gan_jax.views import instance_noise, packed, shifted


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


def moved_by(size: int) -> np.ndarray:
    """The share of images moved so far down and right, ``[2 size + 1, 2 size + 1]``."""
    side, rows = 2 * size + 3, 40_000
    images = jnp.zeros((rows, side, side, 1)).at[:, size + 1, size + 1].set(1.0)
    batch = Batch(images, jnp.arange(rows))
    round = Round(batch, batch, None, jax.random.key(0), jnp.int32(0), {})
    shown = jax.jit(lambda key: shifted(size)(batch, round, key))(jax.random.key(size))
    np.testing.assert_array_equal(shown.labels, batch.labels)
    assert set(np.unique(shown.samples)) == {0.0, 1.0}
    shares = np.asarray(shown.samples[..., 0].mean(0))
    assert shares[[0, -1]].sum() + shares[:, [0, -1]].sum() == 0.0  # never farther
    return shares[1:-1, 1:-1]


@pytest.mark.parametrize("size", [1, 2, pytest.param(4, marks=pytest.mark.long)])
def test_half_of_the_images_are_moved_and_nothing_is_lost_on_the_whole(size):
    shares, count = moved_by(size), (2 * size + 1) ** 2
    expected = np.full(shares.shape, 0.5 / count)
    expected[size, size] += 0.5
    error = np.sqrt(expected * (1 - expected) / 40_000)
    assert (np.abs(shares - expected) < 5 * error).all()
    # No frequency of the distribution of images vanishes, so that only the right one looks right.
    assert np.abs(np.fft.fft2(shares, (420, 420))).min() > 1 / 3 - 0.02


def test_what_moves_in_is_the_rim(key):
    images = jnp.arange(9.0).reshape(1, 3, 3, 1)
    batch = Batch(jnp.tile(images, (200, 1, 1, 1)))
    round = Round(batch, batch, None, key, jnp.int32(0), {})
    found = {bytes(np.asarray(row)) for row in shifted(1)(batch, round, key).samples}
    wider = np.pad(np.asarray(images)[0, ..., 0], 1, mode="edge")
    cuts = itertools.product(range(3), range(3))
    assert found == {wider[down : down + 3, right : right + 3].tobytes() for down, right in cuts}


def test_the_step_is_of_images_moved_and_the_rest_as_it_was(key):
    config = tiny_config(sample_shape=(4, 4, 1))
    moving = tiny_config(
        sample_shape=(4, 4, 1), discriminator=DiscriminatorConfig(widths=(8,), shift=2)
    )
    plain, gan = (from_config(one) for one in (config, moving))
    state = gan.init(key)
    assert_same_bits(state, plain.init(key))
    flat = Batch(jnp.ones((8, 4, 4, 1)))  # these look the same wherever they are
    rows = Batch(jax.random.normal(key, (8, 4, 4, 1)))
    for batch, same in ((flat, True), (rows, False)):
        after, before = (jax.jit(one.train_step)(state, batch)[1] for one in (gan, plain))
        assert (abs(after.real_logits - before.real_logits) < 1e-6) == same
        assert abs(after.fake_logits - before.fake_logits) > 1e-4
    assert_same_bits(gan.sample(state, key, 6), plain.sample(state, key, 6))


@pytest.mark.parametrize(
    ("shape", "shift", "said"),
    [
        ((2,), 1, r"discriminator.shift: 1 .* \(2,\); 0 is allowed$"),
        ((5, 3), 1, r"discriminator.shift: 1 .* \(5, 3\); 0 is allowed$"),
        ((4, 4, 4, 1), 1, r"discriminator.shift: 1 .* \(4, 4, 4, 1\); 0 is allowed$"),
        ((28, 6, 1), 6, r"discriminator.shift: 6 .* \(28, 6, 1\); 0 to 5 is allowed$"),
    ],
)
def test_a_shift_out_of_range(shape, shift, said):
    discriminator = DiscriminatorConfig(widths=(8,), shift=shift)
    with pytest.raises(InputError, match=said):
        from_config(tiny_config(sample_shape=shape, discriminator=discriminator))
    batch = Batch(jnp.zeros((2, *shape)))
    round = Round(batch, batch, None, jax.random.key(0), jnp.int32(0), {})
    with pytest.raises(InputError, match=said):  # built of parts
        shifted(shift)(batch, round, jax.random.key(0))


@pytest.mark.parametrize("shift", [-1, 1.5])
def test_a_shift_that_is_no_number_of_pixels(shift):
    batch = Batch(jnp.zeros((2, 4, 4, 1)))
    round = Round(batch, batch, None, jax.random.key(0), jnp.int32(0), {})
    with pytest.raises(InputError, match=rf"discriminator.shift: {shift} .*; 0 to 3 is allowed"):
        shifted(shift)(batch, round, jax.random.key(0))
