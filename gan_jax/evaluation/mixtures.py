"""Samples of a mixture of Gaussians against the truth: modes, quality, balance, shape, exact W2.

The protocol of PacGAN (arXiv:1712.04086) for `ring` and `grid`: 2,500 samples; a sample is of high
quality within three standard deviations of a centre. Here two-sided: in the plane a perfect sampler
scores 1 - exp(-9/2) = 98.89 %, and more says that the modes have shrunk.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.spatial.distance

from gan_jax.errors import InputError
from gan_jax.evaluation.rows import Rows, check_rows

__all__ = [
    "PERFECT_QUALITY",
    "MixtureReport",
    "exact_wasserstein",
    "judge_mixture",
    "mixture_figures",
    "mode_probabilities",
]

PERFECT_QUALITY = 1.0 - math.exp(-4.5)  # share of a 2-D Gaussian within three deviations


class MixtureReport(NamedTuple):
    """What samples of a mixture are worth."""

    modes: int  # with at least one high-quality sample
    quality: float  # share of samples within three standard deviations of a centre
    reverse_kl: float  # KL(shares of the modes || equal shares), nats, of high-quality samples
    covariance_ratios: tuple[float, float]  # least and greatest eigenvalue, over the true variance
    over_concentrated: bool  # more quality than a perfect sampler has, by three standard errors


def judge_mixture(samples: Rows, centers: Rows, std: float) -> MixtureReport:
    """Compare samples ``[n, 2]`` with equally likely Gaussians at centers ``[modes, 2]``.

    Covariance ratios are medians over modes with 20 samples or more, each sample belonging to its
    nearest centre within ten standard deviations; nan without such a mode. Between perfect
    samplers, reverse KL is about (modes - 1) / (2 n).

    Raises:
        InputError: samples of another shape.
    """
    rows, middles = check_rows(samples=samples, centers=centers, least=1)
    if rows.shape[1] != 2:
        raise InputError(f"samples: {rows.shape[1]} features a row; 2 are allowed")
    away = np.linalg.norm(rows[:, None] - middles[None], axis=2)
    nearest, distance = away.argmin(1), away.min(1)
    good = distance <= 3.0 * std
    counts = np.bincount(nearest[good], minlength=len(middles))
    shares = counts[counts > 0] / max(1, counts.sum())
    kl = float((shares * np.log(shares * len(middles))).sum())
    reverse_kl = kl if len(shares) else math.nan
    quality = float(good.mean())
    error = math.sqrt(PERFECT_QUALITY * (1 - PERFECT_QUALITY) / len(rows))
    return MixtureReport(
        modes=int((counts > 0).sum()),
        quality=quality,
        reverse_kl=reverse_kl,
        covariance_ratios=_covariance_ratios(rows, nearest, distance, std, len(middles)),
        over_concentrated=quality > PERFECT_QUALITY + 3.0 * error,
    )


def mixture_figures(samples: Rows, centers: Rows, std: float) -> dict[str, float]:
    """What `judge_mixture` finds, flat and by names that are plain among other figures."""
    found = judge_mixture(samples, centers, std)
    return {
        "modes": found.modes,
        "high_quality": found.quality,
        "mode_reverse_kl": found.reverse_kl,
        "least_covariance_ratio": found.covariance_ratios[0],
        "greatest_covariance_ratio": found.covariance_ratios[1],
        "over_concentrated": found.over_concentrated,
    }


def mode_probabilities(samples: Rows, centers: Rows, std: float) -> np.ndarray:
    """Which mode each of the samples ``[n, d]`` is of, ``[n, modes]``, rows summing to 1.

    Beyond three standard deviations of all centres it is of none: then all are as likely, the
    nearest by a hair.
    """
    rows, middles = check_rows(samples=samples, centers=centers, least=1)
    away = scipy.spatial.distance.cdist(rows, middles, "sqeuclidean") / (2 * std**2)
    nearest = away.min(1, keepdims=True)
    weights = np.exp(nearest - away)
    nowhere = 1.0 + 1e-3 * np.eye(len(middles))[away.argmin(1)]
    found = np.where(nearest <= 3.0**2 / 2, weights, nowhere)
    return found / found.sum(1, keepdims=True)


def _covariance_ratios(
    rows: np.ndarray, nearest: np.ndarray, distance: np.ndarray, std: float, modes: int
) -> tuple[float, float]:
    ratios = []
    for mode in range(modes):
        members = rows[(nearest == mode) & (distance <= 10.0 * std)]
        if len(members) >= 20:
            ratios.append(np.linalg.eigvalsh(np.cov(members, rowvar=False)) / std**2)
    if not ratios:
        return math.nan, math.nan
    low, high = np.median(ratios, axis=0)
    return float(low), float(high)


def exact_wasserstein(real: Rows, fake: Rows) -> float:
    """2-Wasserstein distance of two samples of the same size, by the best pairing of their rows.

    Cubic in the rows: 2,000 take about a second. For a shift by c it is exactly |c|.

    Raises:
        InputError: different numbers of rows.
    """
    first, second = check_rows(real=real, fake=fake, least=1)
    if len(first) != len(second):
        raise InputError(f"fake: {len(second)} rows; {len(first)} are allowed, as many as real")
    squared = scipy.spatial.distance.cdist(first, second, "sqeuclidean")
    return float(math.sqrt(squared[scipy.optimize.linear_sum_assignment(squared)].mean()))
