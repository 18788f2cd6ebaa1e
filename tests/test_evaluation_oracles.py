"""Metrics against what others wrote: prdc, POT, and torch-fidelity's formulas."""

import jax
import numpy as np
import ot
import pytest
import scipy.linalg
from prdc import compute_prdc

from gan_jax.evaluation.distances import frechet_distance, kernel_distance, sliced_wasserstein
from gan_jax.evaluation.mixtures import exact_wasserstein
from gan_jax.evaluation.neighbours import manifold


def normal(seed: int, rows: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, d))


@pytest.mark.parametrize("k", [3, 5])
def test_manifold_is_prdcs(k):
    real, fake = normal(0, 400, 6), 0.8 * normal(1, 300, 6) + 0.4
    found = manifold(real, fake, k)
    others = compute_prdc(real, fake, nearest_k=k)
    assert 0.1 < found.recall < found.precision < 1  # so that none stands in for another
    for name, value in others.items():
        # prdc's balls have no rim; between rows drawn apart nothing lies on one.
        assert getattr(found, name) == pytest.approx(value, abs=1e-12), name


def test_exact_wasserstein_is_pots():
    first, second = normal(0, 200, 2), 0.5 * normal(1, 200, 2) + 1
    best = ot.emd2(ot.unif(200), ot.unif(200), ot.dist(first, second))
    assert exact_wasserstein(first, second) == pytest.approx(np.sqrt(best), rel=1e-9)


def test_sliced_wasserstein_is_pots():
    """Each draws its own directions, so they agree as well as so many directions can."""
    first, second = normal(0, 150, 5), 0.5 * normal(1, 150, 5) + 1
    found = sliced_wasserstein(first, second, jax.random.key(0), directions=20_000)
    theirs = ot.sliced_wasserstein_distance(first, second, n_projections=20_000, seed=0)
    assert found == pytest.approx(theirs, rel=0.01)


def test_distances_by_torch_fidelitys_formulas():
    """Its Fréchet distance by scipy's root; its kernel distance of one whole subset."""
    first, second = normal(0, 300, 8), 1.3 * normal(1, 300, 8) + 0.2
    cov1, cov2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    apart = first.mean(0) - second.mean(0)
    root = np.trace(np.real(scipy.linalg.sqrtm(cov1.dot(cov2))))
    fid = apart.dot(apart) + np.trace(cov1) + np.trace(cov2) - 2 * root
    assert frechet_distance(first, second) == pytest.approx(fid, rel=1e-9)

    m = len(first)
    xx, yy, xy = (
        (a @ b.T / 8 + 1) ** 3 for a, b in ((first, first), (second, second), (first, second))
    )
    within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (m * (m - 1))
    kid = within - 2 * xy.sum() / m**2
    assert kernel_distance(first, second).value == pytest.approx(kid, rel=1e-9)
