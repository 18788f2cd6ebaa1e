"""What every metric asks of its rows, and the distances between them."""

from collections.abc import Iterator

import jax
import numpy as np

from gan_jax.errors import InputError

__all__ = ["Rows", "check_rows", "squared_distances"]

Rows = jax.Array | np.ndarray  # [rows, features], unless said otherwise

_BLOCK = 1_000  # rows at a time


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


def squared_distances(rows: np.ndarray, others: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """A block of rows by all others at a time: which rows, and ``[block, others]``."""
    squares = (others**2).sum(1)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        size = (rows[part] ** 2).sum(1)[:, None] + squares[None]
        squared = size - 2.0 * rows[part] @ others.T
        yield part, np.where(squared > 1e-13 * size, squared, 0.0)  # duplicates: 0, not rounding
