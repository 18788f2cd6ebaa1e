"""What a data set is: its parts, and the few facts a run must know about it."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from gan_jax.types import Batch, Key

__all__ = ["Dataset", "Mixture", "Part", "Source"]


class Part(NamedTuple):
    """Rows held in memory."""

    samples: (
        np.ndarray
    )  # images [rows, height, width, channels] uint8; else [rows, features] float32
    labels: np.ndarray | None = None  # [rows] int32; -1 = this row has none; None = no labels


class Mixture(NamedTuple):
    """Equally likely Gaussians in the plane: endless rows, drawn afresh under every key."""

    centers: np.ndarray  # [modes, 2] float32
    std: float  # of each coordinate, the same for every mode

    def draw(self, key: "Key", count: int) -> "Batch":
        """``[count, 2]`` float32 samples, each labelled with its mode; pure, `count` is static."""
        import jax  # here, because reading files needs no jax
        import jax.numpy as jnp

        from gan_jax.types import Batch

        mode_key, noise_key = jax.random.split(key)
        modes = jax.random.randint(mode_key, (count,), 0, len(self.centers), dtype=jnp.int32)
        noise = jax.random.normal(noise_key, (count, 2), dtype=jnp.float32)
        return Batch(jnp.asarray(self.centers)[modes] + self.std * noise, modes)


class Source(NamedTuple):
    """What a reader found, before any rows are set aside."""

    train: Part
    test: Part | None
    classes: int  # 0 = no labels
    note: str = ""  # one sentence for the user, or nothing


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training rows, rows to choose between runs by, and rows to judge the chosen one by."""

    name: str
    train: Part | Mixture
    validation: Part | None
    test: Part
    classes: int  # 0 = no labels
    note: str = ""  # one sentence for the user, or nothing

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: ``(height, width, channels)`` or ``(features,)``."""
        return self.test.samples.shape[1:]

    @property
    def is_image(self) -> bool:
        """Whether samples are uint8 images rather than float32 vectors."""
        return self.test.samples.dtype == np.uint8

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what is trained on: rows and labels, or a mixture's constants."""
        digest = hashlib.sha256()
        for field in self.train:
            if field is not None:
                array = np.ascontiguousarray(field)
                digest.update(f"{array.dtype.str} {array.shape};".encode())
                digest.update(array.data)
        return digest.hexdigest()
