"""What arrays must look like to be trained on, and how a message names where they came from."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gan_jax.data.dataset import Part, Source
from gan_jax.errors import InputError

__all__ = [
    "MAX_BYTES",
    "as_images",
    "as_labels",
    "as_samples",
    "as_vectors",
    "check_file",
    "check_size",
    "combine",
    "listed",
    "reading",
    "reason",
    "shown",
]

# All rows are held in host memory, and setting some of them aside copies the rest once.
MAX_BYTES = 8 * 2**30
# Beyond this a label is an identifier, not a class: each class costs a row in every network.
MAX_CLASSES = 65_536
CHANNELS = (1, 3)  # grey, colour


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one printable line, whatever bytes its name holds."""
    return "".join(letter if letter.isprintable() else "?" for letter in os.fspath(path))


def reason(error: BaseException) -> str:
    """What an exception says, as one printable line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown(" ".join(text.split()))


@contextlib.contextmanager
def reading(where: str, failure: str = "cannot be read") -> Iterator[None]:
    """Around code that decodes bytes from outside: whatever it raises becomes an InputError.

    Raises:
        InputError: names the file, the failure and its reason.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # decoders promise no particular type for damaged bytes
        raise InputError(f"{where}: {failure} ({reason(error)})") from error


def listed(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name, without hidden entries.

    Raises:
        InputError: the folder cannot be read.
    """
    with reading(shown(folder)):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def check_file(path: Path) -> None:
    """Refuse what could keep us waiting for ever once it is opened, as a pipe does.

    Raises:
        InputError: there is something, and neither a file nor a folder.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise InputError(f"{shown(path)}: neither a file nor a folder")


def check_size(where: str, size: int) -> None:
    """Refuse what would not fit, before it is decoded.

    Raises:
        InputError: more than `MAX_BYTES` bytes.
    """
    if size > MAX_BYTES:
        raise InputError(
            f"{where}: {size:,} bytes when decoded; at most {MAX_BYTES:,} are held in memory"
        )


def as_images(where: str, array: np.ndarray) -> np.ndarray:
    """Images as ``[rows, height, width, channels]`` uint8.

    Raises:
        InputError: another dtype or shape.
    """
    if array.dtype != np.uint8:
        raise InputError(
            f"{where}: dtype is {array.dtype}; images must be uint8, 0 to 255{_as_uint8(array)}"
        )
    images = array[..., np.newaxis] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[-1] not in CHANNELS:
        raise InputError(
            f"{where}: shape is {array.shape}; images must be [rows, height, width] "
            "or [rows, height, width, 1 or 3]"
            + "; save x.transpose(0, 2, 3, 1)"
            * (array.ndim == 4 and array.shape[1] in CHANNELS)
        )
    return _not_empty(where, images)


def _as_uint8(array: np.ndarray) -> str:
    """What to save in place of such images, if that can be told."""
    if array.dtype.kind not in "biuf" or not array.size:
        return ""
    low, high = array.min() + 0, array.max() + 0  # no -0.0
    ways = {
        "(255 * x).round().astype('uint8')": low >= 0 and high <= 1,
        "(127.5 * (x + 1)).round().astype('uint8')": low >= -1 and high <= 1,
        "x.round().astype('uint8')": low >= 0 and high <= 255,
    }
    way = next((way for way, fits in ways.items() if fits), "")
    return f"; these are {low:.4g} to {high:.4g}" + f": save {way}" * bool(way)


def as_vectors(where: str, array: np.ndarray) -> np.ndarray:
    """Samples that are no images as ``[rows, features]`` float32.

    Raises:
        InputError: another dtype or shape, or a value that is not a finite float32.
    """
    if array.dtype.kind != "f":
        raise InputError(f"{where}: dtype is {array.dtype}; samples must be floating point")
    if array.ndim != 2:
        raise InputError(f"{where}: shape is {array.shape}; samples must be [rows, features]")
    with np.errstate(over="ignore"):  # an overflow is caught below, as infinity
        samples = array.astype(np.float32)
    finite = np.isfinite(samples).all(axis=1)
    if not finite.all():
        raise InputError(f"{where}: row {finite.argmin()} is not finite in float32")
    return _not_empty(where, samples)


def as_samples(where: str, array: np.ndarray) -> np.ndarray:
    """Images where the dtype is uint8, else vectors.

    Raises:
        InputError: the array is neither.
    """
    if array.dtype == np.uint8:
        return as_images(where, array)
    if array.dtype.kind == "f" and array.ndim == 2:
        return as_vectors(where, array)
    raise InputError(
        f"{where}: {array.dtype} of shape {array.shape}; allowed are uint8 images "
        "[rows, height, width], with 1 or 3 channels last, and float samples [rows, features]"
    )


def as_labels(where: str, array: np.ndarray, rows: int) -> np.ndarray:
    """Labels as ``[rows]`` int32.

    Raises:
        InputError: no integers, another number of them than rows, or one out of range.
    """
    if array.dtype.kind not in "iu":
        raise InputError(f"{where}: dtype is {array.dtype}; labels must be integers")
    if array.shape not in {(rows,), (rows, 1)}:  # Keras keeps CIFAR's labels as [rows, 1]
        raise InputError(f"{where}: shape is {array.shape}; there must be one for each of {rows}")
    for label in (array.min(), array.max()):
        if not -1 <= label < MAX_CLASSES:
            raise InputError(
                f"{where}: label {label} is not allowed; labels are 0 to {MAX_CLASSES - 1}, "
                "or -1 for a row without one"
            )
    return array.reshape(rows).astype(np.int32)


def combine(
    where: str, train: Part, test: Part | None, classes: int | None = None, note: str = ""
) -> Source:
    """Both parts as one source; `classes` counted from the labels where nobody knows better.

    Raises:
        InputError: the two parts do not belong together.
    """
    if test is not None and test.samples.shape[1:] != train.samples.shape[1:]:
        raise InputError(
            f"{where}: test samples have shape {test.samples.shape[1:]}, "
            f"training samples {train.samples.shape[1:]}; they must be the same"
        )
    if train.labels is None:
        if test is not None and test.labels is not None:
            raise InputError(f"{where}: the test part has labels and the training part has none")
        return Source(train, test, 0, note)
    if classes is None:
        labels = [part.labels for part in (train, test) if part and part.labels is not None]
        classes = 1 + max(int(each.max()) for each in labels)
    return Source(train, test, classes, note)


def _not_empty(where: str, samples: np.ndarray) -> np.ndarray:
    if 0 in samples.shape:
        raise InputError(f"{where}: shape is {samples.shape}; no length may be 0")
    return samples
