"""Samples that any program wrote, brought to what the data they are compared with are like."""

import math
from pathlib import Path

import numpy as np
from rich.console import Console

from gan_jax.data import Dataset, Part
from gan_jax.data.arrays import read_npz
from gan_jax.data.checks import as_labels, as_vectors, shown
from gan_jax.errors import InputError
from gan_jax.progress import say
from gan_jax.report import to_uint8

__all__ = ["Outside"]

# `arr_0` and `arr_1` are what np.savez calls arrays without a name.
SAMPLES = ("images", "samples", "x_train", "arr_0")
LABELS = ("labels", "y_train", "arr_1")


class Outside:
    """Arrays of a file, before it is known what data they are to be like."""

    def __init__(self, path: Path, console: Console):
        """Reads them.

        Args:
            path: an ``.npz``.
            console: where to say what is not looked at, and how numbers are understood.

        Raises:
            InputError: the file is damaged, or has no samples.
        """
        self.where, self.console = shown(path), console
        self.samples, labels, others = read_npz(path, SAMPLES, LABELS)
        if not self.samples.ndim or not len(self.samples):
            raise InputError(f"{self.where}: shape is {self.samples.shape}; it holds no samples")
        self.labels = None
        if labels is not None:
            self.labels = as_labels(f"{self.where}: labels", labels, len(self.samples))
        if others:
            say(console, f"not looked at: {', '.join(map(shown, others))}")

    def like(self, dataset: Dataset) -> Part:
        """Rows of the data's shape and dtype.

        Images may be flat, without an axis of channels, or with it first. Of those that are not
        uint8 the range tells whether they span 0 to 1, -1 to 1, or 0 to 255; they are clipped and
        rounded to uint8.

        Raises:
            InputError: they cannot be brought there.
        """
        if not dataset.is_image:
            rows = as_vectors(self.where, self.samples)
            if rows.shape[1:] != dataset.sample_shape:
                raise InputError(
                    f"{self.where}: samples have {rows.shape[1]} features; those of "
                    f"{dataset.name} have {dataset.sample_shape[0]}"
                )
            return Part(rows, self.labels)
        height, width, channels = dataset.sample_shape
        given, count = self.samples, len(self.samples)
        inner = given.shape[1:]
        if inner == (channels, height, width) != dataset.sample_shape:
            images = np.moveaxis(given, 1, -1)
        elif inner in ((height, width), (math.prod(dataset.sample_shape),)):
            images = given.reshape(count, height, width, -1)
        else:
            images = given
        if images.shape[1:] != dataset.sample_shape:
            raise InputError(
                f"{self.where}: samples are {given.dtype} of shape {inner}; those of "
                f"{dataset.name} are uint8 of shape {dataset.sample_shape}"
            )
        return Part(self._to_bytes(images), self.labels)

    def _to_bytes(self, images: np.ndarray) -> np.ndarray:
        if images.dtype == np.uint8:
            return images
        if images.dtype.kind not in "fiu":
            raise InputError(f"{self.where}: dtype is {images.dtype}; images are numbers")
        if not np.isfinite(images).all():
            raise InputError(f"{self.where}: holds a number that is not finite")
        # What a generator without a bounded last layer adds at the ends is clipped.
        least, most = float(images.min()), float(images.max())
        if images.dtype.kind != "f" or most > 2.0:
            low, high = 0.0, 255.0
        else:
            low, high = (-1.0 if least < -0.5 else 0.0), 1.0
        margin = (high - low) / 2 if images.dtype.kind == "f" else 0.0
        if least < low - margin or most > high + margin:
            raise InputError(
                f"{self.where}: {least:.3g} to {most:.3g} found; images span 0 to 255, 0 to 1, or "
                "-1 to 1"
            )
        say(self.console, f"{images.dtype} images understood as spanning {low:g} to {high:g}")
        return to_uint8((images.astype(np.float64) - low) / (high - low) * 2.0 - 1.0)
