"""Densities and bins: Parzen windows, and the number of statistically different bins."""

from typing import NamedTuple

import numpy as np
import scipy.special

from gan_jax.errors import InputError
from gan_jax.evaluation.distances import Estimate
from gan_jax.evaluation.rows import Rows, check_rows, squared_distances

__all__ = ["SIGMAS", "Bins", "different_bins", "parzen_log_likelihood", "parzen_width"]


def parzen_log_likelihood(samples: Rows, rows: Rows, width: float) -> Estimate:
    """Mean log density of rows under Gaussian windows around generated samples, in nats.

    The protocol of arXiv:1406.2661, kept for its tables: 10,000 samples, pixels in [0, 1], the
    width chosen by `parzen_width` on validation rows. It rewards prototypes and blur
    (arXiv:1511.01844), and is never above ``-d log(width √2π)``.

    Args:
        samples: generated, ``[n, d]``.
        rows: real, ``[m, d]``.
        width: standard deviation of a window.

    Raises:
        InputError: rows of different widths or not finite, or a width that is not positive.
    """
    centres, points = check_rows(samples=samples, rows=rows, least=1)
    if not width > 0:
        raise InputError(f"width: {width} is out of range; positive numbers are allowed")
    logs = np.empty(len(points))
    for part, squared in squared_distances(points, centres):
        logs[part] = scipy.special.logsumexp(-0.5 * squared / width**2, axis=1)
    logs -= np.log(len(centres)) + centres.shape[1] * np.log(width * np.sqrt(2.0 * np.pi))
    error = logs.std(ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else float("nan")
    return Estimate(float(logs.mean()), float(error))


def parzen_width(samples: Rows, validation: Rows) -> float:
    """The width of ten between 0.1 and 1, equally spaced in the logarithm, most likely there."""
    widths = np.logspace(-1.0, 0.0, 10)
    likelihoods = [parzen_log_likelihood(samples, validation, w).value for w in widths]
    return float(widths[int(np.argmax(likelihoods))])


SIGMAS = 3.0  # standard errors, from which on two shares count as different


class Bins(NamedTuple):
    """Of how many bins the two sets' shares differ."""

    different: int
    bins: int
    divergence: float  # Jensen-Shannon, nats, of the two histograms


def different_bins(
    real: Rows, fake: Rows, bins: int = 100, sigmas: float = SIGMAS, seed: int = 0
) -> Bins:
    """Number of statistically different bins (NDB): cells of k-means on the real rows.

    A bin differs where a two-sample test of its two shares is more than ``sigmas`` standard errors
    from 0. arXiv:1805.12462.

    Args:
        real: ``[n, d]``; the cells are found on these.
        fake: ``[m, d]``.
        bins: cells.
        sigmas: how far is different.
        seed: of k-means.
    """
    first, second = check_rows(real=real, fake=fake, least=bins)
    from sklearn.cluster import KMeans

    cells = KMeans(bins, n_init="auto", random_state=seed).fit(first)
    counts = [np.bincount(cells.predict(rows), minlength=bins) for rows in (first, second)]
    n, m = len(first), len(second)
    p, q = counts[0] / n, counts[1] / m
    pooled = (counts[0] + counts[1]) / (n + m)
    error = np.sqrt(np.clip(pooled * (1 - pooled), 1e-300, None) * (1 / n + 1 / m))
    middle = (p + q) / 2

    def divergence_from_middle(shares: np.ndarray) -> float:
        there = shares > 0
        return float((shares[there] * np.log(shares[there] / middle[there])).sum())

    halves = divergence_from_middle(p), divergence_from_middle(q)
    return Bins(int((np.abs(p - q) > sigmas * error).sum()), bins, sum(halves) / 2)
