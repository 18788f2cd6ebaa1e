"""Eigenvalues of the maps of every dynamics' steps, against algebra: Dirac-GAN; bilinear games.

From the field of the game, whose matrix at rest `test_dirac.py` has and tests.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import dirac
from jax.flatten_util import ravel_pytree
from known_losses import KNOWN, eigenvalues, field_of

from gan_jax.dynamics import alternating, consensus, extragradient, simultaneous, unrolled
from gan_jax.losses import LOSSES
from gan_jax.optimizers import clip_weights
from gan_jax.state import at_params
from gan_jax.types import Batch

REAL = Batch(jnp.zeros((4, 1)))
DYNAMICS = {
    "simultaneous": {"dynamics": simultaneous()},
    "alternating": {"dynamics": alternating()},
    "extragradient": {"dynamics": extragradient()},
    "consensus": {"dynamics": consensus(0.3)},
    "unrolled": {"dynamics": unrolled(3)},
    "optimistic": {
        "dynamics": simultaneous(),
        "optimizer": optax.optimistic_gradient_descent,
    },
}


def step_matrix(gan, gammas, batch=REAL) -> jax.Array:
    """Of one step's map of both players, optimisers' memories included, where all stand at 0."""
    # Behind a first step, which those with a memory do in another way.
    state, _ = gan.train_step(gan.init(jax.random.key(0)), batch)
    state = state.replace(hyperparameters=state.hyperparameters | gammas)
    leaves, tree = jax.tree.flatten((state.generator, state.discriminator))
    moving = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]
    flat, unravel = ravel_pytree([leaves[i] for i in moving])

    def step(flat):
        there = dict(enumerate(leaves)) | dict(zip(moving, unravel(flat), strict=True))
        generator, discriminator = jax.tree.unflatten(tree, list(there.values()))
        after, _ = gan.train_step(
            state.replace(generator=generator, discriminator=discriminator), batch
        )
        changed = jax.tree.leaves((after.generator, after.discriminator))
        return ravel_pytree([changed[i] for i in moving])[0]

    return jax.jacfwd(step)(jnp.zeros_like(flat))


def expected_matrix(name: str, field, rates, bend: float = 0.0) -> Any:
    """Of the map of (theta, psi), from the matrix F of the field and H, the rates' diagonal."""
    one, h = np.eye(2), np.diag(rates)
    if name == "optimistic":  # x' = x + 2 H F x - H F x_before, as a map of (x, x_before)
        return np.block([[one + 2 * h @ field, -h @ field], [one, 0 * one]])
    if name == "unrolled":
        return unrolled_matrix(field, rates, bend, 3)
    return {
        "simultaneous": one + h @ field,
        # The generator answers on the discriminator's new parameter.
        "alternating": (one + np.diag([1, 0]) @ h @ field) @ (one + np.diag([0, 1]) @ h @ field),
        "extragradient": one + h @ field @ (one + h @ field),
        "consensus": one + h @ (field - 0.3 * field.T @ field),
    }[name]


def assert_as_expected(found, name: str, *known) -> None:
    """Eigenvalues; where nothing is remembered the whole matrix, which tells more if one is 0."""
    expected = expected_matrix(name, *known)
    np.testing.assert_allclose(eigenvalues(found), eigenvalues(expected), atol=1e-3)
    if name != "optimistic":
        np.testing.assert_allclose(found, expected, atol=1e-3)


def unrolled_matrix(field, rates, bend: float, ahead: int) -> Any:
    """Of (theta, psi): the generator descends -g theta psi_k, psi_k being k moves later than psi.

    Each move is psi <- a psi - b d theta with a = 1 - b gamma, so the gradient has -g psi_k and,
    through psi_k, g b d theta (1 + a + ... + a^(k-1)). The discriminator makes one of the moves.
    Noise gives the generator's loss bend * psi_k^2 / 2 as well, of which it sees the same way.
    """
    generator, discriminator, gamma = field[0, 1], -field[1, 0], -field[1, 1]
    keep = 1.0 - rates[1] * gamma
    drift = -rates[1] * discriminator * sum(keep**i for i in range(ahead))
    moved = np.array([-rates[1] * discriminator, keep])  # psi after its own move
    later = keep**ahead * moved + np.array([drift, 0.0])
    theta = np.array([1.0, 0.0]) + rates[0] * generator * (later + np.array([drift, 0.0]))
    theta -= rates[0] * bend * drift * later
    return np.stack([theta, moved])


# Penalties and what they come to, and the rates of both players: one, or two (arXiv:1706.08500).
CASES = [
    ({}, 0.0, (0.1, 0.1)),
    ({}, 0.0, (0.3, 0.05)),
    ({"r1": 0.4}, 0.4, (1.5, 1.5)),
    ({"r2": 1.0}, 1.0, (0.3, 0.3)),
    ({"r1": 0.3, "r2": 0.5}, 0.8, (0.05, 0.4)),
    ({"wgan_gp_one_sided": 10.0}, 0.0, (0.2, 0.3)),
]


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize("loss", LOSSES)
def test_eigenvalues_of_a_step(loss, name):
    penalties = ("r1", "r2", "wgan_gp_one_sided")

    def matrix(rates, gammas):
        gan = dirac(loss, dict.fromkeys(penalties, 0.0), tuple(rates), **DYNAMICS[name])
        return step_matrix(gan, gammas)

    rates = jnp.array([case[2] for case in CASES])
    gammas = {
        f"penalties.{x}": jnp.array([case[0].get(x, 0.0) for case in CASES]) for x in penalties
    }
    found = jax.jit(jax.vmap(matrix))(rates, gammas)
    for each, (_, gamma, pair) in zip(found, CASES, strict=True):
        assert_as_expected(each, name, field_of(loss, gamma), pair)


BY_EVERY_DYNAMICS = ("non_saturating", "least_squares", "softmax")


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize(
    "loss",
    [x if x in BY_EVERY_DYNAMICS else pytest.param(x, marks=pytest.mark.long) for x in LOSSES],
)
def test_eigenvalues_of_a_step_with_instance_noise(loss, name):
    rates = (0.1, 0.05)
    gan = dirac(loss, {}, rates, noise=(1.0, 10**9), **DYNAMICS[name])
    found = jax.jit(lambda: step_matrix(gan, {}, Batch(jnp.zeros((2**17, 1)))))()
    gamma, bend = KNOWN[loss].curvatures
    assert_as_expected(found, name, field_of(loss, gamma), rates, bend)


@pytest.mark.parametrize("loss", LOSSES)
def test_clipped_weights_circle_within_and_push_on_at_the_rim(loss):
    """Within the limit nothing damps; at it psi stands, and theta goes on as before."""
    rate, limit = 0.1, 0.5

    def clipped(rate):
        return optax.chain(optax.sgd(rate), clip_weights(limit))

    gan = dirac(loss, rates=rate, optimizer=clipped, dynamics=simultaneous())
    within = jax.jit(lambda: step_matrix(gan, {}))()
    assert_as_expected(within, "simultaneous", field_of(loss), (rate, rate))
    # A theta below 0 drives psi up, by every loss.
    at_rim = jnp.float32(-0.4), jnp.float32(limit - 1e-3)
    plain = dirac(loss, rates=rate, dynamics=simultaneous())
    free, _ = jax.jit(plain.train_step)(at_params(plain.init(jax.random.key(0)), *at_rim), REAL)
    after, _ = jax.jit(gan.train_step)(at_params(gan.init(jax.random.key(0)), *at_rim), REAL)
    assert free.discriminator.params > limit
    np.testing.assert_array_equal(after.discriminator.params, np.float32(limit))
    np.testing.assert_array_equal(after.generator.params, free.generator.params)


@pytest.mark.parametrize("u", [0.1, 0.3, 0.57, 0.58, 0.9])
def test_bilinear_game_by_its_spectral_radii(u):
    # Wasserstein on Dirac is the game min max of psi * theta; u is the rate.
    radius = {
        "simultaneous": np.sqrt(1 + u**2),
        "alternating": 1.0,
        "extragradient": np.sqrt(1 - u**2 + u**4),
        "consensus": np.hypot(1 - 0.3 * u, u),
        # The larger root of l^2 - (1 + 2iu) l + iu: below 1 as long as u is below 1/sqrt(3).
        "optimistic": np.abs(np.roots([1.0, -(1 + 2j * u), 1j * u])).max(),
    }
    assert (radius["optimistic"] < 1) == (u < 1 / np.sqrt(3))
    for name, expected in radius.items():
        gan = dirac(rates=u, **DYNAMICS[name])
        found = np.abs(eigenvalues(jax.jit(lambda gan=gan: step_matrix(gan, {}))())).max()
        assert found == pytest.approx(expected, abs=1e-3), name


def test_further_moves_of_the_generator(key):
    # Wasserstein on Dirac: the generator moves by rate * psi each time.
    gan = dirac(rates=0.1, dynamics=alternating(1, 3))
    state = at_params(gan.init(key), jnp.float32(0.0), jnp.float32(2.0))
    after, _ = gan.train_step(state, REAL)
    np.testing.assert_allclose(after.generator.params, 3 * 0.1 * 2.0, rtol=1e-6)
