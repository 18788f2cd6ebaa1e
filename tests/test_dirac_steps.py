"""Eigenvalues of the maps of every dynamics' steps, against algebra: Dirac-GAN; bilinear games.

From the field of the game, whose matrix at rest `test_dirac.py` has and tests.
"""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import dirac, spectral
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


def step_matrix(gan, gammas, batch=REAL, psi: float = 0.0) -> jax.Array:
    """Of one step's map of both players, optimisers' memories included, where all else is 0."""
    # Behind a first step, which those with a memory do in another way.
    state, _ = gan.train_step(gan.init(jax.random.key(0)), batch)
    state = at_params(
        state.replace(hyperparameters=state.hyperparameters | gammas),
        jnp.zeros(()),
        jnp.full((), psi),
    )
    leaves, tree = jax.tree.flatten((state.generator, state.discriminator))
    moving = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]
    flat, unravel = ravel_pytree([leaves[i] for i in moving])

    def step(flat):
        there = dict(enumerate(leaves)) | dict(zip(moving, unravel(flat), strict=True))
        generator, discriminator = jax.tree.unflatten(tree, list(there.values()))
        after, _ = gan.train_step(
            dataclasses.replace(state, generator=generator, discriminator=discriminator), batch
        )
        changed = jax.tree.leaves((after.generator, after.discriminator))
        return ravel_pytree([changed[i] for i in moving])[0]

    return jax.jacfwd(step)(flat)


def expected_matrix(name: str, field, rates, curvature: float = 0.0) -> Any:
    """Of the map of (theta, psi), from the matrix F of the field and H, the rates' diagonal."""
    one, h = np.eye(2), np.diag(rates)
    if name == "optimistic":  # x' = x + 2 H F x - H F x_before, as a map of (x, x_before)
        return np.block([[one + 2 * h @ field, -h @ field], [one, 0 * one]])
    if name == "unrolled":
        return unrolled_matrix(field, rates, curvature, 3)
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


def unrolled_matrix(field, rates, curvature: float, ahead: int) -> Any:
    """Of (theta, psi): the generator descends -g theta psi_k, psi_k being k moves later than psi.

    Each move is psi <- a psi - b d theta with a = 1 - b gamma, so the gradient has -g psi_k and,
    through psi_k, g b d theta (1 + a + ... + a^(k-1)). The discriminator makes one of the moves.
    Noise gives the generator's loss curvature * psi_k^2 / 2 as well, of which it sees the same way.
    """
    generator, discriminator, gamma = field[0, 1], -field[1, 0], -field[1, 1]
    keep = 1.0 - rates[1] * gamma
    drift = -rates[1] * discriminator * sum(keep**i for i in range(ahead))
    moved = np.array([-rates[1] * discriminator, keep])  # psi after its own move
    later = keep**ahead * moved + np.array([drift, 0.0])
    theta = np.array([1.0, 0.0]) + rates[0] * generator * (later + np.array([drift, 0.0]))
    theta -= rates[0] * curvature * drift * later
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


BY_EVERY_DYNAMICS = ("non_saturating", "least_squares")


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        pytest.param(
            loss,
            name,
            marks=[pytest.mark.long] * (name != "alternating" and loss not in BY_EVERY_DYNAMICS),
        )
        for loss, name in itertools.product(LOSSES, DYNAMICS)
    ],
)
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


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize(("loss", "penalty"), [("wasserstein", "wgan_gp"), ("hinge", "dragan")])
def test_eigenvalues_of_a_step_with_a_two_sided_penalty(loss, penalty, name):
    """Where psi is not 0 the field of these losses is a plane's, and the penalty an R1 of twice it.

    Others bend there: their field has its own test.
    """
    rates = (0.1, 0.05)
    gan = dirac(loss, {penalty: 0.7}, rates, **DYNAMICS[name])
    found = jax.jit(lambda: step_matrix(gan, {}, psi=0.5))()
    assert_as_expected(found, name, field_of(loss, 2 * 0.7), rates)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name in ("consensus", "unrolled")))
        for name in DYNAMICS
    ],
)
def test_eigenvalues_of_a_step_with_spectral_normalisation(name):
    """Of least squares, whose generator's loss bends by 1: theta falls by itself, psi stands."""
    rates = (0.1, 0.05)
    gan = dirac("least_squares", rates=rates, normal=spectral, **DYNAMICS[name])
    found = jax.jit(lambda: step_matrix(gan, {}, psi=0.5))()
    field = np.array([[-KNOWN["least_squares"].curvature, 0.0], [0.0, 0.0]])
    # The generator looks ahead at a discriminator that does not move.
    assert_as_expected(found, "simultaneous" if name == "unrolled" else name, field, rates)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        pytest.param(loss, name, marks=[pytest.mark.long] * (loss != "non_saturating"))
        for loss, name in itertools.product(LOSSES, DYNAMICS)
    ],
)
def test_eigenvalues_of_a_step_with_instance_noise(loss, name):
    rates = (0.1, 0.05)
    gan = dirac(loss, {}, rates, noise=(1.0, 10**9), **DYNAMICS[name])
    found = jax.jit(lambda: step_matrix(gan, {}, Batch(jnp.zeros((2**17, 1)))))()
    gamma, curvature = KNOWN[loss].curvatures
    assert_as_expected(found, name, field_of(loss, gamma), rates, curvature)


def clipped(optimizer, limit=0.5):
    return lambda rate: optax.chain(optimizer(rate), clip_weights(limit))


@pytest.mark.parametrize("name", DYNAMICS)
def test_within_the_limit_clipped_weights_are_plain_ones(name):
    parts = {"optimizer": optax.sgd} | DYNAMICS[name]
    rates = (0.1, 0.05)
    gan = dirac("non_saturating", rates=rates, **parts | {"optimizer": clipped(parts["optimizer"])})
    found = jax.jit(lambda: step_matrix(gan, {}))()
    assert_as_expected(found, name, field_of("non_saturating"), rates)


@pytest.mark.parametrize("loss", BY_EVERY_DYNAMICS)  # by which they are driven there
def test_at_the_limit_clipped_weights_stand(loss):
    # A theta below 0 drives psi up, by every loss; theta goes on as before.
    at_rim = jnp.float32(-0.4), jnp.float32(0.499)
    plain = dirac(loss, dynamics=simultaneous())
    gan = dirac(loss, optimizer=clipped(optax.sgd), dynamics=simultaneous())
    free, _ = jax.jit(plain.train_step)(at_params(plain.init(jax.random.key(0)), *at_rim), REAL)
    after, _ = jax.jit(gan.train_step)(at_params(gan.init(jax.random.key(0)), *at_rim), REAL)
    assert free.discriminator.params > 0.5
    np.testing.assert_array_equal(after.discriminator.params, np.float32(0.5))
    np.testing.assert_array_equal(after.generator.params, free.generator.params)


@pytest.mark.parametrize(
    ("name", "radius"),
    [
        ("simultaneous", lambda u: np.sqrt(1 + u**2)),
        ("alternating", lambda u: 1.0),
        ("extragradient", lambda u: np.sqrt(1 - u**2 + u**4)),
        ("consensus", lambda u: np.hypot(1 - 0.3 * u, u)),
        # The larger root of l^2 - (1 + 2iu) l + iu: below 1 as long as u is below 1/sqrt(3).
        ("optimistic", lambda u: np.abs(np.roots([1.0, -(1 + 2j * u), 1j * u])).max()),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_bilinear_game_by_its_spectral_radii(name, radius):
    # Wasserstein on Dirac is the game min max of psi * theta; u is the rate.
    rates = (0.1, 0.3, 0.57, 0.58, 0.9)

    def matrix(u):
        return step_matrix(dirac(rates=u, **DYNAMICS[name]), {})

    for u, found in zip(rates, jax.jit(jax.vmap(matrix))(jnp.array(rates)), strict=True):
        assert np.abs(eigenvalues(found)).max() == pytest.approx(radius(u), abs=1e-3)
        if name == "optimistic":
            assert (radius(u) < 1) == (u < 1 / np.sqrt(3))


def test_further_moves_of_the_generator(key):
    # Wasserstein on Dirac: the generator moves by rate * psi each time.
    gan = dirac(rates=0.1, dynamics=alternating(1, 3))
    state = at_params(gan.init(key), jnp.float32(0.0), jnp.float32(2.0))
    after, _ = gan.train_step(state, REAL)
    np.testing.assert_allclose(after.generator.params, 3 * 0.1 * 2.0, rtol=1e-6)
