"""Can a classifier tell generated samples from real ones it has not seen?"""

from typing import NamedTuple

import numpy as np
import scipy.special

from gan_jax.errors import InputError
from gan_jax.evaluation.rows import Rows, check_rows, nearest, of_one_size

__all__ = ["Separation", "divergence_bound", "nearest_neighbour_test", "two_sample_test"]


class Separation(NamedTuple):
    """Accuracy of telling the two apart, and its standard error where they are alike."""

    accuracy: float  # 0.5 where they cannot be told apart
    standard_error: float


def two_sample_test(real: Rows, fake: Rows, seed: int = 0) -> Separation:
    """Held-out accuracy of a logistic regression that tells real from generated.

    Half of either set trains it, the other half is told apart. arXiv:1610.06545. It sees what is
    linear in the features it is given, no more.

    Args:
        real: features, ``[n, d]``.
        fake: features, ``[m, d]``; the larger set is cut, so that guessing is right half the time.
        seed: of which rows train.
    """
    first, second = check_rows(real=real, fake=fake, least=4)
    count = min(len(first), len(second)) // 2 * 2
    order = np.random.default_rng(seed)
    first, second = (rows[order.permutation(len(rows))[:count]] for rows in (first, second))
    half = count // 2
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.repeat([1, 0], half)
    judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    judge.fit(np.concatenate([first[:half], second[:half]]), labels)
    accuracy = judge.score(np.concatenate([first[half:], second[half:]]), labels)
    return Separation(float(accuracy), 0.5 / np.sqrt(count))


def nearest_neighbour_test(real: Rows, fake: Rows) -> Separation:
    """Share of rows whose nearest other row, of both sets together, is of their own set.

    0.5 where they cannot be told apart, 1 where they are apart, below 0.5 where generated rows sit
    on real ones. arXiv:1806.07755. Two rows that are each other's nearest are right or wrong
    together, which its standard error counts.
    """
    first, second = check_rows(real=real, fake=fake, least=2)
    sets = of_one_size(first, second)
    count = len(sets[0])
    own, across, following = [], [], []  # squared distances; which row of both sets is nearest
    for number, (rows, others) in enumerate((sets, sets[::-1])):
        to_own, to_others = nearest(rows, rows, 2), nearest(rows, others)
        own.append(to_own[0][:, 1])  # a row is its own nearest
        across.append(to_others[0][:, 0])
        which = to_own[1][:, 1] + number * count, to_others[1][:, 0] + (1 - number) * count
        following.append(np.where(own[-1] < across[-1], *which))
    own, across, following = map(np.concatenate, (own, across, following))
    mutual = (following[following] == np.arange(2 * count)).mean()
    accuracy = ((own < across) + 0.5 * (own == across)).mean()
    return Separation(float(accuracy), float(0.5 * np.sqrt((1 + mutual) / (2 * count))))


def divergence_bound(real_logits: Rows, fake_logits: Rows) -> float:
    """A lower bound of the Jensen-Shannon divergence, nats, from a discriminator's logits.

    ``½ (E log D(x) + E log(1 - D(G(z)))) + log 2``: a bound only on rows that the discriminator was
    not trained on; log 2 at most, reached where it tells all apart. arXiv:1406.2661.

    Args:
        real_logits: of real rows, ``[n]``.
        fake_logits: of generated rows, ``[m]``.

    Raises:
        InputError: logits of another rank, or none.
    """
    real, fake = (np.asarray(x, np.float64) for x in (real_logits, fake_logits))
    for name, logits in (("real_logits", real), ("fake_logits", fake)):
        if logits.ndim != 1 or not len(logits):
            raise InputError(f"{name}: shape {logits.shape}; [rows] is allowed")
    value = scipy.special.log_expit(real).mean() + scipy.special.log_expit(-fake).mean()
    return float(0.5 * value + np.log(2.0))
