"""The Jacobian of a game of networks, its eigenvalues, and games whose end is known.

Dirac-GAN has its own file, `test_dirac.py`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import MANY_STEPS, random_batch, tiny_config, tiny_gan
from jax.flatten_util import ravel_pytree

from gan_jax.config import DynamicsConfig
from gan_jax.dynamics import alternating, gradients, unrolled
from gan_jax.errors import InputError
from gan_jax.evaluation.spectrum import game_jacobian, game_spectrum
from gan_jax.game import Round
from gan_jax.gan import build
from gan_jax.losses import LOSSES
from gan_jax.networks import Network
from gan_jax.penalties import PENALTIES
from gan_jax.state import at_params
from gan_jax.types import Batch


@pytest.mark.parametrize(
    "normalization", ["none", pytest.param("spectral", marks=pytest.mark.long)]
)
def test_jacobian_of_networks_against_differences(normalization, key):
    config = tiny_config(penalties={"r1": 1.0})
    smooth = {"generator": config.generator, "discriminator": config.discriminator}
    changes = {"activation": "tanh", "normalization": normalization}
    smooth = {name: dataclasses.replace(x, **changes) for name, x in smooth.items()}
    gan = tiny_gan(penalties={"r1": 1.0}, **smooth)
    state, batch = jax.jit(gan.init)(key), Batch(jax.random.normal(key, (8, 2)))
    matrix = game_jacobian(gan.game, state, batch)
    flat, unravel = ravel_pytree((state.generator.params, state.discriminator.params))

    @jax.jit
    def field(params):
        found, _ = gradients(gan.game, at_params(state, *unravel(params)), batch)
        return -ravel_pytree(tuple(found))[0]

    direction = jax.random.normal(jax.random.key(1), flat.shape)
    step = 2e-3
    difference = (field(flat + step * direction) - field(flat - step * direction)) / (2 * step)
    np.testing.assert_allclose(matrix @ direction, difference, rtol=2e-2, atol=2e-3)
    # The two players descend different losses: no Hessian, so not symmetric.
    assert np.abs(matrix - matrix.T).max() > 1e-2


def test_a_game_that_is_no_key(key):
    """As of latents drawn by an object that cannot be hashed."""

    @dataclasses.dataclass
    class Draw:
        size: int

        def __call__(self, key, count):
            return jax.random.normal(key, (count, self.size))

    gan = tiny_gan()
    state, batch = gan.init(key), random_batch(0)
    odd = gan.game._replace(draw_latents=Draw(3))
    found = game_jacobian(odd, state, batch)
    np.testing.assert_array_equal(
        found, game_jacobian(odd._replace(draw_latents=lambda k, n: Draw(3)(k, n)), state, batch)
    )


def test_products_that_differentiate_backwards_only(key, monkeypatch):
    monkeypatch.setattr("gan_jax.evaluation.spectrum.DENSE", 10)
    gan = tiny_gan(precision="bfloat16")
    with pytest.raises(InputError, match="its products are in bfloat16"):
        game_spectrum(gan.game, gan.init(key), random_batch(0))
    monkeypatch.setattr("gan_jax.evaluation.spectrum.DENSE", 10_000)
    with pytest.raises(InputError, match="its products are in bfloat16"):
        game_spectrum(gan.game, gan.init(key), random_batch(0))


def test_leading_eigenvalues_are_those_of_the_whole_matrix(key, monkeypatch):
    gan = tiny_gan(sample_shape=(2,), penalties={"r1": 1.0, "r2": 1.0})
    state, batch = gan.init(key), Batch(jax.random.normal(key, (8, 2)))
    whole: Any = game_spectrum(gan.game, state, batch)
    assert (np.diff(whole.real) <= 0).all()
    monkeypatch.setattr("gan_jax.evaluation.spectrum.DENSE", 10)
    leading: Any = game_spectrum(gan.game, state, batch, 4)
    np.testing.assert_allclose(leading.real, whole[:4].real, atol=1e-3)
    np.testing.assert_allclose(np.abs(leading.imag), np.abs(whole[:4].imag), atol=1e-3)
    with pytest.raises(InputError, match="count: 0 is out of range"):
        game_spectrum(gan.game, state, batch, 0)
    with pytest.raises(InputError, match="parameters; a dense Jacobian takes up to 10"):
        game_jacobian(gan.game, state, batch)


def test_leading_eigenvalues_of_thousands_of_parameters():
    """Beyond what is taken apart whole: Dirac-GAN in the plane of 1,500 coordinates, each alike.

    R1 looks at every coordinate of psi: -gamma/2 +- sqrt(gamma^2/4 - f'^2), 1,500 times each.
    """
    size, gamma = 1_500, 1.25  # f' = 1/2: -1/4 and -1
    gan = build(
        generator=Network(
            lambda key: jnp.zeros(size),
            lambda theta, latents, labels, key: jnp.broadcast_to(theta, (len(latents), size)),
        ),
        discriminator=Network(
            lambda key: jnp.zeros(size), lambda psi, samples, labels, key: samples @ psi
        ),
        loss=LOSSES["non_saturating"],
        penalties={"r1": (PENALTIES["r1"], gamma)},
        generator_optimizer=optax.sgd(0.1),
        discriminator_optimizer=optax.sgd(0.1),
        draw_latents=1,
    )
    batch = Batch(jnp.zeros((4, size)))
    found: Any = game_spectrum(gan.game, gan.init(jax.random.key(0)), batch, 1)
    np.testing.assert_allclose(found, [-0.25], atol=1e-3)


def test_unrolled_gradients_against_differences():
    """So many moves as an array: none, one, three and six of them are one program."""
    with jax.enable_x64(True):
        start = jnp.array([0.5, -0.3], jnp.float64)

        def gan_by(dynamics):
            return build(
                generator=Network(
                    lambda key: start, lambda p, z, labels, key: jnp.tanh(z) * p[None]
                ),
                discriminator=Network(
                    lambda key: jnp.array([0.4, 0.2], jnp.float64),
                    lambda p, x, labels, key: jnp.tanh(x) @ p,
                ),
                loss=LOSSES["non_saturating"],
                penalties={"r1": (PENALTIES["r1"], 1.0)},
                generator_optimizer=optax.sgd(1.0),
                discriminator_optimizer=optax.sgd(0.7),
                draw_latents=lambda key, n: jax.random.normal(key, (n, 2), jnp.float64),
                dynamics=dynamics,
            )

        batch = Batch(jnp.linspace(-1, 2, 12, dtype=jnp.float64).reshape(6, 2))
        plain = gan_by(alternating())
        state = plain.init(jax.random.key(0))
        counts = [0, 1, 3, 6]
        after, metrics = jax.jit(
            jax.vmap(lambda steps: gan_by(unrolled(steps, most=6)).train_step(state, batch))
        )(jnp.array(counts))
        for index, dynamics in ((0, alternating()), (2, unrolled(3))):
            alone, _ = gan_by(dynamics).train_step(state, batch)
            np.testing.assert_allclose(
                after.generator.params[index], alone.generator.params, rtol=1e-12
            )

        def outcome(generator, steps):
            """The discriminator's move stays where it is; what it would do next does not."""
            game = plain.game
            keys = jax.random.split(jax.random.fold_in(state.key, 0), (1, 3))[0]
            latents = game.draw_latents(keys[0], 6)
            fake = Batch(game.generate(generator, latents, None, keys[1]))
            round = Round(batch, fake, latents, keys[2], state.step, state.hyperparameters)
            later = after.discriminator.params[0]
            for _ in range(steps):
                later -= 0.7 * jax.grad(lambda p: game.discriminator_loss(p, round)[0])(later)
            return game.generator_loss(later, round)[0]

        for steps, ends, lost in zip(
            counts, after.generator.params, metrics.generator_loss, strict=True
        ):
            np.testing.assert_allclose(lost, outcome(start, steps), rtol=1e-9)
            for index, nudge in enumerate(1e-5 * jnp.eye(2)):
                higher, lower = (outcome(start + sign * nudge, steps) for sign in (1, -1))
                gradient = (start - ends)[index]  # the rate is 1
                np.testing.assert_allclose(gradient, (higher - lower) / 2e-5, rtol=1e-5)


def test_unrolled_by_nothing_is_alternating_and_adam_survives_dead_units(key):
    batch = Batch(jax.random.normal(key, (8, 2)))
    plain = tiny_gan()
    same = tiny_gan(dynamics=DynamicsConfig(name="unrolled", unroll=0))
    moved = [jax.jit(gan.train_step)(gan.init(key), batch)[0] for gan in (plain, same)]
    for a, b in zip(*(jax.tree.leaves(s.generator.params) for s in moved), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    ahead = tiny_gan(dynamics=DynamicsConfig(name="unrolled", unroll=3))
    state = ahead.init(key)
    dead = jax.tree.map(jnp.zeros_like, state.discriminator.params)  # most gradients are 0 here
    _, metrics = jax.jit(ahead.train_step)(at_params(state, state.generator.params, dead), batch)
    assert metrics.finite


def test_linear_quadratic_gan_finds_mean_and_variance(key):
    # G = a z + b, D(x) = w1 x + w2 x^2 on N(1.5, 0.5^2) (Nagarajan & Kolter, arXiv:1706.04156).
    gan = build(
        generator=Network(
            lambda key: jnp.array([1.0, 0.0]), lambda p, z, labels, key: p[0] * z + p[1]
        ),
        discriminator=Network(
            lambda key: jnp.zeros(2),
            lambda p, x, labels, key: p[0] * x[:, 0] + p[1] * jnp.square(x[:, 0]),
        ),
        loss=LOSSES["wasserstein"],
        penalties={"r1": (PENALTIES["r1"], 0.3)},
        generator_optimizer=optax.sgd(0.1),
        discriminator_optimizer=optax.sgd(0.1),
        draw_latents=1,
        average_decay=0.99,
    )

    def step(state, key):
        return gan.train_step(state, Batch(1.5 + 0.5 * jax.random.normal(key, (2_048, 1))))[0], None

    state, _ = jax.jit(
        lambda s: jax.lax.scan(step, s, jax.random.split(key, 3_000)), compiler_options=MANY_STEPS
    )(gan.init(key))
    np.testing.assert_allclose(np.abs(state.average), [0.5, 1.5], atol=0.03)


@pytest.mark.parametrize("m", [1.5, 0.0])
def test_best_discriminator_between_two_normals(m, key):
    # N(0, 1) against N(m, 1): log p/q = -m x + m^2/2 exactly, and V(D*) = 2 JSD - log 4,
    # which is -log 4 where the generator has found the data. Rows are
    # the quantiles, not draws: sums over them are integrals, to a few thousandths.
    rows = 20_000
    quantiles = jax.scipy.special.ndtri((jnp.arange(rows) + 0.5) / rows)[:, None]
    gan = build(
        generator=Network(lambda key: jnp.float32(m), lambda p, z, labels, key: z + p),
        discriminator=Network(
            lambda key: jnp.ones(2), lambda p, x, labels, key: p[0] * x[:, 0] + p[1]
        ),
        loss=LOSSES["minimax"],
        generator_optimizer=optax.set_to_zero(),
        discriminator_optimizer=optax.adam(optax.linear_schedule(0.1, 0.0, 300)),
        draw_latents=lambda key, count: quantiles,
    )
    state, metrics = jax.jit(
        lambda s: jax.lax.scan(lambda s, _: gan.train_step(s, Batch(quantiles)), s, length=300),
        compiler_options=MANY_STEPS,
    )(gan.init(key))
    np.testing.assert_allclose(state.discriminator.params, [-m, m**2 / 2], atol=0.005)
    x = np.linspace(-12, 12 + m, 200_001)
    p, q = (np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (0.0, m))
    inside = 0.5 * (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)))
    divergence = np.trapezoid(inside, x)
    assert float(metrics.value[-1]) == pytest.approx(2 * divergence - np.log(4), abs=0.001)
