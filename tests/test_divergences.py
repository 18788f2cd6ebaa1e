"""What each loss comes to against the best discriminator, and what the generator then descends.

All in densities on a grid, against their sums: V. D* stands for the best discriminator of p and q.
Relativistic losses have their own file, `test_divergences_of_pairs.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.losses import LOSSES

# Densities on a grid, with cells that only one of them reaches.
P = np.array([0.30, 0.25, 0.20, 0.15, 0.10, 0.00])
Q = np.array([0.05, 0.10, 0.20, 0.25, 0.10, 0.30])
MIDDLE = (P + Q) / 2


def kl(p, q):
    """Kullback and Leibler's, nats; cells where p is nothing count nothing."""
    inside = jnp.where(p > 0, p, 1.0)
    return jnp.sum(jnp.where(p > 0, p * jnp.log(inside / jnp.where(p > 0, q, 1.0)), 0.0))


def jensen_shannon(p, q):
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def pearson(p, q):
    return jnp.sum((p - q) ** 2 / q)


LEFT = {
    # arXiv:1406.2661, theorem 1: V(D*, G) = 2 JSD - log 4; the discriminator loses -V.
    "minimax": np.log(4) - 2 * jensen_shannon(P, Q),
    "non_saturating": np.log(4) - 2 * jensen_shannon(P, Q),
    "boundary_seeking": np.log(4) - 2 * jensen_shannon(P, Q),
    # D* = p/(p + q) leaves (1/2) sum pq/(p + q) = (1/4)(1 - chi2(q | middle)), with
    # chi2(q | middle) = sum (q - middle)^2 / middle: the Pearson divergence of arXiv:1611.04076.
    "least_squares": (1 - pearson(Q, MIDDLE)) / 4,
    # D* = sign(p - q) leaves 2 sum min(p, q) = 2 - 2 TV (arXiv:1705.02894).
    "hinge": 2 - np.abs(P - Q).sum(),
}


@pytest.mark.parametrize("name", LEFT)
def test_the_best_discriminator_leaves_a_divergence(name):
    with jax.enable_x64(True):
        loss = LOSSES[name].discriminator
        silent = 1e6 if name != "least_squares" else None
        grid = jnp.linspace(-40.0, 40.0, 400_001)  # step 2e-4, with 0, 1/2 and 1 among them

        # The loss is a sum of a real part and a fake part: each with the other's at its least.
        real_part = loss(grid, jnp.full_like(grid, -silent if silent else 0.0))
        fake_part = loss(jnp.full_like(grid, silent if silent else 1.0), grid)
        best = sum(float(jnp.min(p * real_part + q * fake_part)) for p, q in zip(P, Q, strict=True))
    np.testing.assert_allclose(best, LEFT[name], atol=1e-6)


def test_softmax_leaves_a_divergence_from_the_middle():
    # log E_middle e^D - E_p D is least at D = log p/middle (Donsker and Varadhan): -KL(p | middle).
    counts_p, counts_q = np.array([8, 6, 4, 2]), np.array([2, 4, 6, 8])
    p, q = counts_p / 20, counts_q / 20

    def lost(logits):
        real, fake = (jnp.repeat(logits, counts) for counts in (counts_p, counts_q))
        return jnp.mean(LOSSES["softmax"].discriminator(real, fake))

    with jax.enable_x64(True):
        best = jnp.log(p / ((p + q) / 2))
        np.testing.assert_allclose(jax.grad(lost)(best), 0.0, atol=1e-12)  # it is convex
        assert float(lost(best)) == pytest.approx(-float(kl(p, (p + q) / 2)), abs=1e-9)


def squared_log_ratio(p, q):
    return jnp.sum(q * jnp.log(q / p) ** 2)


# By the best discriminator of where the generator stands: its logit, and what is descended: a
# divergence, but for the last.
DESCENDS = {
    "minimax": (lambda p, q: jnp.log(p / q), lambda p, q: 2 * jensen_shannon(p, q)),
    # arXiv:1701.04862, theorem 2.5.
    "non_saturating": (
        lambda p, q: jnp.log(p / q),
        lambda p, q: kl(q, p) - 2 * jensen_shannon(p, q),
    ),
    # It moves along (1/2)(D* - 1)^2 = (1/2)(q/(p + q))^2, whose integral over q has, of what is not
    # constant, -p log(p + q) - (1/2) p^2/(p + q).
    "least_squares": (
        lambda p, q: p / (p + q),
        lambda p, q: kl(p, (p + q) / 2) - pearson(p, (p + q) / 2) / 4,
    ),
    "hinge": (lambda p, q: jnp.sign(p - q), lambda p, q: jnp.abs(p - q).sum()),
    # In one dimension, the cells 1 apart: the critic runs along sign(F_q - F_p).
    "wasserstein": (
        lambda p, q: jnp.concatenate([jnp.zeros(1), jnp.cumsum(-jnp.sign(jnp.cumsum(p - q)[:-1]))]),
        lambda p, q: jnp.abs(jnp.cumsum(p - q)[:-1]).sum(),
    ),
    # Along (1/2) log^2(q/p), whose integral over q is (1/2) q (log^2(q/p) - 2 log(q/p) + 2).
    "boundary_seeking": (
        lambda p, q: jnp.log(p / q),
        lambda p, q: squared_log_ratio(p, q) / 2 - kl(q, p),
    ),
}


@pytest.mark.parametrize("name", DESCENDS)
def test_what_the_generator_descends(name):
    best, divergence = DESCENDS[name]
    with jax.enable_x64(True):
        p = jnp.asarray(P + 1e-3) / (P + 1e-3).sum()
        start = jnp.log(jnp.array([0.05, 0.10, 0.18, 0.25, 0.12, 0.30]))
        logits = best(p, jnp.exp(start))  # it stands still

        def objective(scores):
            per_row = LOSSES[name].generator(jnp.zeros_like(logits), logits)
            return (jax.nn.softmax(scores) * per_row).sum()

        found = jax.grad(objective)(start)
        expected = jax.grad(lambda scores: divergence(p, jax.nn.softmax(scores)))(start)
        assert np.abs(found).max() > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_softmax_generator_descends_a_divergence():
    # log E_middle e^D - E_middle D at D* = log p/middle, which stands still: along
    # (1/2)(p/middle - log p/middle), the slope of KL(middle | p) - KL(p | middle).
    counts = np.array([8, 6, 4, 2])
    p = jnp.asarray(counts / 20)
    with jax.enable_x64(True):
        start = jnp.log(jnp.array([0.1, 0.2, 0.3, 0.4]))
        logits = jnp.log(p / ((p + jnp.exp(start)) / 2))

        def objective(scores):
            # The loss below with generated rows in any shares q, so that it has a slope in them.
            q = jax.nn.softmax(scores)
            real = jnp.repeat(logits, counts, total_repeat_length=20)
            # log(q n) on a row's logit counts it q n times within Z.
            total = jax.nn.logsumexp(jnp.concatenate([real, logits + jnp.log(20 * q)])) - jnp.log(
                40.0
            )
            return total - 0.5 * (jnp.mean(real) + q @ logits)

        whole = jnp.repeat(logits, counts), jnp.repeat(logits, 2 * np.array([1, 2, 3, 4]))
        lost = jnp.mean(LOSSES["softmax"].generator(*whole))
        assert float(lost) == pytest.approx(float(objective(start)), abs=1e-12)

        def divergence(scores):
            middle = (p + jax.nn.softmax(scores)) / 2
            return kl(middle, p) - kl(p, middle)

        np.testing.assert_allclose(
            jax.grad(objective)(start), jax.grad(divergence)(start), atol=1e-9
        )


def test_wasserstein_by_the_best_lipschitz_critic():
    # In one dimension the best critic of slope at most 1 runs along sign(F_p - F_q): cells 1 apart.
    gap = np.cumsum(P - Q)[:-1]
    critic = np.concatenate([[0.0], np.cumsum(-np.sign(gap))])
    zeros = jnp.zeros(6)
    real_part = np.asarray(LOSSES["wasserstein"].discriminator(jnp.float32(critic), zeros))
    fake_part = np.asarray(LOSSES["wasserstein"].discriminator(zeros, jnp.float32(critic)))
    np.testing.assert_allclose(-(P @ real_part + Q @ fake_part), np.abs(gap).sum(), rtol=1e-6)
