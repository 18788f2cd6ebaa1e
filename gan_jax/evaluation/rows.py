"""What every metric asks of its rows, and the distances between them."""

from collections.abc import Iterator

import jax
import numpy as np

from gan_jax.errors import InputError

__all__ = ["Rows", "check_rows", "nearest", "of_one_size", "squared_distances"]

Rows = jax.Array | np.ndarray  # [rows, features], unless said otherwise

_BLOCK = 2**20  # distances at a time: what stays in a cache is not paid for twice


def check_rows(*, least: int, **sets: Rows) -> tuple[np.ndarray, ...]:
    """The sets, given by their names, as float64 ``[n, d]`` with one d.

    Raises:
        InputError: another shape, fewer rows than ``least``, a number that is not finite, or sets
            with different features; the message names the set.
    """
    found: dict[str, np.ndarray] = {}
    for name, given in sets.items():
        rows = np.asarray(given, np.float64)
        if rows.ndim != 2 or len(rows) < least or rows.shape[1] < 1:
            raise InputError(
                f"{name}: shape {rows.shape}; [rows, features] with at least {least} rows is "
                "allowed"
            )
        if not np.isfinite(rows).all():
            raise InputError(f"{name}: holds a number that is not finite")
        for other, before in found.items():
            if rows.shape[1] != before.shape[1]:
                raise InputError(
                    f"{name}: {rows.shape[1]} features a row; {other} has {before.shape[1]}"
                )
        found[name] = rows
    return tuple(found.values())


def of_one_size(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets, and of the larger one as many rows as the other has, always the same.

    Picked from all over, for rows may come sorted by class.
    """
    count = min(len(rows), len(others))

    def picked(found: np.ndarray) -> np.ndarray:
        if len(found) == count:
            return found
        return found[np.random.RandomState(0).permutation(len(found))[:count]]

    return picked(rows), picked(others)


def squared_distances(rows: np.ndarray, others: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """A block of rows by all others at a time: which rows, and ``[block, others]``."""
    squares, count = (others**2).sum(1), max(1, _BLOCK // len(others))
    for start in range(0, len(rows), count):
        part = slice(start, start + count)
        size = (rows[part] ** 2).sum(1)[:, None] + squares[None]
        squared = rows[part] @ others.T
        squared *= -2.0
        squared += size
        size *= 1e-13
        squared[squared <= size] = 0.0  # duplicates: 0, not rounding
        yield part, squared


def nearest(rows: np.ndarray, others: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances to the k nearest of the others, and which they are, ``[rows, k]`` each."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others)
    which = found.kneighbors(rows, return_distance=False)
    exact = ((rows[:, None] - others[which]) ** 2).sum(2)  # duplicates: 0, not rounding
    order = exact.argsort(1, kind="stable")
    return np.take_along_axis(exact, order, 1), np.take_along_axis(which, order, 1)
