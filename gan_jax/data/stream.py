"""The order of rows: batches as a pure function of (data seed, step).

Stored rows form one endless stream of epochs, each a fresh permutation under
``fold_in(data_key, epoch)``, where data_key is ``fold_in(key(data seed), 0x64617461)``; with b rows
a step, step t takes positions t*b to t*b + b - 1 of it.
No row is lost, a batch may straddle epochs, and nothing about an iterator needs saving.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data.dataset import Mixture, Part
from gan_jax.environment import plain_loops
from gan_jax.errors import InputError
from gan_jax.types import Batch, Key, Samples

__all__ = ["Stream", "epoch_orders", "make_stream", "to_float"]

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
        return _mixture_stream(data, batch_rows, _data_key(jax.random.key(seed)), length)
    if len(data.samples) < batch_rows:
        raise InputError(
            f"batch_size: a step takes {batch_rows} rows; {name} has {len(data.samples)}"
            + (f" ({note})" if note else "")
        )
    return _row_stream(data, batch_rows, seed, length)


def _data_key(key: Key) -> Key:
    """A key of its own: the GAN's first ones are made of the very same seed, by default."""
    return jax.random.fold_in(key, _DATA_FOLD)


def _row_stream(part: Part, batch_rows: int, seed: int, length: int) -> Stream:
    rows = len(part.samples)
    # The most epochs that `length` batches can touch, wherever in an epoch they start.
    span = (length * batch_rows + rows - 2) // rows + 1
    orders: dict[int, np.ndarray] = {}  # by epoch, each computed once and kept while in use

    def picks(step: int) -> jax.Array:
        first, offset = divmod(step * batch_rows, rows)
        for epoch in [epoch for epoch in orders if epoch < first]:
            del orders[epoch]
        missing = [epoch for epoch in range(first, first + span) if epoch not in orders]
        if missing:
            key = jax.random.key(seed)  # here: its program is compiled while larger ones are
            ahead = epoch_orders(key, missing[0], span, rows)  # always as many: compiled once
            orders.update(enumerate(ahead, missing[0]))
        rows_ahead = np.concatenate([orders[epoch] for epoch in range(first, first + span)])
        return jnp.asarray(
            rows_ahead[offset : offset + length * batch_rows].reshape(length, batch_rows)
        )

    shape = jax.ShapeDtypeStruct((length, batch_rows), jnp.int32)
    return Stream(jax.device_put(part), picks, shape, _take_rows)


def epoch_orders(key: Key, first: int, count: int, rows: int) -> np.ndarray:
    """The orders of rows in so many epochs, ``[count, rows]`` int32; the key is the data seed's.

    Those of `jax.random.permutation` under each epoch's key, but by NumPy's sort: XLA's takes
    longer on a CPU than small networks need for an epoch of few rows.
    """
    orders = places = np.broadcast_to(np.arange(rows, dtype=np.uint64), (count, rows))
    for keys in np.asarray(_sort_keys(key, first, count, rows)):
        # Of equal keys the first goes first: a place in the low half makes every number unique.
        numbers = np.sort(keys.astype(np.uint64) << np.uint64(32) | places)
        sources = (numbers & np.uint64(2**32 - 1)).astype(np.intp)
        orders = np.take_along_axis(orders, sources, axis=1)
    return orders.astype(np.int32)


# Else fully optimised, unlike what runs once: of small data it runs every hundred steps or so.
@functools.partial(
    jax.jit,
    static_argnames=("count", "rows"),
    compiler_options=plain_loops(jax.__version_info__),
)
def _sort_keys(key: Key, first: int, count: int, rows: int) -> jax.Array:
    """What `jax.random.permutation` sorts by, ``[rounds, count, rows]`` uint32.

    In each round two rows may get the same key: three times as many bits as would tell them apart
    make it unlikely that they do in all.
    """
    rounds = math.ceil(3 * math.log(rows) / math.log(2**32 - 1))

    def of_epoch(epoch: jax.Array) -> jax.Array:
        key_of_epoch, keys = jax.random.fold_in(_data_key(key), epoch), []
        for _ in range(rounds):
            key_of_epoch, subkey = jax.random.split(key_of_epoch)
            keys.append(jax.random.bits(subkey, (rows,), jnp.uint32))
        return jnp.array(keys, jnp.uint32).reshape(rounds, rows)

    # One epoch after the other: kinds of keys other than the default draw otherwise in a vmap.
    return jax.lax.map(of_epoch, first + jnp.arange(count)).swapaxes(0, 1)


def _take_rows(source: Part, pick: jax.Array) -> Batch:
    labels = None if source.labels is None else jnp.asarray(source.labels)[pick]
    return Batch(to_float(jnp.asarray(source.samples)[pick]), labels)


def to_float(samples: jax.Array) -> Samples:
    """Images as stored, uint8, to float32 in [-1, 1]; other samples as they are."""
    if samples.dtype != jnp.uint8:
        return samples
    return samples.astype(jnp.float32) * (2.0 / 255.0) - 1.0


def _mixture_stream(mixture: Mixture, batch_rows: int, data_key: Key, length: int) -> Stream:
    """Step t draws under ``fold_in(data_key, t)``."""

    def picks(step: int) -> jax.Array:
        return step + jnp.arange(length, dtype=jnp.int32)

    def take(source: Key, pick: jax.Array) -> Batch:
        return mixture.draw(jax.random.fold_in(source, pick), batch_rows)

    return Stream(data_key, picks, jax.ShapeDtypeStruct((length,), jnp.int32), take)
