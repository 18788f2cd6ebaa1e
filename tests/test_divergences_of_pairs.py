"""What relativistic losses come to against the best discriminator, and what is then descended.

V. D* stands for the best discriminator of p and q, densities on a grid.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from test_divergences import kl

from gan_jax.losses import LOSSES

solve: Any = brentq  # its stubs say little

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


def sums(name: str, p, q, logits):
    """The discriminator's loss as a sum over cells, or pairs of them."""
    if name == "relativistic":
        return np.sum(np.outer(p, q) * np.logaddexp(0, logits[None] - logits[:, None]))
    real, fake = p @ logits, q @ logits
    return (p @ np.logaddexp(0, fake - logits) + q @ np.logaddexp(0, logits - real)) / 2


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average"])
def test_relativistic_losses_against_their_sums_on_a_grid(name):
    # Of 20 rows each: p and q of six cells, no mirrors of each other.
    counts_p, counts_q = np.array([6, 5, 4, 3, 1, 1]), np.array([1, 2, 2, 3, 4, 8])
    p, q = counts_p / 20, counts_q / 20
    found: Any = minimize(lambda d: sums(name, p, q, d), np.zeros(6), method="BFGS", tol=1e-12)
    with jax.enable_x64(True):

        def lost(logits):
            real, fake = (
                jnp.repeat(logits, c, total_repeat_length=20) for c in (counts_p, counts_q)
            )
            if name == "relativistic":  # every pair of rows
                real, fake = jnp.repeat(real, 20), jnp.tile(fake, 20)
            return jnp.mean(LOSSES[name].discriminator(real, fake))

        best = jnp.asarray(found.x)
        assert float(lost(best)) == pytest.approx(found.fun, abs=1e-12)
        np.testing.assert_allclose(jax.grad(lost)(best), 0.0, atol=1e-6)  # it is convex
        assert float(lost(best)) < np.log(2) - 0.05
        # The best one ranks cells by p / q.
        assert (np.argsort(found.x) == np.argsort(p / q)).all()
