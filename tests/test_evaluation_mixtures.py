"""A perfect sampler, a shrunken one, one with a mode dropped: each scores what it must."""

import jax
import numpy as np
import pytest

from gan_jax.data import Mixture, load
from gan_jax.errors import InputError
from gan_jax.evaluation.mixtures import PERFECT_QUALITY, exact_wasserstein, judge_mixture

ROWS = 2_500


def mixture(name: str) -> Mixture:
    found = load(name).train
    assert isinstance(found, Mixture)
    return found


def rows(name: str, seed: int, count: int = ROWS) -> np.ndarray:
    return np.asarray(mixture(name).draw(jax.random.key(seed), count).samples)


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25)])
def test_a_perfect_sampler(name, modes):
    found = [judge_mixture(rows(name, seed), *mixture(name)) for seed in range(20)]
    assert {f.modes for f in found} == {modes}
    error = np.sqrt(PERFECT_QUALITY * (1 - PERFECT_QUALITY) / (20 * ROWS))
    assert np.mean([f.quality for f in found]) == pytest.approx(PERFECT_QUALITY, abs=3 * error)
    floor = (modes - 1) / (2 * ROWS)
    assert np.mean([f.reverse_kl for f in found]) == pytest.approx(floor, rel=0.35)
    np.testing.assert_allclose(np.mean([f.covariance_ratios for f in found], axis=0), 1, atol=0.25)
    assert not any(f.over_concentrated for f in found)


def test_shrunken_modes_are_no_better_than_perfect():
    truth = mixture("ring")
    labels = np.arange(ROWS) % 8
    noise = 0.5 * truth.std * np.random.default_rng(0).standard_normal((ROWS, 2))
    found = judge_mixture(truth.centers[labels] + noise, *truth)
    assert found.quality > PERFECT_QUALITY and found.over_concentrated
    np.testing.assert_allclose(found.covariance_ratios, 0.25, rtol=0.25)


def test_a_dropped_mode():
    truth = mixture("grid")
    batch = truth.draw(jax.random.key(0), 26_000)
    kept = np.asarray(batch.samples)[np.asarray(batch.labels) != 7]
    found = judge_mixture(kept, *truth)
    assert found.modes == 24
    assert found.reverse_kl == pytest.approx(np.log(25 / 24), abs=2e-3)


def test_nothing_near_any_mode():
    found = judge_mixture(np.full((50, 2), 99.0), *mixture("ring"))
    assert found.modes == 0 and found.quality == 0.0
    assert np.isnan(found.reverse_kl) and np.isnan(found.covariance_ratios).all()


def test_exact_wasserstein_of_a_shift():
    x, shift = rows("grid", 0, 300), np.array([3.0, -4.0])
    shuffled = np.random.default_rng(0).permutation(x)
    assert exact_wasserstein(x, shuffled + shift) == pytest.approx(5.0, rel=1e-6)
    assert exact_wasserstein(x, shuffled) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(InputError, match="200 rows; 300"):
        exact_wasserstein(x, x[:200])


def test_samples_have_to_be_points():
    with pytest.raises(InputError, match="samples: shape"):
        judge_mixture(np.ones(4), *mixture("ring"))
    with pytest.raises(InputError, match="2 features a row; samples has 3"):
        judge_mixture(np.ones((4, 3)), *mixture("ring"))
    with pytest.raises(InputError, match="samples: 3 features a row; 2"):
        judge_mixture(np.ones((4, 3)), np.ones((2, 3)), 1.0)
