"""The order of rows: batches as a pure function of (data seed, step).

Stored rows form one endless stream of epochs, each the permutation of `epoch_order`; with b rows a
step, step t takes positions t*b to t*b + b - 1 of it. No row is lost, a batch may straddle epochs,
and nothing about an iterator needs saving. A mixture's rows of step t are drawn under
``fold_in(fold_in(key(data seed), 0x64617461), t)``.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data.dataset import Mixture, Part
from gan_jax.errors import InputError
from gan_jax.types import Batch, Key, Samples

__all__ = ["Stream", "epoch_order", "make_stream", "to_float"]

_DATA_FOLD = 0x64617461  # "data"


class Stream(NamedTuple):
    """Batches without end: step ``t`` gets ``take(source, picks(t)[0])``."""

    source: Any  # what lives on the device: rows as stored, or a key
    picks: Callable[[int], jax.Array]  # step -> what this and the next steps take, [length, ...]
    shape: jax.ShapeDtypeStruct  # of what picks returns
    take: Callable[[Any, jax.Array], Batch]  # (source, pick) -> one batch; pure


def make_stream(
    data: Part | Mixture,
    batch_rows: int,
    seed: int,
    length: int,
    *,
    name: str = "the data",
    note: str = "",
) -> Stream:
    """The stream of a data set's training part.

    Args:
        data: rows to keep on the device, or a mixture to draw fresh rows from.
        batch_rows: rows a step, b.
        seed: the data seed.
        length: how many steps ``picks`` plans at a time; changes nothing else.
        name: what errors call the data.
        note: why there may be fewer rows than the user thinks.

    Raises:
        InputError: fewer rows than a step takes.
    """
    if isinstance(data, Mixture):
        return _mixture_stream(data, batch_rows, seed, length)
    if len(data.samples) < batch_rows:
        raise InputError(
            f"batch_size: a step takes {batch_rows} rows; {name} has {len(data.samples)}"
            + (f" ({note})" if note else "")
        )
    return _row_stream(data, batch_rows, seed, length)


def _row_stream(part: Part, batch_rows: int, seed: int, length: int) -> Stream:
    rows = len(part.samples)
    # The most epochs that `length` batches can touch, wherever in an epoch they start.
    span = (length * batch_rows + rows - 2) // rows + 1
    order_of = functools.lru_cache(span)(lambda epoch: epoch_order(seed, epoch, rows))

    def picks(step: int) -> jax.Array:
        first, offset = divmod(step * batch_rows, rows)
        rows_ahead = np.concatenate([order_of(epoch) for epoch in range(first, first + span)])
        return jnp.asarray(
            rows_ahead[offset : offset + length * batch_rows].reshape(length, batch_rows)
        )

    shape = jax.ShapeDtypeStruct((length, batch_rows), jnp.int32)
    return Stream(jax.device_put(part), picks, shape, _take_rows)


def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The order of rows in an epoch, ``[rows]`` int32.

    By NumPy's generator whose stream never changes, on the host: `jax.random.permutation` would be
    one more program to compile before the first step, and its sort is slow on a CPU.
    """
    return np.random.RandomState([seed, epoch]).permutation(rows).astype(np.int32)


def _take_rows(source: Part, pick: jax.Array) -> Batch:
    labels = None if source.labels is None else jnp.asarray(source.labels)[pick]
    return Batch(to_float(jnp.asarray(source.samples)[pick]), labels)


def to_float(samples: jax.Array) -> Samples:
    """Images as stored, uint8, to float32 in [-1, 1]; other samples as they are."""
    if samples.dtype != jnp.uint8:
        return samples
    return samples.astype(jnp.float32) * (2.0 / 255.0) - 1.0


def _mixture_stream(mixture: Mixture, batch_rows: int, seed: int, length: int) -> Stream:
    # Of its own: the GAN's first keys are made of the very same seed, by default.
    data_key = jax.random.fold_in(jax.random.key(seed), _DATA_FOLD)

    def picks(step: int) -> jax.Array:
        return step + jnp.arange(length, dtype=jnp.int32)

    def take(source: Key, pick: jax.Array) -> Batch:
        return mixture.draw(jax.random.fold_in(source, pick), batch_rows)

    return Stream(data_key, picks, jax.ShapeDtypeStruct((length,), jnp.int32), take)
