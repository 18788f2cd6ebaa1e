"""NumPy's own files: one array (.npy), or several by name (.npz). Pickles are never read."""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from gan_jax.data.checks import (
    as_images,
    as_labels,
    as_samples,
    as_vectors,
    check_file,
    check_size,
    combine,
    reading,
    shown,
)
from gan_jax.data.dataset import Part, Source
from gan_jax.errors import InputError

__all__ = ["load_npy", "load_npz", "read_npz"]

Check = Callable[[str, np.ndarray], np.ndarray]
# Training samples and labels, then test samples and labels; the last row is how Keras names them.
LAYOUTS: dict[tuple[str, str, str, str], Check] = {
    ("images", "labels", "test_images", "test_labels"): as_images,
    ("samples", "labels", "test_samples", "test_labels"): as_vectors,
    ("x_train", "y_train", "x_test", "y_test"): as_samples,
}
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_npy(path: Path) -> Source:
    """A single array: uint8 images or float samples, without labels.

    Raises:
        InputError: the file is damaged, or holds something else.
    """
    where = shown(path)
    check_file(path)
    with reading(where), path.open("rb") as stream:
        check_size(where, _declared_size(where, stream, path.stat().st_size))
        stream.seek(0)
        array = npy.read_array(stream, allow_pickle=False)
    return combine(where, Part(as_samples(where, array)), None)


def load_npz(path: Path) -> Source:
    """Training samples by name, with any labels and any test part.

    Raises:
        InputError: the file is damaged, or an array in it is missing, unknown or unfit.
    """
    where = shown(path)
    check_file(path)
    with reading(where), zipfile.ZipFile(path) as archive:
        keys = {name.removesuffix(".npy"): name for name in archive.namelist()}
        layout = _layout(where, keys)
        arrays = _members(where, archive, list(keys))
    samples, labels, test_samples, test_labels = layout
    check = LAYOUTS[layout]
    train = _part(where, arrays, samples, labels, check)
    has_test = test_samples in arrays
    test = _part(where, arrays, test_samples, test_labels, check) if has_test else None
    return combine(where, train, test)


def read_npz(
    path: Path, samples: tuple[str, ...], labels: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Samples and any labels under the first of these names that there are, as they are.

    Returns:
        Both, and the names of all other arrays, which are not read.

    Raises:
        InputError: the file is damaged, or has no array of those names.
    """
    where = shown(path)
    check_file(path)
    with reading(where, "cannot be read as an .npz"), zipfile.ZipFile(path) as archive:
        keys = sorted(name.removesuffix(".npy") for name in archive.namelist())
        chosen = [next((n for n in names if n in keys), None) for names in (samples, labels)]
        if chosen[0] is None:
            found = ", ".join(shown(key) for key in keys) or "none"
            raise InputError(
                f"{where}: the arrays in it are {found}; one of {', '.join(samples)} is needed"
            )
        wanted = [key for key in chosen if key is not None]
        arrays = _members(where, archive, wanted)
    others = tuple(key for key in keys if key not in wanted)
    return arrays[chosen[0]], arrays.get(chosen[1] or ""), others


def _layout(where: str, keys: dict[str, str]) -> tuple[str, str, str, str]:
    for layout in LAYOUTS:
        samples, _, test_samples, test_labels = layout
        lonely = test_labels in keys and test_samples not in keys
        if samples in keys and keys.keys() <= set(layout) and not lonely:
            return layout
    found = ", ".join(shown(key) for key in sorted(keys)) or "none"
    allowed = "; or ".join(", ".join(layout) for layout in LAYOUTS)
    raise InputError(
        f"{where}: the arrays in it are {found}; allowed are {allowed} "
        "(in each row only the first is needed, and test labels need test samples)"
    )


def _member_size(where: str, archive: zipfile.ZipFile, key: str) -> int:
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as stream:
        return _declared_size(f"{where}: {key}", stream, info.file_size)


def _members(where: str, archive: zipfile.ZipFile, keys: list[str]) -> dict[str, np.ndarray]:
    """Arrays by name, once it is known that together they fit."""
    check_size(where, sum(_member_size(where, archive, key) for key in keys))
    arrays = {}
    for key in keys:
        with archive.open(f"{key}.npy") as stream:
            arrays[key] = npy.read_array(stream, allow_pickle=False)
    return arrays


def _declared_size(where: str, stream: IO[bytes], available: int) -> int:
    """How many bytes an array will take, from its header alone, which must tell the truth."""
    version = npy.read_magic(stream)
    if version not in HEADERS:  # the third is only for field names in Unicode
        raise InputError(f"{where}: .npy format {version} is not allowed; use (1, 0) or (2, 0)")
    shape, _, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise InputError(f"{where}: dtype is object, which needs pickle; save plain numbers")
    size = math.prod(shape) * dtype.itemsize
    if size != available - stream.tell():
        raise InputError(
            f"{where}: promises {size:,} bytes of shape {shape} and "
            f"holds {available - stream.tell():,}"
        )
    return size


def _part(
    where: str, arrays: dict[str, np.ndarray], samples: str, labels: str, check: Check
) -> Part:
    checked = check(f"{where}: {samples}", arrays[samples])
    if labels not in arrays:
        return Part(checked)
    return Part(checked, as_labels(f"{where}: {labels}", arrays[labels], len(checked)))
