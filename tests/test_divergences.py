"""What each loss comes to against the best discriminator, and what the generator then descends.

All in densities on a grid, against their sums: V. D* stands for the best discriminator of p and q.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from gan_jax.losses import LOSSES

solve: Any = brentq  # its stubs say little

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


# Losses that look at several rows at once, on batches that hold each row, or pair of rows, as often
# as p and q have it: in two cells p has 14 and 6 rows of 20, q 6 and 14. The discriminator's logits
# are d and 0, for shifts change nothing.
COUNTS = (14, 6), (6, 14)


def all_pairs(d):
    """Logits of 400 pairs: every real row with every generated one."""
    real, fake = (
        jnp.repeat(jnp.stack([d, 0 * d]), jnp.array(counts), total_repeat_length=20)
        for counts in COUNTS
    )
    return jnp.repeat(real, 20), jnp.tile(fake, 20)


def best_of_two_cells(name):
    """Where along d the discriminator loses least, and how much that is."""

    def lost(d):
        return jnp.mean(LOSSES[name].discriminator(*all_pairs(d)))

    best = solve(lambda d: float(jax.grad(lost)(jnp.asarray(d))), -20.0, 20.0, xtol=1e-13)
    return best, float(lost(jnp.asarray(best)))


def test_relativistic_pairs_leave_the_entropy_of_their_order():
    # Pairs of the same cell cannot be told: log 2 each. Of others, a have the real row in cell one,
    # b in cell two, and sigma(d) = a / (a + b) leaves a + b times the entropy of which it is. A
    # divergence of arXiv:1901.02474: it leaves less than log 2 wherever p and q differ.
    (p, _), (q, _) = np.array(COUNTS) / 20
    a, b = p * (1 - q), q * (1 - p)
    with jax.enable_x64(True):
        best, left = best_of_two_cells("relativistic")
    assert best == pytest.approx(np.log(a / b), abs=1e-9)
    entropy = -a * np.log(a / (a + b)) - b * np.log(b / (a + b))
    assert left == pytest.approx((1 - a - b) * np.log(2) + entropy, abs=1e-9)
    assert left < np.log(2)


def test_relativistic_averages_against_their_integral():
    # p and q mirror each other: the mean of real logits is p d, that of generated ones (1 - p) d,
    # and both halves come to p log(1 + e^(-p d)) + (1 - p) log(1 + e^((1 - p) d)).
    p = COUNTS[0][0] / 20

    def slope(d):
        return (1 - p) ** 2 / (1 + np.exp(-(1 - p) * d)) - p**2 / (1 + np.exp(p * d))

    expected = solve(slope, -20.0, 20.0, xtol=1e-13)
    integral = p * np.log1p(np.exp(-p * expected)) + (1 - p) * np.log1p(np.exp((1 - p) * expected))
    with jax.enable_x64(True):
        best, left = best_of_two_cells("relativistic_average")
    assert best == pytest.approx(expected, abs=1e-9)
    assert left == pytest.approx(integral, abs=1e-9) and left < np.log(2)


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


# By the best discriminator of where the generator stands: its logit, and the divergence descended.
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
    # In one dimension, the cells 1 apart: the critic runs along sign(F_p - F_q).
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
def test_the_generator_descends_a_divergence(name):
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


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average"])
def test_relativistic_generators_lose_what_discriminators_do_and_the_gap(name):
    # log(1 + e^-x) = log(1 + e^x) - x: beside the divergence it descends E_p D* - E_q D*.
    real, fake = jnp.array([-1.0, 0.3, 2.0]), jnp.array([0.5, -0.7, 1.2])
    loss = LOSSES[name]
    gap = jnp.mean(real) - jnp.mean(fake)
    expected = jnp.mean(loss.discriminator(real, fake)) + gap
    np.testing.assert_allclose(jnp.mean(loss.generator(real, fake)), expected, rtol=1e-6)


def test_the_relativistic_generator_descends_a_divergence():
    # What the best discriminator leaves, and KL(q | p).
    (p, _), (q, _) = np.array(COUNTS) / 20
    with jax.enable_x64(True):
        best, _ = best_of_two_cells("relativistic")

        def objective(share):
            of = jnp.array([[p * share, p * (1 - share)], [(1 - p) * share, (1 - p) * (1 - share)]])
            logits = jnp.array([best, 0.0])
            real, fake = jnp.repeat(logits, 2), jnp.tile(logits, 2)
            return of.ravel() @ LOSSES["relativistic"].generator(real, fake)

        def divergence(share):
            a, b = p * (1 - share), share * (1 - p)
            entropy = -a * jnp.log(a / (a + b)) - b * jnp.log(b / (a + b))
            told = a + b
            leaves = (1 - told) * jnp.log(2.0) + entropy
            two = jnp.array([share, 1 - share]), jnp.array([p, 1 - p])
            return leaves + kl(*two)

        found, expected = jax.grad(objective)(q), jax.grad(divergence)(q)
        assert abs(float(found)) > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_relativistic_average_generator_descends_a_divergence():
    # As above: what the best discriminator leaves, and the gap whose slope is -D*, held still. By
    # rows: of 4,000 generated ones a few more or fewer in the first cell.
    rows, p, moved = 4_000, COUNTS[0][0] / 20, 1
    here = rows * COUNTS[1][0] // 20

    def leaves(share):
        """The best d, of means p d and share d, and what it leaves."""

        def lost(d):
            real = p * np.log1p(np.exp((share - 1) * d)) + (1 - p) * np.log1p(np.exp(share * d))
            fake = share * np.log1p(np.exp((1 - p) * d)) + (1 - share) * np.log1p(np.exp(-p * d))
            return (real + fake) / 2

        def slope(d):
            real = p * (share - 1) / (1 + np.exp((1 - share) * d))
            real += (1 - p) * share / (1 + np.exp(-share * d))
            fake = share * (1 - p) / (1 + np.exp((p - 1) * d))
            return (real - (1 - share) * p / (1 + np.exp(p * d)) + fake) / 2

        best = solve(slope, -20.0, 20.0, xtol=1e-13)
        return best, lost(best)

    best, _ = leaves(here / rows)
    ahead, behind = (leaves((here + k) / rows)[1] for k in (moved, -moved))
    expected = (ahead - behind) / (2 * moved / rows) - best

    with jax.enable_x64(True):
        real = jnp.repeat(jnp.array([best, 0.0]), jnp.array(COUNTS[0]) * rows // 20)

        def objective(first):
            fake = jnp.repeat(jnp.array([best, 0.0]), np.array([first, rows - first]))
            return float(jnp.mean(LOSSES["relativistic_average"].generator(real, fake)))

        found = (objective(here + moved) - objective(here - moved)) / (2 * moved / rows)
    assert abs(found) > 0.1
    assert found == pytest.approx(expected, abs=1e-6)


def test_wasserstein_by_the_best_lipschitz_critic():
    # In one dimension the best critic of slope at most 1 runs along sign(F_p - F_q): cells 1 apart.
    gap = np.cumsum(P - Q)[:-1]
    critic = np.concatenate([[0.0], np.cumsum(-np.sign(gap))])
    zeros = jnp.zeros(6)
    real_part = np.asarray(LOSSES["wasserstein"].discriminator(jnp.float32(critic), zeros))
    fake_part = np.asarray(LOSSES["wasserstein"].discriminator(zeros, jnp.float32(critic)))
    np.testing.assert_allclose(-(P @ real_part + Q @ fake_part), np.abs(gap).sum(), rtol=1e-6)
