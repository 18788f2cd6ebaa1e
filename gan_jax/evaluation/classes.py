"""What a classifier says about samples: how sure it is, which classes come, whether labels fit.

Probabilities are ``[n, classes]``, rows summing to 1; a class's share counts a sample for the class
it is most likely to be.
"""

from typing import NamedTuple

import numpy as np

from gan_jax.errors import InputError
from gan_jax.evaluation.rows import Rows

__all__ = [
    "Balance",
    "class_balance",
    "class_shares",
    "classifier_score",
    "label_consistency",
    "missing_classes",
]

_EXPECTED = 10.0  # samples of a class; of fewer, none may come by chance


class Balance(NamedTuple):
    """How far the shares of classes are from those of the data."""

    total_variation: float  # half the sum of absolute differences, in [0, 1]
    reverse_kl: float  # KL(generated || data), nats; finite even where a class is missing


def classifier_score(probabilities: Rows) -> float:
    """``exp(E KL(p(y|x) || p(y)))``: 1 at worst, the number of classes at best.

    The inception score of arXiv:1606.03498 with the data's own classifier. It sees neither copies
    nor what happens within a class: one perfect sample of each scores best.
    """
    rows = _check(probabilities)
    mean = rows.mean(0)
    ratio = np.log(np.clip(rows, 1e-300, None)) - np.log(np.clip(mean, 1e-300, None))[None]
    return float(np.exp((rows * ratio).sum(1).mean()))


def class_shares(labels: Rows, classes: int) -> np.ndarray:
    """Share of each class among labels ``[n]``, ``[classes]``.

    Raises:
        InputError: labels of another rank, none at all, or one out of 0 to classes - 1.
    """
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found):
        raise InputError(f"labels: shape {found.shape}; one label a row is allowed")
    if found.min() < 0 or found.max() >= classes:
        raise InputError(
            f"labels: {found.min()} to {found.max()} found; 0 to {classes - 1} are allowed"
        )
    return np.bincount(found, minlength=classes) / len(found)


def class_balance(generated: np.ndarray, data: np.ndarray) -> Balance:
    """Compare shares of classes, ``[classes]`` each.

    Between two samples of n rows from one distribution, the reverse KL is about
    (classes - 1) / (2 n) and no better.

    Raises:
        InputError: shares of different shapes, or not of rank 1.
    """
    first, second = np.asarray(generated, np.float64), np.asarray(data, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"shares: shapes {first.shape} and {second.shape}; equal ones are allowed")
    there = first > 0
    with np.errstate(divide="ignore"):  # a class the data never has: infinite, rightly
        reverse = float((first[there] * np.log(first[there] / second[there])).sum())
    return Balance(float(np.abs(first - second).sum() / 2), reverse)


def missing_classes(generated: np.ndarray, data: np.ndarray) -> tuple[int, ...]:
    """Classes of which ten samples or more were due, and less than a tenth of these came.

    Of ten due, none at all comes to a perfect generator once in 22,000 times.

    Args:
        generated: how many samples are of each class, ``[classes]``.
        data: how many real rows are, ``[classes]``.
    """
    came, there = np.asarray(generated, np.float64), np.asarray(data, np.float64)
    due = there / max(1.0, there.sum()) * came.sum()
    return tuple(int(c) for c in np.flatnonzero((due >= _EXPECTED) & (came < 0.1 * due)))


def label_consistency(probabilities: Rows, labels: Rows) -> float:
    """Share of samples that a classifier takes for the class they were asked to be.

    Args:
        probabilities: ``[n, classes]``.
        labels: ``[n]``; rows with -1 do not count.

    Raises:
        InputError: not one label a row, none at all, or one that is no class.
    """
    rows, asked = _check(probabilities), np.asarray(labels)
    if asked.shape != rows.shape[:1]:
        raise InputError(f"labels: shape {asked.shape}; one label a row is allowed, {len(rows)}")
    known = asked >= 0
    if not known.any() or asked.max() >= rows.shape[1]:
        raise InputError(
            f"labels: {asked.max()} is the greatest; 0 to {rows.shape[1] - 1} are allowed"
        )
    return float((rows.argmax(1) == asked)[known].mean())


def _check(probabilities: Rows) -> np.ndarray:
    rows = np.asarray(probabilities, np.float64)
    if rows.ndim != 2 or not len(rows):
        raise InputError(f"probabilities: shape {rows.shape}; [rows, classes] is allowed")
    if not np.isfinite(rows).all() or rows.min() < 0 or np.abs(rows.sum(1) - 1).max() > 1e-4:
        raise InputError("probabilities: each row has to be non-negative and sum to 1")
    return rows
