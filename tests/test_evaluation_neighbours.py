"""Neighbours against what is known: coverage's expectation, the convention, planted copies."""

import numpy as np
import pytest
import scipy.stats

from gan_jax.errors import InputError
from gan_jax.evaluation.neighbours import (
    CopyTest,
    authenticity,
    copying_test,
    expected_coverage,
    manifold,
    nearest_distances,
)


def normal(seed: int, rows: int, d: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, d))


def brute_force(real, fake, k):
    """By the definitions, all distances at once."""

    def away(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    def radius(a):
        return np.sort(away(a, a), axis=1)[:, k]  # the first is the row itself

    in_real = away(fake, real) <= radius(real)[None]
    in_fake = away(real, fake) <= radius(fake)[None]
    return (
        in_real.any(1).mean(),
        in_fake.any(1).mean(),
        in_real.sum(1).mean() / k,
        in_real.any(0).mean(),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_manifold_by_the_definitions(k):
    real, fake = normal(0, 60, 3), 0.7 * normal(1, 45, 3) + 0.3
    np.testing.assert_allclose(manifold(real, fake, k), brute_force(real, fake, k), rtol=1e-12)


@pytest.mark.parametrize(("n", "m", "k"), [(400, 400, 5), (400, 200, 5), (400, 400, 3)])
def test_coverage_and_density_of_one_distribution(n, m, k):
    found = [manifold(normal(2 * s, n), normal(2 * s + 1, m), k) for s in range(80)]
    coverage = np.mean([f.coverage for f in found])
    assert coverage == pytest.approx(expected_coverage(n, m, k), abs=0.01)
    assert np.mean([f.density for f in found]) == pytest.approx(1.0, abs=0.04)


def test_expected_coverage_has_the_published_values():
    assert expected_coverage(10_000, 10_000, 5) == pytest.approx(1 - 0.5**5, abs=1e-3)
    assert expected_coverage(400, 200, 5) == pytest.approx(0.870, abs=2e-3)
    assert expected_coverage(400, 400, 3) == pytest.approx(0.876, abs=2e-3)


def test_precision_and_recall_are_not_swapped():
    cloud, cluster = normal(0, 500), 0.1 * normal(1, 500)
    tight = manifold(cloud, cluster)
    assert tight.precision > 0.95 and tight.recall < 0.1 and tight.coverage < 0.3
    wide = manifold(cluster, cloud)
    assert wide.precision < 0.1 and wide.recall > 0.95


def test_duplicates_stay_defined():
    real = np.repeat(normal(0, 4), 30, axis=0)
    assert manifold(real, real) == manifold(real, real[::-1])
    same = manifold(real, real)
    assert (same.precision, same.recall, same.coverage) == (1.0, 1.0, 1.0)
    assert np.isfinite(same.density)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_a_ball_holds_its_rim(offset):
    """Of rows that are the real ones each is in its own ball and on the rim of the k-th nearest."""
    real = normal(0, 500) + offset
    assert manifold(real, real, 5).density == pytest.approx(6 / 5, abs=1e-12)


def test_nearest_distances():
    rows, others = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 1.0], [3.0, 4.0]])
    np.testing.assert_allclose(nearest_distances(rows, others), [1.0, 0.0])


@pytest.fixture
def three_sets():
    rows = normal(7, 3_000)
    return rows[:1_000], rows[1_000:2_000], rows[2_000:]


def test_fresh_samples_are_no_copies(three_sets):
    train, fresh, held_out = three_sets
    assert abs(copying_test(train, fresh, held_out)) < 3
    found = authenticity(train, fresh, held_out)
    # Two shares of 1,000 rows each: three standard errors of their difference.
    assert found.generated == pytest.approx(found.held_out, abs=3 * np.sqrt(0.5 / 1_000))


def test_authenticity_by_its_definition():
    train, fake, held_out = normal(0, 40, 2), normal(1, 30, 2), normal(2, 20, 2)

    def share(rows):
        to_train = np.linalg.norm(rows[:, None] - train[None], axis=2)
        own = np.sort(np.linalg.norm(train[:, None] - train[None], axis=2), axis=1)[:, 1]
        return np.mean([row.min() > own[row.argmin()] for row in to_train])

    assert authenticity(train, fake, held_out) == (share(fake), share(held_out))

    def typical(rows):
        return np.median(np.linalg.norm(rows[:, None] - train[None], axis=2).min(1))

    ratio = CopyTest(train, held_out).measure(fake).nearest_ratio
    assert ratio == pytest.approx(typical(fake) / typical(held_out))
    assert CopyTest(train, held_out).measure(train).nearest_ratio == 0.0
    assert CopyTest(train, train[:9]).measure(fake).nearest_ratio is None


def test_copying_score_is_the_mann_whitney_statistic_with_ties():
    """Distances are whole numbers here, so most are tied; scipy's p-value gives the score back."""
    rng, train = np.random.default_rng(0), np.zeros((2, 1))
    fake, held_out = rng.integers(0, 4, (90, 1)), rng.integers(0, 5, (70, 1))
    p = scipy.stats.mannwhitneyu(
        fake[:, 0], held_out[:, 0], method="asymptotic", use_continuity=False
    ).pvalue
    expected = -scipy.stats.norm.isf(p / 2)  # fakes are nearer: negative
    assert copying_test(train, fake, held_out) == pytest.approx(expected, rel=1e-9)


def test_regions_count_by_their_held_out_rows():
    far, (train, near) = 1_000.0, (normal(0, 200), normal(1, 400))
    held_out = np.concatenate([near[:300], near[300:] + far])
    fake = np.concatenate([0.9 * normal(2, 150), 1.3 * normal(3, 150) + far])
    data = np.concatenate([train, train + far])
    one = copying_test(train, fake[:150], held_out[:300])
    other = copying_test(train, fake[150:] - far, held_out[300:] - far)
    found = copying_test(data, fake, held_out, cells=2)
    assert found == pytest.approx(0.75 * one + 0.25 * other, rel=1e-6)
    assert abs(one - other) > 1


def test_fresh_rows_by_their_definition():
    train, held_out = normal(0, 40, 2), normal(2, 20, 2)
    aways, farther = [], []
    for row in train:  # leave it out, and look at it as at a generated one
        rest = train[(train != row).any(1)]
        to_rest, others = (
            np.linalg.norm(rest - row, axis=1),
            np.linalg.norm(rest[:, None] - rest[None], axis=2),
        )
        aways.append(to_rest.min())
        farther.append(to_rest.min() > np.sort(others[to_rest.argmin()])[1])
    found = CopyTest(train, held_out).measure_fresh(40)
    assert found.authenticity == np.mean(farther)
    zero = np.zeros((2, 1))  # from which distances are these
    of_held_out = np.linalg.norm(held_out[:, None] - train[None], axis=2).min(1)
    expected = copying_test(zero, np.array(aways)[:, None], of_held_out[:, None])
    assert found.copying == pytest.approx(expected)


def test_held_out_rows_of_others_are_no_sign_of_copies():
    """As MNIST's test rows, by other writers: samples are compared with fresh rows' score."""
    differences, scores = [], []
    for seed in range(0, 120, 3):
        held_out = 1.15 * normal(seed, 200, 2)
        test = CopyTest(normal(seed + 1, 400, 2), held_out)
        scores.append(test.measure(normal(seed + 2, 200, 2)).copying)
        differences.append(scores[-1] - test.measure_fresh(200).copying)
    assert np.mean(scores) < -1.5
    assert abs(np.mean(differences)) < 3 / np.sqrt(40) and 0.7 < np.std(differences) < 1.3


def test_planted_copies_are_found(three_sets):
    train, _, held_out = three_sets
    for copies in (train, train + 1e-3 * normal(8, 1_000)):
        assert copying_test(train, copies, held_out) < -20
        assert authenticity(train, copies, held_out).generated < 0.02
    half = np.concatenate([train[:500], normal(9, 500)])
    assert copying_test(train, half, held_out) < -3


def test_noise_is_far_from_the_data(three_sets):
    train, _, held_out = three_sets
    noise = 5 * normal(10, 1_000)
    assert copying_test(train, noise, held_out) > 20
    assert authenticity(train, noise, held_out).generated > 0.99


def test_copying_within_one_region_is_seen_in_regions(three_sets):
    """Copies near one centre, rows off the data near the other: over all it looks balanced."""
    train, fresh, held_out = three_sets
    far = 100.0
    data = [np.concatenate([rows, rows + far]) for rows in (train, held_out)]
    mixed = np.concatenate([train, 1.35 * fresh + far])
    over_all = copying_test(data[0], mixed, data[1])
    each = [
        copying_test(data[0], mixed[mixed[:, 0] < far / 2], data[1]),
        copying_test(data[0], mixed[mixed[:, 0] > far / 2], data[1]),
    ]
    assert each[0] < -20 < over_all < each[1]
    regions = copying_test(data[0], mixed, data[1], cells=2)
    assert np.isfinite(regions) and each[0] < regions < each[1]


def test_bad_k():
    with pytest.raises(InputError, match="k: 0 is out of range"):
        manifold(normal(0, 9), normal(1, 9), 0)
    with pytest.raises(InputError, match="at least 6 rows"):
        manifold(normal(0, 5), normal(1, 9), 5)
