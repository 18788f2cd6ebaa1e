"""Folders of idx files, the format in which MNIST and its relatives are published."""

import gzip
import io
import math
import re
import struct
from pathlib import Path

import numpy as np

from gan_jax.data.cache import cached
from gan_jax.data.checks import as_images, as_labels, check_size, combine, listed, reading, shown
from gan_jax.data.dataset import Part, Source
from gan_jax.errors import InputError

__all__ = ["find_idx", "load_idx", "read_idx"]

# Also matches EMNIST's longer names, and the dot some mirrors put before "idx".
NAME = re.compile(r".*(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")
GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTES = b"\x00\x00\x08"  # how an idx file of uint8 begins; the rank follows

Files = dict[tuple[str, str], Path]  # by part ("train", "test") and content ("images", "labels")


def find_idx(folder: Path) -> Files:
    """The idx files in a folder; {} where there is none.

    Raises:
        InputError: two files compete for one role.
    """
    found: Files = {}
    for path in listed(folder):  # sorted, so that a file comes before its gzipped self
        match = NAME.fullmatch(path.name)
        if match is None:
            continue
        role = ("train" if match[1] == "train" else "test", match[2])
        chosen = found.setdefault(role, path)
        if path.name.removesuffix(".gz") != chosen.name.removesuffix(".gz"):
            raise InputError(
                f"{shown(folder)}: both {shown(chosen.name)} and {shown(path.name)} could be the "
                f"{role[0]} {role[1]}; keep one of them in the folder"
            )
    return found


def load_idx(folder: Path, files: Files) -> Source:
    """The images in those files as ``[rows, height, width, 1]`` uint8, with any labels.

    Raises:
        InputError: no training images, or a file that is damaged or does not fit the others.
    """
    for part in ("train", "test"):
        if (part, "images") not in files and (part == "train" or (part, "labels") in files):
            raise InputError(f"{shown(folder)}: no idx file of {part} images in this folder")
    return cached("idx", files.values(), lambda: _decode(folder, files))


def read_idx(path: Path) -> np.ndarray:
    """The array in one idx file of unsigned bytes, gzipped or not.

    Raises:
        InputError: the file cannot be read or is no such file.
    """
    where = shown(path)
    with reading(where), _opened(path) as stream:
        start = stream.read(4)
        if start[:3] != UNSIGNED_BYTES or start[3:] not in (b"\x01", b"\x03"):
            raise InputError(
                f"{where}: begins with {start.hex() or 'nothing'}; an idx file of images or "
                "labels begins with 00000803 or 00000801"
            )
        shape = struct.unpack(f">{start[3]}I", stream.read(4 * start[3]))
        size = math.prod(shape)
        check_size(where, size)
        content = stream.read(size + 1)  # one more, to notice what should not be there
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content):,}"
        raise InputError(f"{where}: promises {size:,} bytes of shape {shape} and holds {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    with path.open("rb") as stream:
        compressed = stream.read(2) == GZIP_MAGIC
    return gzip.open(path) if compressed else path.open("rb")


def _decode(folder: Path, files: Files) -> Source:
    test = _part(files, "test") if ("test", "images") in files else None
    return combine(shown(folder), _part(files, "train"), test)


def _part(files: Files, part: str) -> Part:
    image_path, label_path = files[part, "images"], files.get((part, "labels"))
    images = as_images(shown(image_path), read_idx(image_path))
    if label_path is None:
        return Part(images)
    return Part(images, as_labels(shown(label_path), read_idx(label_path), len(images)))
