"""The field of every game where its players rest, against algebra: Dirac-GAN.

Dirac-GAN (arXiv:1801.04406 section 2): data at 0, G = theta, D(x) = psi * x, and for least squares
1/2 more, the logit of one that cannot tell. About theta = psi = 0 the generator's loss is known by
its slope g (it moves by g psi), the discriminator's by d (it moves by -d theta), a penalty by gamma
(by -gamma psi): the field has the matrix [[0, g], [-d, -gamma]]. Both slopes are f'(0) of the paper
where both players share one f. What dynamics make of it has its own file, `test_dirac_steps.py`.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import dirac, spectral
from known_losses import KNOWN, eigenvalues, field_of

from gan_jax.dynamics import gradients
from gan_jax.evaluation.spectrum import game_jacobian, game_spectrum
from gan_jax.losses import LOSSES
from gan_jax.moves import Gradients
from gan_jax.state import at_params
from gan_jax.types import Batch

REAL = Batch(jnp.zeros((4, 1)))


def field(gan, theta: float, psi: float) -> Gradients:
    """What each player would descend there."""
    state = gan.init(jax.random.key(0))
    return field_at(gan.game, at_params(state, jnp.float32(theta), jnp.float32(psi)))


@partial(jax.jit, static_argnums=0)
def field_at(game, state) -> Gradients:
    return gradients(game, state, REAL)[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_without_penalty_circles_or_stands(loss):
    gan = dirac(loss)
    matrix = game_jacobian(gan.game, gan.init(jax.random.key(0)), REAL)
    np.testing.assert_allclose(matrix, field_of(loss), atol=1e-6)
    expected = 1j * np.sqrt(np.prod(KNOWN[loss].slopes))
    np.testing.assert_allclose(eigenvalues(matrix), [expected, -expected], atol=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_penalties_damp(loss):
    # -gamma/2 +- sqrt(gamma^2/4 - f'^2): the printed equation of arXiv:2501.05441 lacks the square.
    product = np.prod(KNOWN[loss].slopes)
    gan = dirac(loss, {"r1": 0.0, "r2": 0.0})
    state = gan.init(jax.random.key(0))
    for r1, r2 in ((0.3, 0.0), (3.0, 0.0), (0.0, 1.0), (0.3, 0.7)):
        gammas = {"penalties.r1": jnp.float32(r1), "penalties.r2": jnp.float32(r2)}
        weighted = dataclasses.replace(state, hyperparameters=state.hyperparameters | gammas)
        found: Any = game_spectrum(gan.game, weighted, REAL)
        half = (r1 + r2) / 2
        root = np.emath.sqrt(half**2 - product)
        np.testing.assert_allclose(found, [-half + root, -half - root], atol=1e-3)
        if product:
            assert found.real.max() < -0.05


@pytest.mark.parametrize("loss", LOSSES)
def test_a_one_sided_penalty_on_slopes_is_nothing_below_a_slope_of_one(loss):
    """So it does not damp, which arXiv:1801.04406 has of WGAN-GP: it circles as without."""
    plain, penalised = dirac(loss), dirac(loss, {"wgan_gp_one_sided": 0.7})
    for theta, psi in ((0.3, 1e-3), (-0.2, -0.9), (0.1, 1.5), (0.1, -2.0)):
        at = [field(gan, theta, psi) for gan in (plain, penalised)]
        more = 2 * 0.7 * max(abs(psi) - 1, 0) * np.sign(psi)
        np.testing.assert_allclose(
            at[1].discriminator, at[0].discriminator + more, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(at[1].generator, at[0].generator, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "penalty"),
    [(loss, "wgan_gp") for loss in LOSSES]
    + [
        pytest.param(loss, "dragan", marks=[pytest.mark.long] * (loss != "non_saturating"))
        for loss in LOSSES
    ],
)
def test_a_two_sided_penalty_on_slopes_drives_the_generator_on(loss, penalty):
    """psi from 0, where the field jumps by 4 gamma, to 1 or -1; theta from the data, if ever."""
    gan, known = dirac(loss, {penalty: 0.7}), KNOWN[loss]
    discriminator, generator = known.slopes
    for psi in (1e-3, -1e-3, 0.5, 1.0):
        found = field(gan, 0.0, psi)
        drive = 2 * 0.7 * (1 - abs(psi)) * np.sign(psi)
        np.testing.assert_allclose(-found.discriminator, drive, atol=1e-6)
        np.testing.assert_allclose(-found.generator, generator * psi, atol=1e-6)
    # Away from 0 it is an R1 of 2 gamma, and there the generator's loss bends too.
    for psi in (0.5, 1.0):
        state = at_params(gan.init(jax.random.key(0)), jnp.float32(0.0), jnp.float32(psi))
        matrix = game_jacobian(gan.game, state, REAL)
        expected = [[-known.curvature * psi**2, generator], [-discriminator, -2 * 0.7]]
        np.testing.assert_allclose(matrix, expected, atol=1e-5)
        found = eigenvalues(matrix)
        np.testing.assert_allclose(found, eigenvalues(expected), atol=1e-3)
    if generator == 0:  # both players rest at 1, and come there
        assert found.real.max() < -0.2


@pytest.mark.parametrize(
    ("loss", "deviation"),
    [
        ("non_saturating", 1.0),
        ("relativistic", 0.5),
        *(
            pytest.param(loss, 0.5, marks=pytest.mark.long)
            for loss in LOSSES
            if loss != "relativistic"
        ),
    ],
)
def test_instance_noise_damps(loss, deviation):
    # Second order in psi of the discriminator's loss on psi * noise: c s^2 psi^2 / 2, c being the
    # loss's curvature, so that noise is an R1 of gamma = c s^2. With f' = 1/2, f'' = -1/4, c = 1/2:
    # f'' s^2 +- sqrt(f''^2 s^4 - f'^2), as arXiv:1801.04406 has it.
    gan, rows = dirac(loss, noise=(deviation, 10**9)), Batch(jnp.zeros((2**19, 1)))
    found = game_jacobian(gan.game, gan.init(jax.random.key(0)), rows)
    gamma = KNOWN[loss].curvatures[0] * deviation**2
    # Of a million draws in all the mean square is known to 0.0014 of itself.
    np.testing.assert_allclose(eigenvalues(found), eigenvalues(field_of(loss, gamma)), atol=2e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_spectral_normalisation_leaves_theta_to_its_own_loss(loss):
    """D(x) = psi x / |psi|: psi has no slope and never turns, as if it were 1 or -1 for good."""
    base, gan = dirac(loss), dirac(loss, normal=spectral)
    for theta, psi in ((0.0, 0.3), (0.0, -2.0), (0.4, 0.7)):
        found, plain = field(gan, theta, psi), field(base, theta, np.sign(psi))
        np.testing.assert_allclose(found.discriminator, 0.0, atol=1e-6)
        np.testing.assert_allclose(found.generator, plain.generator, atol=1e-6)
        if not theta:
            slope = KNOWN[loss].slopes[1] * np.sign(psi)
            np.testing.assert_allclose(-found.generator, slope, atol=1e-6)
