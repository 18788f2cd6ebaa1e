"""Distances against closed forms: moments, floors, shifts, and two sets from one distribution."""

import numpy as np
import pytest
import scipy.linalg

from gan_jax.errors import InputError
from gan_jax.evaluation import distances
from gan_jax.evaluation.distances import (
    frechet_distance,
    frechet_distance_of_moments,
    frechet_floor,
    kernel_distance,
    sliced_wasserstein,
)
from gan_jax.evaluation.two_sample import nearest_neighbour_test


def normal(seed: int, rows: int, scales: np.ndarray) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, len(scales))) * scales


def test_frechet_of_diagonal_gaussians():
    # |dm|² + Σ (s1 - s2)²
    mean, s1, s2 = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.5, 3.0])
    found = frechet_distance_of_moments(mean, np.diag(s1**2), 0 * mean, np.diag(s2**2))
    assert found == pytest.approx((mean**2).sum() + ((s1 - s2) ** 2).sum(), rel=1e-12)


def test_frechet_against_scipys_matrix_root():
    x, y = normal(0, 500, np.linspace(0.5, 2, 12)), normal(1, 400, np.ones(12)) + 0.3
    s1, s2 = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(s1 @ s2)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2) - 2 * np.trace(root).real
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_frechet_of_a_set_with_itself_is_nothing():
    # With fewer rows than features, one of which never moves, the covariance is singular.
    x = normal(0, 30, np.append(np.ones(60), 0.0))
    assert abs(frechet_distance(x, x)) < 1e-6 * np.trace(np.cov(x.T))


@pytest.mark.parametrize(
    ("scales", "count", "other"),
    [(np.ones(32), 1000, 1000), (np.ones(16), 400, 1600), (1 / np.arange(1, 25) ** 0.5, 800, 800)],
)
def test_frechet_floor_is_what_two_sets_of_one_distribution_come_to(scales, count, other):
    found = np.mean(
        [
            frechet_distance(normal(2 * s, count, scales), normal(2 * s + 1, other, scales))
            for s in range(12)
        ]
    )
    floor = frechet_floor(normal(99, 40_000, scales), count, other)
    assert found == pytest.approx(floor, rel=0.06)


def test_floor_of_white_features():
    # 2 d / n + d (d + 1) / (2 n), from the exact covariance (here: rows that have it).
    d, n = 8, 1000
    rows = np.sqrt(d - 0.5) * np.concatenate([np.eye(d), -np.eye(d)])
    rows *= np.sqrt((2 * d - 1) / (2 * (d - 0.5)))
    expected = 2 * d / n + d * (d + 1) / (2 * n)
    assert frechet_floor(rows, n, n) == pytest.approx(expected, rel=1e-6)


def brute_force_kernel_distance(x, y):
    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_kernel_distance_is_the_whole_u_statistic(monkeypatch):
    x, y = normal(0, 23, np.ones(4)), normal(1, 17, np.ones(4)) + 0.5
    for block in (1_000, 5):  # however it is cut into blocks
        monkeypatch.setattr(distances, "_BLOCK", block)
        assert kernel_distance(x, y).value == pytest.approx(
            brute_force_kernel_distance(x, y), rel=1e-10
        )


def test_kernel_distance_of_one_distribution_is_nothing_on_average():
    scores, values = [], []
    for seed in range(400):
        x, y = normal(2 * seed, 60, np.ones(6)), normal(2 * seed + 1, 60, np.ones(6))
        found = kernel_distance(x, y)
        scores.append(found.value / found.standard_error)
        values.append(found.value)
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert 0.72 < np.std(scores) < 1.1  # the standard error is one, somewhat large


def test_standard_error_of_sets_that_differ():
    pairs = [
        (normal(2 * s, 150, np.ones(6)), normal(2 * s + 1, 150, np.ones(6)) + 0.7)
        for s in range(120)
    ]
    found = [kernel_distance(x, y) for x, y in pairs]
    spread = np.std([f.value for f in found])
    assert np.mean([f.standard_error for f in found]) == pytest.approx(spread, rel=0.2)


def test_sliced_wasserstein_of_a_shift(key):
    # Along a direction u a shift by c moves by c·u, and E (c·u)² = |c|² / d.
    x, shift = normal(0, 300, np.ones(5)), np.array([3.0, 0, 0, -4.0, 0])
    found = sliced_wasserstein(x, x + shift, key, directions=20_000)
    assert found == pytest.approx(5.0 / np.sqrt(5), rel=0.02)
    assert sliced_wasserstein(x, np.random.default_rng(1).permutation(x), key) < 1e-5


def test_sliced_wasserstein_looks_along_every_direction(key):
    # The two clouds agree in each coordinate and differ along the diagonals, of which one has no
    # positive direction; and the same key gives the same bits.
    rng = np.random.default_rng(0)
    t = rng.standard_normal(2000)
    x = np.stack([t, t], 1) + 0.1 * rng.standard_normal((2000, 2))
    y = np.stack([t, -t], 1) + 0.1 * rng.standard_normal((2000, 2))
    assert sliced_wasserstein(x, y, key) > 0.4
    assert sliced_wasserstein(x, y, key) == sliced_wasserstein(x, y, key)


def test_sets_sorted_by_class_are_compared_as_wholes(key):
    """One distribution of two classes; the larger set, sorted, is not cut to its first class."""
    rng = np.random.default_rng(0)
    real = np.sort(rng.integers(0, 2, 4_000))[:, None] * 9 + rng.standard_normal((4_000, 2))
    fake = rng.integers(0, 2, 2_000)[:, None] * 9 + rng.standard_normal((2_000, 2))
    assert sliced_wasserstein(real, fake, key) < 0.5 < sliced_wasserstein(real[:2_000], fake, key)
    found = nearest_neighbour_test(real, fake)
    assert abs(found.accuracy - 0.5) < 4 * found.standard_error


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), "fake: 3 features a row; real has 2"),
        (np.ones(5), np.ones((5, 3)), "real: shape"),
        (np.ones((5, 2)), np.full((5, 2), np.nan), "fake: .*not finite"),
        (np.ones((1, 2)), np.ones((5, 2)), "real: shape .1, 2.; .*at least 2"),
    ],
)
def test_unusable_rows_are_refused(metric, real, fake, said):
    with pytest.raises(InputError, match=said):
        metric(real, fake)
