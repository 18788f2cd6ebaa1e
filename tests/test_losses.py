"""Losses against hand-computed constants, at their equilibria, and far out."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from known_losses import FAKE, KNOWN, REAL

from gan_jax.losses import LOSSES, AdversarialLoss, losses_at_equilibrium


def test_every_loss_has_its_row():
    assert list(KNOWN) == list(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_constants(name):
    loss = LOSSES[name]
    found = (jnp.mean(loss.discriminator(REAL, FAKE)), jnp.mean(loss.generator(REAL, FAKE)))
    np.testing.assert_allclose(found, KNOWN[name].means, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_value_where_both_logits_are_zero(name):
    zero = jnp.zeros(3)
    found = (LOSSES[name].discriminator(zero, zero), LOSSES[name].generator(zero, zero))
    for values, expected in zip(found, KNOWN[name].at_zero, strict=True):
        assert values.shape == (3,)
        np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_least(name):
    """No logits bring a discriminator below it, and those that tell all pairs come close."""
    loss = LOSSES[name]
    real, fake = (x.ravel() for x in jnp.meshgrid(*[jnp.linspace(-20.0, 20.0, 81)] * 2))
    lost = jax.vmap(lambda r, f: loss.discriminator(r[None], f[None])[0])(real, fake)
    found = float(lost.min())
    assert (name == "wasserstein") == math.isinf(loss.least)
    assert found == -40.0 if name == "wasserstein" else abs(found - loss.least) < 1e-6


def test_equilibrium_of_a_loss_of_ones_own():
    """One that returns means, and whose equilibrium is an array, of which nothing can be kept."""
    mine = AdversarialLoss(
        lambda real, fake: jnp.mean(fake - 2.0 * real),
        lambda real, fake: jnp.mean(-fake),
        equilibrium=jnp.float32(3.0),  # pyright: ignore[reportArgumentType]
    )
    assert losses_at_equilibrium(mine) == (-3.0, -3.0)


@pytest.mark.parametrize("name", LOSSES)
def test_equilibrium(name):
    loss = LOSSES[name]
    unsure = jnp.full(1, loss.equilibrium)
    found = (loss.discriminator(unsure, unsure)[0], loss.generator(unsure, unsure)[0])
    expected = KNOWN[name].at_equilibrium or KNOWN[name].at_zero
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    def lost(both):  # real and fake alike, hence one logit for both
        return loss.discriminator(both, both)[0]

    # Of all answers that are alike for both, it is one that loses least.
    slopes = [float(jax.grad(lost)(unsure + shift)[0]) for shift in (-1e-2, 1e-2)]
    assert slopes[0] <= 1e-6 and slopes[1] >= -1e-6


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("real", [-1e4, 0.3, 1e4])
@pytest.mark.parametrize("fake", [-1e4, -0.2, 1e4])
def test_finite_far_out(name, real, fake):
    for player in ("discriminator", "generator"):
        loss = getattr(LOSSES[name], player)
        value, gradient = jax.value_and_grad(
            lambda pair, loss=loss: jnp.sum(loss(pair[0], pair[1]))
        )((jnp.array([real]), jnp.array([fake])))
        assert np.isfinite([value, *np.ravel(gradient)]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_against_differences(name):
    with jax.enable_x64(True):
        pair = (jnp.array([-1.3, 0.4, 2.1]), jnp.array([0.7, -0.6, 1.2]))
        for player in ("discriminator", "generator"):
            check_grads(getattr(LOSSES[name], player), pair, order=1)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "boundary_seeking"])
def test_optimal_logit_is_log_density_ratio(name):
    # Where real has density p and fake q, the pointwise objective p*l(D=1) + q*l(D=0) is
    # stationary at D = p / (p + q), that is at the logit log p/q.
    p, q = 0.7, 0.2

    def objective(logit):
        silent = jnp.array([-1e4]), jnp.array([1e4])
        real_part = LOSSES[name].discriminator(logit[None], silent[0])[0]
        fake_part = LOSSES[name].discriminator(silent[1], logit[None])[0]
        return p * real_part + q * fake_part

    assert abs(jax.grad(objective)(jnp.log(p / q))) < 1e-6
    assert abs(jax.grad(objective)(jnp.log(p / q) + 0.1)) > 1e-3


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "boundary_seeking"])
def test_probability_is_the_sigmoid(name):
    probability = LOSSES[name].probability
    assert probability is not None
    np.testing.assert_allclose(probability(jnp.array([0.0, jnp.log(3.0)])), [0.5, 0.75], rtol=1e-6)


def test_saturation():
    # A discriminator that is sure leaves the minimax generator without a gradient, not the other.
    sure = jnp.array([-20.0])
    slope = {
        name: float(jax.grad(lambda f, name=name: LOSSES[name].generator(f, f)[0])(sure)[0])
        for name in ("minimax", "non_saturating")
    }
    assert abs(slope["minimax"]) < 1e-8
    assert slope["non_saturating"] == pytest.approx(-1.0)


def test_relativistic_sees_only_differences():
    loss = LOSSES["relativistic"]
    for function in (loss.discriminator, loss.generator):
        np.testing.assert_allclose(function(REAL, FAKE), function(REAL + 7, FAKE + 7), rtol=1e-5)


def test_relativistic_average_sees_only_differences():
    loss = LOSSES["relativistic_average"]
    for function in (loss.discriminator, loss.generator):
        np.testing.assert_allclose(function(REAL, FAKE), function(REAL + 7, FAKE + 7), rtol=1e-5)


def test_softmax_against_its_two_targets():
    # The discriminator's is the cross-entropy of a softmax over the batch with the uniform
    # distribution over real rows, the generator's with that over all rows; less log(2b).
    logits = np.concatenate([REAL, FAKE]).astype(np.float64)
    surprise = np.log(np.exp(logits).sum()) - logits
    for player, target in (("discriminator", [1 / 4] * 4 + [0] * 4), ("generator", [1 / 8] * 8)):
        found = jnp.mean(getattr(LOSSES["softmax"], player)(REAL, FAKE))
        np.testing.assert_allclose(found, surprise @ target - np.log(8), rtol=1e-6)
