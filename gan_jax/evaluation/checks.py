"""What every metric asks of its rows."""

import jax
import numpy as np

from gan_jax.errors import InputError

__all__ = ["Rows", "check", "check_pair"]

Rows = jax.Array | np.ndarray  # [rows, features], unless said otherwise


def check(features: Rows, *, least: int, name: str) -> np.ndarray:
    """One set as float64 ``[n, d]``.

    Raises:
        InputError: another shape, fewer rows than ``least``, or a number that is not finite.
    """
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or len(rows) < least or rows.shape[1] < 1:
        raise InputError(
            f"{name}: shape {rows.shape}; [rows, features] with at least {least} rows is allowed"
        )
    if not np.isfinite(rows).all():
        raise InputError(f"{name}: holds a number that is not finite")
    return rows


def check_pair(real: Rows, fake: Rows, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets with the same features."""
    first, second = check(real, least=least, name="real"), check(fake, least=least, name="fake")
    if first.shape[1] != second.shape[1]:
        raise InputError(f"fake: {second.shape[1]} features a row; {first.shape[1]} are allowed")
    return first, second
