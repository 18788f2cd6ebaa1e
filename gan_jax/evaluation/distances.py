"""How far two sets of features are apart: Fréchet, kernel and sliced Wasserstein distances.

Rows are samples, ``[n, d]``; which features (pixels, a classifier's last hidden layer) is the
caller's choice, and a figure means nothing without its floor or its anchors beside it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.evaluation.rows import Rows, check_rows, of_one_size
from gan_jax.types import Key

__all__ = [
    "Estimate",
    "frechet_distance",
    "frechet_distance_of_moments",
    "frechet_floor",
    "kernel_distance",
    "sliced_wasserstein",
]

_BLOCK = 200  # rows at a time


class Estimate(NamedTuple):
    """A figure and how far it may be off by chance."""

    value: float
    standard_error: float


def frechet_distance(real: Rows, fake: Rows) -> float:
    """Squared 2-Wasserstein distance of the Gaussians that have these rows' means and covariances.

    ``|m1 - m2|² + tr(S1 + S2 - 2 (S1^½ S2 S1^½)^½)``. It is biased: two sets from one distribution
    are `frechet_floor` apart. arXiv:1706.08500.

    Args:
        real: features, ``[n, d]``.
        fake: features, ``[m, d]``.

    Raises:
        InputError: not two sets of two rows or more with the same number of finite features.
    """
    first, second = check_rows(real=real, fake=fake, least=2)
    return frechet_distance_of_moments(*_moments(first), *_moments(second))


def frechet_distance_of_moments(
    mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray
) -> float:
    """The same from means ``[d]`` and covariances ``[d, d]``."""
    root = _root(covariance1)
    # Eigenvalues of a product that is symmetric: no matrix square root of one that is not.
    cross = np.linalg.eigvalsh(root @ covariance2 @ root)
    overlap = np.sqrt(np.clip(cross, 0.0, None)).sum()
    apart = float(np.sum((mean1 - mean2) ** 2))
    return float(apart + np.trace(covariance1) + np.trace(covariance2) - 2.0 * overlap)


def frechet_floor(features: Rows, count: int, other: int) -> float:
    """What `frechet_distance` comes to between two sets from one distribution, on average.

    To leading order, with l the eigenvalues of the covariance,
    ``(1/n + 1/m) (Σ l_i + ½ Σ_ij l_i l_j / (l_i + l_j) + ¼ Σ l_i)`` for Gaussian features.

    Args:
        features: of the distribution, ``[rows, d]``; the more rows the better.
        count: rows of one set.
        other: rows of the other.
    """
    (rows,) = check_rows(features=features, least=2)
    values = np.clip(np.linalg.eigvalsh(_moments(rows)[1]), 1e-300, None)
    harmonic = (values[:, None] * values[None] / (values[:, None] + values[None])).sum()
    return float((1 / count + 1 / other) * (1.25 * values.sum() + 0.5 * harmonic))


def kernel_distance(real: Rows, fake: Rows) -> Estimate:
    """Squared maximum mean discrepancy under the kernel ``(x·y / d + 1)³``, the whole U-statistic.

    Unbiased: 0 on average between two sets from one distribution, so it can be negative.
    arXiv:1801.01401. Its standard error adds what single rows contribute (Hoeffding's projection,
    which leads where the sets differ) and what pairs do (which is all where they do not, and where
    it comes out a tenth to a fifth too large).

    Args:
        real: features, ``[n, d]``.
        fake: features, ``[m, d]``.

    Raises:
        InputError: as `frechet_distance`.
    """
    first, second = check_rows(real=real, fake=fake, least=2)
    n, m = len(first), len(second)
    # Row sums suffice, so the squares of rows by rows are never all in memory.
    xx, xx2 = _kernel_sums(first, first, same=True)
    yy, yy2 = _kernel_sums(second, second, same=True)
    xy, xy2 = _kernel_sums(first, second)
    yx, _ = _kernel_sums(second, first)
    within_x, within_y = xx.sum() / (n * (n - 1)), yy.sum() / (m * (m - 1))
    between = xy.sum() / (n * m)
    value = within_x + within_y - 2.0 * between
    # Of the pairs, once what each row contributes to all of its pairs is taken out.
    own_x, own_y = (xx / (n - 1)).var(), (yy / (m - 1)).var()
    pair_xx = _left(xx2.sum(), xx.sum(), n * (n - 1), 2.0 * own_x)
    pair_yy = _left(yy2.sum(), yy.sum(), m * (m - 1), 2.0 * own_y)
    pair_xy = _left(xy2.sum(), xy.sum(), n * m, (xy / m).var() + (yx / n).var())
    pairs = 2.0 * pair_xx / (n * (n - 1)) + 2.0 * pair_yy / (m * (m - 1)) + 4.0 * pair_xy / (n * m)
    # Of the rows; their means are themselves over pairs, which must not count twice.
    row_x = max(0.0, (xx / (n - 1) - xy / m).var(ddof=1) - pair_xx / (n - 1) - pair_xy / m)
    row_y = max(0.0, (yy / (m - 1) - yx / n).var(ddof=1) - pair_yy / (m - 1) - pair_xy / n)
    variance = 4.0 * (row_x / n + row_y / m) + pairs
    return Estimate(float(value), float(np.sqrt(variance)))


def sliced_wasserstein(real: Rows, fake: Rows, key: Key, directions: int = 512) -> float:
    """2-Wasserstein distance along random directions: the root of the mean square over them.

    For a shift by c it is ``|c| / √d`` on average.

    Args:
        real: features, ``[n, d]``.
        fake: features, ``[m, d]``; of the larger set as many rows as of the other are picked.
        key: draws the directions, uniform on the sphere.
        directions: how many.
    """
    first, second = check_rows(real=real, fake=fake, least=1)
    first, second = of_one_size(first, second)
    normal = jax.random.normal(key, (first.shape[1], directions))
    axes = np.asarray(normal / jnp.linalg.norm(normal, axis=0, keepdims=True)).T
    # NumPy sorts such rows five times as fast as XLA does on a CPU.
    first, second = (np.sort(axes @ np.float32(rows).T, axis=1) for rows in (first, second))
    return float(np.sqrt(np.mean((first - second) ** 2, dtype=np.float64)))


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False))


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def _kernel_sums(
    rows: np.ndarray, others: np.ndarray, *, same: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """For each row, the sum over the others (but itself) of the kernel, and of its square."""
    sums, squares = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        base = part @ others.T / rows.shape[1] + 1.0
        kernel = base * base * base  # ten times as fast as a power
        if same:
            np.fill_diagonal(kernel[:, start : start + _BLOCK], 0.0)
        sums[start : start + _BLOCK] = kernel.sum(1)
        squares[start : start + _BLOCK] = np.einsum("ij,ij->i", kernel, kernel)
    return sums, squares


def _left(squares: float, total: float, count: int, explained: float) -> float:
    """What is left of a variance once a part of it is explained."""
    return max(0.0, squares / count - (total / count) ** 2 - explained)
