"""The game: what is drawn, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import linear, tiny_config

from gan_jax.assembly import from_config
from gan_jax.config import GeneratorConfig
from gan_jax.errors import InputError
from gan_jax.game import ClusteredLatents, Round, normal_latents
from gan_jax.losses import LOSSES
from gan_jax.networks import Network
from gan_jax.penalties import PENALTIES, Penalty, r1, squared_slope
from gan_jax.terms import TERMS
from gan_jax.types import Batch, Judgement

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


def a_round(key, *names: str) -> Round:
    real, fake = (Batch(jax.random.normal(k, (4, 2))) for k in jax.random.split(key))
    weights = {f"penalties.{name}": jnp.full((), 0.5) for name in names}
    return Round(real, fake, None, key, jnp.int32(0), weights)


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
    round, params = a_round(key, *names), jnp.array([3.0, -4.0])
    real, fake = round.real, round.fake
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
        return LOSSES["hinge"].discriminator(*logits).mean() + 0.5 * added

    expected, gradient = jax.value_and_grad(plain)(params)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(
        jax.grad(lambda params: game.discriminator_loss(params, round)[0])(params), gradient, 1e-5
    )


def test_a_penalty_may_look_at_anything(key):
    """At pairs: how far apart the critic holds a real row and a generated one, squared."""

    def apart(critic, pair):
        real, fake = (critic(*batch).logits for batch in pair)
        return jnp.square(real - fake), None

    pairs = Penalty(lambda key, real, fake: (real, fake), apart, 3.0)
    game = linear(penalties={"pairs": (pairs, 0.5)}, loss=LOSSES["wasserstein"]).game
    round = a_round(key, "pairs")
    between = round.real.samples - round.fake.samples

    def plain(params):
        return 1.5 * jnp.mean(jnp.square(between @ params)) - jnp.mean(between @ params)

    params = jnp.array([3.0, -4.0])
    found, gradient = jax.value_and_grad(game.discriminator_loss, has_aux=True)(params, round)
    expected, slope = jax.value_and_grad(plain)(params)
    assert float(found[0]) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)


def test_a_penalty_that_tells_no_judgement_of_its_place(key):
    """One that looks beside the real rows: what it sees there is nothing to the losses."""

    def beside(critic, batch):
        return squared_slope(critic, batch._replace(samples=batch.samples + 1.0))[0], None

    params, round = jnp.array([3.0, -4.0]), a_round(key, "p")
    own, usual = (
        linear(penalties={"p": (penalty, 0.5)}).game.discriminator_loss(params, round)
        for penalty in (r1._replace(value=beside), r1)
    )
    for mine, theirs in zip(jax.tree.leaves(own), jax.tree.leaves(usual), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)  # a linear critic's slope is the same


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (lambda said: said.logits, r"\(4,\)"),
        (lambda said: said, r"Judgement\(logits=\(4,\), heads=\{\}\)"),
        (lambda said: (said.logits, said.logits), r"\(\(4,\), \(4,\)\)"),
        (lambda said: (jnp.outer(said.logits, said.logits), said), r"\(\(4, 4\), Judgement.*"),
    ],
)
def test_penalties_of_another_form_are_refused(returned, found, key):
    bad = r1._replace(value=lambda critic, batch: returned(critic(*batch)))
    game = linear(penalties={"bad": (bad, 1.0)}).game
    with pytest.raises(InputError, match=f"penalties: 'bad' returns {found}; one quantity a row"):
        game.discriminator_loss(jnp.ones(2), a_round(key, "bad"))


def test_terms_of_heads_are_of_single_rows(key):
    """A head of two packs of four cannot be told the labels of eight rows."""

    def judge(params, samples, labels, key):
        return Judgement(samples @ params, {"classes": jnp.zeros((len(samples), 3))})

    game = linear(
        discriminator=Network(lambda key: jnp.ones(8), judge),
        pack=4,
        terms={"classes": (TERMS["classes"], 1.0)},
    ).game
    batch = Batch(jnp.ones((4, 2)), jnp.arange(4) % 3)
    round = Round(batch, batch, None, key, jnp.int32(0), {"terms.classes": jnp.ones(())})
    for loss in (game.discriminator_loss, game.generator_loss):
        with pytest.raises(InputError, match="pack: terms are of single rows, 4; .* 1 packs"):
            loss(jnp.ones(8), round)


def test_same_key_same_latents():
    draw = ClusteredLatents(3, 5)
    once, again = (draw(jax.random.key(1), 6) for _ in range(2))
    assert (once == again).all()
    assert not jnp.allclose(once, draw(jax.random.key(2), 6))
