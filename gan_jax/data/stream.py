"""The order of rows: batches as a pure function of (data seed, step).

Stored rows form one endless stream of epochs, each a fresh permutation under
``fold_in(data_key, epoch)``; with b rows a step, step t takes positions t*b to t*b + b - 1 of it.
No row is lost, a batch may straddle epochs, and nothing about an iterator needs saving.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.data.dataset import Mixture, Part
from gan_jax.errors import InputError
from gan_jax.types import Batch, Key, Samples

__all__ = ["MixtureStream", "RowStream", "make_stream", "to_float"]


def to_float(samples: jax.Array) -> Samples:
    """Images as stored, uint8, to float32 in [-1, 1]; other samples as they are."""
    if samples.dtype != jnp.uint8:
        return samples
    return samples.astype(jnp.float32) * (2.0 / 255.0) - 1.0


class RowStream:
    """Batches of stored rows, which live on the device as stored."""

    def __init__(self, part: Part, batch_rows: int, seed: int, length: int):
        """Put the rows on the device.

        Args:
            part: the rows, and their labels if they have any.
            batch_rows: rows a step, b.
            seed: the data seed.
            length: how many steps `picks` plans at a time.
        """
        rows = len(part.samples)
        if rows < batch_rows:
            raise InputError(f"batch_size: a step takes {batch_rows} rows; the data has {rows}")
        self.source = jax.device_put(part)
        self._rows, self._batch_rows = rows, batch_rows
        # The most epochs that `length` batches can touch, wherever in an epoch they start.
        self._span = (length * batch_rows + rows - 2) // rows + 1
        self._orders: dict[int, jax.Array] = {}
        data_key = jax.random.key(seed)
        self._order = jax.jit(
            lambda epoch: jax.random.permutation(jax.random.fold_in(data_key, epoch), rows)
        )

        def cut(orders: list[jax.Array], offset: jax.Array) -> jax.Array:
            picks = jax.lax.dynamic_slice(
                jnp.concatenate(orders), (offset,), (length * batch_rows,)
            )
            return picks.reshape(length, batch_rows)

        self._cut = jax.jit(cut)

    def picks(self, step: int) -> jax.Array:
        """The rows of the steps from ``step`` on, ``[length, b]`` int32."""
        first, offset = divmod(step * self._batch_rows, self._rows)
        epochs = range(first, first + self._span)
        # Each epoch's permutation is computed once and kept while it is in use.
        self._orders = {e: self._orders.get(e, None) for e in epochs}
        for epoch, order in self._orders.items():
            if order is None:
                self._orders[epoch] = self._order(epoch)
        return self._cut(list(self._orders.values()), offset)

    @staticmethod
    def take(source: Part, pick: jax.Array) -> Batch:
        """One step's batch: rows ``pick`` of the source, images scaled to [-1, 1]."""
        labels = None if source.labels is None else source.labels[pick]
        return Batch(to_float(source.samples[pick]), labels)


class MixtureStream:
    """Batches drawn fresh from a mixture: step t draws under ``fold_in(data_key, t)``."""

    def __init__(self, mixture: Mixture, batch_rows: int, seed: int, length: int):
        """Arguments as for `RowStream`."""
        self.source: Key = jax.random.key(seed)
        self._length = length

        def take(source: Key, pick: jax.Array) -> Batch:
            return mixture.draw(jax.random.fold_in(source, pick), batch_rows)

        self.take: Callable[[Any, Any], Batch] = take

    def picks(self, step: int) -> jax.Array:
        """The steps from ``step`` on, ``[length]`` int32."""
        return step + jnp.arange(self._length)


def make_stream(
    data: Part | Mixture, batch_rows: int, seed: int, length: int
) -> RowStream | MixtureStream:
    """The stream of a data set's training part.

    Raises:
        InputError: fewer rows than a step takes.
    """
    kind = MixtureStream if isinstance(data, Mixture) else RowStream
    return kind(data, batch_rows, seed, length)
