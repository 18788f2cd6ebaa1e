"""Eigenvalues of games and of the maps of their dynamics, against algebra: Dirac-GAN.

Dirac-GAN (arXiv:1801.04406 section 2): data at 0, G = theta, D(x) = psi * x, and for least squares
1/2 more, the logit of one that cannot tell. About theta = psi = 0 the generator's loss is known by
its slope g (it moves by g psi), the discriminator's by d (it moves by -d theta), a penalty by gamma
(by -gamma psi): the field has the matrix [[0, g], [-d, -gamma]]. Both slopes are f'(0) of the paper
where both players share one f.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import dirac
from jax.flatten_util import ravel_pytree
from known_losses import KNOWN

from gan_jax.dynamics import (
    alternating,
    consensus,
    extragradient,
    gradients,
    simultaneous,
    unrolled,
)
from gan_jax.evaluation.spectrum import game_jacobian, game_spectrum
from gan_jax.losses import LOSSES
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


def field_of(loss: str, gamma: float = 0.0) -> Any:
    discriminator, generator = KNOWN[loss].slopes
    return np.array([[0.0, generator], [-discriminator, -gamma]])


def ordered(values) -> Any:
    """The largest real part first, then the largest imaginary one; real parts to a millionth."""
    return values[np.lexsort((-np.imag(values), -np.round(np.real(values), 6)))]


def eigenvalues(matrix) -> Any:
    return ordered(np.linalg.eigvals(np.asarray(matrix, np.float64)))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_without_penalty_circles_or_stands(loss):
    gan = dirac(loss)
    matrix = game_jacobian(gan.game, gan.init(jax.random.key(0)), REAL)
    np.testing.assert_allclose(matrix, field_of(loss), atol=1e-6)
    expected = 1j * np.sqrt(np.prod(KNOWN[loss].slopes))
    np.testing.assert_allclose(eigenvalues(matrix), [expected, -expected], atol=1e-3)


@pytest.mark.parametrize(("penalty", "gamma"), [("r1", 0.3), ("r1", 3.0), ("r2", 1.0)])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_penalties_damp(loss, gamma, penalty):
    # -gamma/2 +- sqrt(gamma^2/4 - f'^2): the printed equation of arXiv:2501.05441 lacks the square.
    product = np.prod(KNOWN[loss].slopes)
    gan = dirac(loss, {penalty: gamma})
    found: Any = game_spectrum(gan.game, gan.init(jax.random.key(0)), REAL)
    root = np.emath.sqrt(gamma**2 / 4 - product)
    np.testing.assert_allclose(found, [-gamma / 2 + root, -gamma / 2 - root], atol=1e-3)
    if product:
        assert found.real.max() < -0.05


@pytest.mark.parametrize("loss", LOSSES)
def test_a_one_sided_penalty_on_slopes_is_nothing_below_a_slope_of_one(loss):
    """So it does not damp, which arXiv:1801.04406 has of WGAN-GP: it circles as without."""
    plain, penalised = dirac(loss), dirac(loss, {"wgan_gp_one_sided": 0.7})
    for theta, psi in ((0.3, 1e-3), (-0.2, -0.9), (0.1, 1.5), (0.1, -2.0)):
        at = [
            gradients(
                gan.game, at_params(gan.init(jax.random.key(0)), *jnp.array([theta, psi])), REAL
            )[0]
            for gan in (plain, penalised)
        ]
        more = 2 * 0.7 * max(abs(psi) - 1, 0) * np.sign(psi)
        np.testing.assert_allclose(
            at[1].discriminator, at[0].discriminator + more, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(at[1].generator, at[0].generator, atol=1e-6)


@pytest.mark.parametrize("penalty", ["wgan_gp", "dragan"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_two_sided_penalty_on_slopes_leaves_no_place_to_rest(loss, penalty):
    """It drives psi from 0 to 1 or -1: the field jumps by 4 gamma there, and has no Jacobian."""
    gan = dirac(loss, {penalty: 0.7})
    for psi in (1e-3, -1e-3, 0.5, 1.0):
        state = at_params(gan.init(jax.random.key(0)), jnp.zeros(()), jnp.float32(psi))
        found, _ = gradients(gan.game, state, REAL)
        drive = 2 * 0.7 * (1 - abs(psi)) * np.sign(psi)
        np.testing.assert_allclose(-found.discriminator, drive, atol=1e-6)
        # So the generator moves on, at 1 too, if its loss ever moves it here.
        slope = KNOWN[loss].slopes[1]
        np.testing.assert_allclose(-found.generator, slope * psi, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "deviation"),
    [*((loss, 0.5) for loss in LOSSES), ("non_saturating", 1.0)],
)
def test_instance_noise_damps(loss, deviation):
    # Second order in psi of the discriminator's loss on psi * noise: c s^2 psi^2 / 2, c being the
    # loss's curvature, so that noise is an R1 of gamma = c s^2. With f' = 1/2, f'' = -1/4, c = 1/2:
    # f'' s^2 +- sqrt(f''^2 s^4 - f'^2), as arXiv:1801.04406 has it.
    gan, rows = dirac(loss, noise=(deviation, 10**9)), Batch(jnp.zeros((2**20, 1)))
    state = gan.init(jax.random.key(0))
    states = [dataclasses.replace(state, key=jax.random.key(seed)) for seed in (0, 1)]
    found = np.mean([game_jacobian(gan.game, one, rows) for one in states], axis=0)
    gamma = KNOWN[loss].curvatures[0] * deviation**2
    # Of 4 million draws in all the mean square is known to 0.0007 of itself.
    np.testing.assert_allclose(eigenvalues(found), eigenvalues(field_of(loss, gamma)), atol=1e-3)


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


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize("loss", ["non_saturating", "least_squares", "softmax"])
def test_eigenvalues_of_a_step_with_instance_noise(loss, name):
    rates = (0.1, 0.05)
    gan = dirac(loss, {}, rates, noise=(1.0, 10**9), **DYNAMICS[name])
    found = jax.jit(lambda: step_matrix(gan, {}, Batch(jnp.zeros((2**17, 1)))))()
    gamma, bend = KNOWN[loss].curvatures
    assert_as_expected(found, name, field_of(loss, gamma), rates, bend)


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
