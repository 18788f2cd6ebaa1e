"""Losses against hand-computed constants, at their equilibria, and far out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import LOSSES

# The vectors and constants that TF-GAN's own tests use (its discriminator without smoothing).
REAL = jnp.array([-5.0, 1.4, 12.5, 2.7])
FAKE = jnp.array([10.0, 4.4, -5.5, 3.6])
LOG2 = np.log(2.0)

CONSTANTS = {  # name: (discriminator, generator), means over the vectors
    # log(1 - sigmoid(f)) = -softplus(f): mean of -(10.0000454, 4.4122, 0.0040785, 3.6269567)
    "minimax": (5.83386589, -4.51082088),
    "non_saturating": (5.83386589, 1.38582088),
    "least_squares": (41.73375, 17.69625),
    "hinge": (6.75, -3.125),
    "wasserstein": (0.225, -3.125),
    # mean of softplus(15, 3, -18, 0.9) = (15.0000003, 3.0485874, 1.5e-8, 1.2411539); of -(...)
    "relativistic": (4.82243539, 4.59743539),
    # Means: real 2.9, fake 3.125. Half of the means of softplus(3.125 - r) = (8.1252960, 1.8889650,
    # 8.4815e-5, 0.9280574) and of softplus(f - 2.9) = (7.1008248, 1.7014133, 2.2484e-4, 1.1031860).
    "relativistic_average": (2.60600652, 2.38100652),
    # log of the mean of e^-5, e^1.4, e^12.5, e^2.7, e^10, e^4.4, e^-5.5, e^3.6: 10.4999199.
    "softmax": (7.59991989, 7.48741989),
    "boundary_seeking": (5.83386589, 20.32125),
}
AT_ZERO = {
    "minimax": (2 * LOG2, -LOG2),
    "non_saturating": (2 * LOG2, LOG2),
    "least_squares": (0.5, 0.5),
    "hinge": (2.0, 0.0),
    "wasserstein": (0.0, 0.0),
    "relativistic": (LOG2, LOG2),
    "relativistic_average": (LOG2, LOG2),
    "softmax": (0.0, 0.0),
    "boundary_seeking": (2 * LOG2, 0.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_constants(name):
    loss = LOSSES[name]
    found = (jnp.mean(loss.discriminator(REAL, FAKE)), jnp.mean(loss.generator(REAL, FAKE)))
    np.testing.assert_allclose(found, CONSTANTS[name], rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_value_where_both_logits_are_zero(name):
    zero = jnp.zeros(3)
    found = (LOSSES[name].discriminator(zero, zero), LOSSES[name].generator(zero, zero))
    for values, expected in zip(found, AT_ZERO[name], strict=True):
        assert values.shape == (3,)
        np.testing.assert_allclose(values, expected, rtol=1e-6)


# What the players lose where the discriminator cannot tell one from the other. For least squares
# with targets 1 and 0 it then says 1/2: (1/2)(1/4 + 1/4), (1/2)(1/4).
AT_EQUILIBRIUM = AT_ZERO | {"least_squares": (0.25, 0.125)}


@pytest.mark.parametrize("name", LOSSES)
def test_equilibrium(name):
    loss = LOSSES[name]
    unsure = jnp.full(1, loss.equilibrium)
    found = (loss.discriminator(unsure, unsure)[0], loss.generator(unsure, unsure)[0])
    np.testing.assert_allclose(found, AT_EQUILIBRIUM[name], rtol=1e-6)

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


# Densities on a grid, with cells that only one of them reaches.
P = np.array([0.30, 0.25, 0.20, 0.15, 0.10, 0.00])
Q = np.array([0.05, 0.10, 0.20, 0.25, 0.10, 0.30])
MIDDLE = (P + Q) / 2


def kl(p, q):
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())


def jensen_shannon(p, q):
    return (kl(p, MIDDLE) + kl(q, MIDDLE)) / 2


DIVERGENCES = {
    # arXiv:1406.2661, theorem 1: V(D*, G) = 2 JSD - log 4; the discriminator loses -V.
    "minimax": np.log(4) - 2 * jensen_shannon(P, Q),
    "non_saturating": np.log(4) - 2 * jensen_shannon(P, Q),
    "boundary_seeking": np.log(4) - 2 * jensen_shannon(P, Q),
    # D* = p/(p + q) leaves (1/2) sum pq/(p + q) = (1/4)(1 - chi2(q | middle)), with
    # chi2(q | middle) = sum (q - middle)^2 / middle: the Pearson divergence of arXiv:1611.04076.
    "least_squares": (1 - ((Q - MIDDLE) ** 2 / MIDDLE).sum()) / 4,
    # D* = sign(p - q) leaves 2 sum min(p, q) = 2 - 2 TV (arXiv:1705.02894).
    "hinge": 2 - np.abs(P - Q).sum(),
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_discriminator_leaves_a_divergence(name):
    with jax.enable_x64(True):
        loss = LOSSES[name].discriminator
        silent = 1e6 if name != "least_squares" else None
        grid = jnp.linspace(-40.0, 40.0, 400_001)  # step 2e-4, with 0, 1/2 and 1 among them

        # The loss is a sum of a real part and a fake part: each with the other's at its least.
        real_part = loss(grid, jnp.full_like(grid, -silent if silent else 0.0))
        fake_part = loss(jnp.full_like(grid, silent if silent else 1.0), grid)
        best = sum(float(jnp.min(p * real_part + q * fake_part)) for p, q in zip(P, Q, strict=True))
    np.testing.assert_allclose(best, DIVERGENCES[name], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "descends"),
    [
        ("minimax", lambda p, q: 2 * jensen_shannon_of(p, q)),
        # arXiv:1701.04862, theorem 2.5.
        ("non_saturating", lambda p, q: (q * jnp.log(q / p)).sum() - 2 * jensen_shannon_of(p, q)),
    ],
)
def test_the_generator_descends_a_divergence(name, descends):
    # Against the best discriminator of where it stands, its logit log p/q, which stands still.
    with jax.enable_x64(True):
        p = jnp.asarray(P + 1e-3) / (P + 1e-3).sum()
        start = jnp.log(jnp.asarray(Q + 1e-3) / (Q + 1e-3).sum())
        logits = jnp.log(p) - start

        def objective(scores):
            per_row = LOSSES[name].generator(jnp.zeros_like(logits), logits)
            return (jax.nn.softmax(scores) * per_row).sum()

        found = jax.grad(objective)(start)
        expected = jax.grad(lambda scores: descends(p, jax.nn.softmax(scores)))(start)
        assert np.abs(found).max() > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-9)


def jensen_shannon_of(p, q):
    middle = (p + q) / 2
    return ((p * jnp.log(p / middle)).sum() + (q * jnp.log(q / middle)).sum()) / 2


def test_wasserstein_by_the_best_lipschitz_critic():
    # In one dimension the best critic of slope at most 1 runs along sign(F_p - F_q): cells 1 apart.
    gap = np.cumsum(P - Q)[:-1]
    critic = np.concatenate([[0.0], np.cumsum(-np.sign(gap))])
    zeros = jnp.zeros(6)
    real_part = np.asarray(LOSSES["wasserstein"].discriminator(jnp.float32(critic), zeros))
    fake_part = np.asarray(LOSSES["wasserstein"].discriminator(zeros, jnp.float32(critic)))
    np.testing.assert_allclose(-(P @ real_part + Q @ fake_part), np.abs(gap).sum(), rtol=1e-6)
