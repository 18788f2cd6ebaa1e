"""The game: what is drawn, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import linear, tiny_config

from gan_jax.assembly import from_config
from gan_jax.config import GeneratorConfig
from gan_jax.game import ClusteredLatents, Round, normal_latents
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
    latents = np.asarray(ClusteredLatents(3, 5)(key, ROWS))
    assert latents.shape == (ROWS, 8)
    normals, category = latents[:, :3], latents[:, 3:]
    np.testing.assert_allclose(np.cov(normals.T), np.eye(3), atol=6 / ROWS**0.5)
    # One of five, equally likely, and independent of the normals.
    assert ((category > 0).sum(axis=1) == 1).all() and len(np.unique(category)) == 2
    share = (category > 0).mean(axis=0)
    np.testing.assert_allclose(share, 0.2, atol=4 * (0.16 / ROWS) ** 0.5)
    correlation = np.corrcoef(latents.T)[:3, 3:]
    assert np.abs(correlation).max() < 5 / ROWS**0.5


def test_deviation_is_of_the_normals_alone(key):
    np.testing.assert_array_equal(normal_latents(3, 1.5)(key, 9), 1.5 * normal_latents(3)(key, 9))
    wide, plain = (np.asarray(ClusteredLatents(3, 5, d)(key, 9)) for d in (1.5, 1.0))
    np.testing.assert_allclose(wide[:, :3], 1.5 * plain[:, :3], rtol=1e-6)
    np.testing.assert_array_equal(wide[:, 3:], plain[:, 3:])


@pytest.mark.parametrize("categories", [0, 5])
def test_temperature_is_of_samples_and_leaves_training_alone(key, categories):
    """At twice the temperature a linear generator's samples deviate twice as much."""

    def at(temperature: float):
        generator = GeneratorConfig(
            latent_size=3,
            categories=categories,
            temperature=temperature,
            widths=(),
            last_activation="identity",
        )
        gan = from_config(tiny_config(generator=generator))
        state, _ = jax.jit(gan.train_step)(gan.init(key), Batch(jnp.ones((8, 2))))
        chosen = jax.nn.one_hot(jnp.zeros(9, int), 5) if categories else None
        return state, gan.sample(state, key, 9, None, chosen)

    (state, once), (same, twice), (_, middle) = at(1.0), at(2.0), at(0.0)
    jax.tree.map(np.testing.assert_array_equal, _bare(state), _bare(same))
    np.testing.assert_allclose(twice - middle, 2 * (once - middle), rtol=1e-4, atol=1e-6)
    assert float(jnp.abs(once - middle).min(axis=1).max()) > 1e-3


def _bare(state):
    return dataclasses.replace(state, key=jax.random.key_data(state.key))


def test_categories_reach_the_generator(key):
    generator = GeneratorConfig(latent_size=3, categories=5, widths=(4,))
    gan = from_config(tiny_config(generator=generator))
    params = gan.init(key).generator.params
    assert params["body"]["Dense_0"]["kernel"].shape == (8, 4)
    assert gan.sample(gan.init(key), key, 6).shape == (6, 2)


@pytest.mark.parametrize(
    ("names", "passes"),
    [((), 2), (("r1",), 2), (("r1", "r2"), 2), (("wgan_gp",), 3), (("dragan", "r2"), 3)],
)
def test_what_a_penalty_looks_at_is_not_judged_again_for_the_losses(names, passes, key):
    seen = []

    def judge(params, samples, labels, key):
        seen.append(samples)
        return samples @ params

    game = linear(
        discriminator=Network(lambda key: jnp.ones(2), judge),
        loss=LOSSES["hinge"],
        penalties={name: (PENALTIES[name], 1.0) for name in names},
    ).game
    real, fake = (Batch(jax.random.normal(k, (4, 2))) for k in jax.random.split(key))
    weights = {f"penalties.{name}": jnp.ones(()) for name in names}
    params = jnp.array([3.0, -4.0])
    round = Round(real, fake, None, key, jnp.int32(0), weights)
    found, report = game.discriminator_loss(params, round)
    assert len(seen) == passes
    # Each batch's logits are its own, and a linear critic's penalties are known.
    logits = [batch.samples @ params for batch in (real, fake)]
    assert float(report["real_logits"]) == pytest.approx(float(logits[0].mean()), abs=1e-5)
    assert float(report["fake_logits"]) == pytest.approx(float(logits[1].mean()), abs=1e-5)

    def plain(params):
        logits = [batch.samples @ params for batch in (real, fake)]
        slope = jnp.linalg.norm(params)  # at every place
        of_slope = {"r1": slope**2 / 2, "r2": slope**2 / 2}
        added = sum(of_slope.get(name, (slope - 1) ** 2) for name in names)
        return LOSSES["hinge"].discriminator(*logits).mean() + added

    expected, gradient = jax.value_and_grad(plain)(params)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(
        jax.grad(lambda params: game.discriminator_loss(params, round)[0])(params), gradient, 1e-5
    )


def test_same_key_same_latents():
    draw = ClusteredLatents(3, 5)
    once, again = (draw(jax.random.key(1), 6) for _ in range(2))
    assert (once == again).all()
    assert not jnp.allclose(once, draw(jax.random.key(2), 6))
