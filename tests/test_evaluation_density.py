"""Parzen windows and bins against closed forms, and two-sample tests on planted sets."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from gan_jax.errors import InputError
from gan_jax.evaluation.density import different_bins, parzen_log_likelihood, parzen_width
from gan_jax.evaluation.two_sample import divergence_bound, nearest_neighbour_test, two_sample_test


def normal(seed: int, rows: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, d))


def test_one_window_is_a_gaussian():
    centre, points, width = normal(0, 1, 5), normal(1, 20, 5), 0.3
    logs: np.ndarray = np.asarray(scipy.stats.norm.logpdf(points, centre, width)).sum(1)
    found = parzen_log_likelihood(centre, points, width)
    assert found.value == pytest.approx(logs.mean(), rel=1e-9)
    spread = logs.std(ddof=1) / np.sqrt(20)
    assert found.standard_error == pytest.approx(spread)


def test_many_windows_are_their_mean():
    centres, points, width = normal(0, 70, 3), normal(1, 1_205, 3), 0.2
    squared = ((points[:, None] - centres[None]) ** 2).sum(2)
    logs = np.asarray(scipy.special.logsumexp(-squared / (2 * width**2), axis=1))
    expected = logs.mean() - np.log(70) - 3 * np.log(width * np.sqrt(2 * np.pi))
    assert parzen_log_likelihood(centres, points, width).value == pytest.approx(expected)


def test_its_ceiling():
    """Reached by copies far apart, up to the logarithm of how many there are."""
    rows = 100.0 * np.eye(10)
    ceiling = -10 * np.log(0.1 * np.sqrt(2 * np.pi))
    found = parzen_log_likelihood(rows, rows, 0.1).value
    assert found == pytest.approx(ceiling - np.log(10))


def test_the_width_is_that_of_the_data():
    samples = 0.001 * normal(0, 200, 4)
    widths = np.logspace(-1, 0, 10)
    for width in widths[[2, 7]]:
        assert parzen_width(samples, width * normal(1, 2_000, 4)) == pytest.approx(width)
    with pytest.raises(InputError, match="width: 0.0 is out of range"):
        parzen_log_likelihood(samples, samples, 0.0)


def test_bins_of_one_distribution_do_not_differ():
    found = different_bins(normal(0, 4_000, 4), normal(1, 4_000, 4), bins=50)
    assert found.bins == 50 and found.different <= 3
    # The Jensen-Shannon divergence of two such histograms is about (bins - 1) (1/n + 1/m) / 8.
    assert found.divergence == pytest.approx(49 / (8 * 2_000), rel=0.5)


def test_a_dropped_region_is_seen_in_its_bins():
    centres = 10.0 * np.eye(10)
    labels = np.random.default_rng(0).integers(0, 10, 5_000)
    data = centres[labels] + normal(0, 5_000, 10)
    without = centres[labels % 9] + normal(1, 5_000, 10)
    found = different_bins(data, without, bins=10)
    assert found.different == 2  # the one that lacks, and the one that came twice as often
    assert different_bins(data, centres[labels] + normal(2, 5_000, 10), bins=10).different == 0


def test_two_samples_of_one_distribution_cannot_be_told_apart():
    x, y = normal(0, 2_000, 6), normal(1, 2_000, 6)
    for test in (two_sample_test, nearest_neighbour_test):
        found = test(x, y)
        assert abs(found.accuracy - 0.5) < 4 * found.standard_error


def test_what_is_apart_is_told_apart():
    x, y = normal(0, 400, 6), normal(1, 400, 6) + 10
    assert two_sample_test(x, y).accuracy == nearest_neighbour_test(x, y).accuracy == 1.0


def test_known_accuracy_of_a_shift():
    """The best judge of N(0, 1) against N(m, 1) is right with probability Phi(m / 2)."""
    m = 1.5
    x, y = normal(0, 20_000, 1), normal(1, 20_000, 1) + m
    found = two_sample_test(x, y)
    assert found.accuracy == pytest.approx(scipy.stats.norm.cdf(m / 2), abs=0.015)


def test_copies_are_nearer_than_real_rows_are_to_each_other():
    x = normal(0, 500, 6)
    assert nearest_neighbour_test(x, x + 1e-6).accuracy < 0.01


def test_mutual_neighbours_are_right_together():
    """Each row's nearest is nearest to it: as many tests as pairs, not as rows."""
    x = 100.0 * np.arange(50)[:, None]
    assert nearest_neighbour_test(x, x + 1).standard_error == pytest.approx(0.5 / np.sqrt(50))
    chain = np.cumsum(np.linspace(2, 1, 40))[:, None]  # each is nearest to the one before
    found = nearest_neighbour_test(chain[::2], chain[1::2]).standard_error
    assert found == pytest.approx(0.5 * np.sqrt((1 + 2 / 40) / 40))


def test_where_neither_is_nearer_each_counts_half():
    x = np.repeat(normal(0, 50, 6), 2, axis=0)
    assert nearest_neighbour_test(x, x).accuracy == 0.5


def test_divergence_bound_is_tight_for_the_best_discriminator():
    # logit D*(x) = log p(x) / q(x) = -m x + m²/2 for N(0, 1) against N(m, 1).
    m, rng = 1.2, np.random.default_rng(0)
    real, fake = rng.standard_normal(400_000), rng.standard_normal(400_000) + m

    def logit(x):
        return -m * x + m**2 / 2

    grid = np.linspace(-10, 12, 100_001)
    p, q = scipy.stats.norm.pdf(grid), scipy.stats.norm.pdf(grid, m)
    middle = (p + q) / 2
    integrand = scipy.special.rel_entr(p, middle) + scipy.special.rel_entr(q, middle)
    divergence = 0.5 * np.trapezoid(integrand, grid)
    assert divergence_bound(logit(real), logit(fake)) == pytest.approx(divergence, abs=2e-3)
    assert divergence_bound(2 * logit(real), 2 * logit(fake)) < divergence - 5e-3
    assert divergence_bound(np.full(5, 50.0), np.full(5, -50.0)) == pytest.approx(np.log(2))
    assert divergence_bound(np.zeros(5), np.zeros(5)) == pytest.approx(0.0)
