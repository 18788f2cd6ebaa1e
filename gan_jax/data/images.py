"""Folders of still images; a folder of folders is labelled by their names."""

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gan_jax.data.cache import cached
from gan_jax.data.checks import check_size, combine, listed, reading, shown
from gan_jax.data.dataset import Part, Source
from gan_jax.errors import InputError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["load_images"]

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # no other decoder of Pillow's sees the user's files
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
CHANNELS = {"L": 1, "RGB": 3}
PARTS = ["test", "train"]
_LIKE_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}
_OTHER_SUFFIXES = {".gif", ".tif", ".tiff", ".ppm", ".pgm", ".heic", ".avif"}


class _Listing(NamedTuple):
    files: list[Path]
    labels: list[int] | None  # for each file, a position in `classes`; None = no labels
    classes: list[str]


def load_images(folder: Path) -> Source:
    """Images of one size as ``[rows, height, width, 1 or 3]`` uint8.

    Sub-folders are classes, in the order of their names. Two sub-folders named ``train`` and
    ``test`` are parts instead, and may hold images or classes in turn.

    Raises:
        InputError: no image, one that cannot be used, or one unlike the others.
    """
    folders = [path.name for path in listed(folder) if path.is_dir()]
    if folders != PARTS:
        if folders and set(folders) <= _LIKE_PARTS:
            raise InputError(
                f"{shown(folder)}: sub-folders {_names(folders)} look like parts, not classes; "
                "parts are two, train and test"
            )
        train, test = _list(folder), None
    else:
        loose = _images(folder)
        if loose:
            raise InputError(
                f"{shown(folder)}: images both here ({shown(loose[0].name)}) and in train and test"
            )
        train, test = _list(folder / "train"), _list(folder / "test")
        if train.classes != test.classes:
            raise InputError(
                f"{shown(folder)}: train and test must have the same classes; found "
                f"{_names(train.classes)} and {_names(test.classes)}"
            )
    files = train.files + (test.files if test else [])
    # The same files are other labels when they are found from another folder.
    kind = f"upright images below {folder.absolute()}"
    return cached(kind, files, lambda: _decode(folder, train, test))


def _decode(folder: Path, train: _Listing, test: _Listing | None) -> Source:
    test_part = _part(test) if test else None
    return combine(shown(folder), _part(train), test_part, len(train.classes))


def _part(listing: _Listing) -> Part:
    labels = None if listing.labels is None else np.array(listing.labels, np.int32)
    return Part(_pixels(listing.files), labels)


def _list(folder: Path) -> _Listing:
    files, folders = _images(folder), [path for path in listed(folder) if path.is_dir()]
    by_class = {path.name: _images(path) for path in folders}
    if files and any(by_class.values()):
        raise InputError(
            f"{shown(folder)}: images both here ({shown(files[0].name)}) and in sub-folders "
            f"({_names(list(by_class))}); use either images or one folder for each class"
        )
    if files:
        return _Listing(files, None, [])
    for path in folders:
        deeper = next((p for p in listed(path) if p.is_dir() and _images(p)), None)
        if deeper is not None:
            raise InputError(
                f"{shown(deeper)}: images below a class's folder; one level of classes is allowed"
            )
        if not by_class[path.name]:
            raise InputError(f"{shown(path)}: no image in this class ({', '.join(SUFFIXES)})")
    if not folders:
        raise InputError(f"{shown(folder)}: no image in this folder ({', '.join(SUFFIXES)})")
    labels = [label for label, each in enumerate(by_class.values()) for _ in each]
    return _Listing([path for each in by_class.values() for path in each], labels, list(by_class))


def _images(folder: Path) -> list[Path]:
    found = listed(folder)
    for path in found:
        if path.suffix.lower() in _OTHER_SUFFIXES:
            raise InputError(f"{shown(path)}: images have to be {', '.join(SUFFIXES)}")
    return [path for path in found if path.suffix.lower() in SUFFIXES]


def _names(names: list[str]) -> str:
    return ", ".join(shown(name) for name in names) or "none"


def _pixels(files: list[Path]) -> np.ndarray:
    """All images in one array, as their cameras held them; the first decides about the others."""
    from PIL import ImageOps

    first, images = "", np.empty(0, np.uint8)
    for row, path in enumerate(files):
        with _opened(path) as image:
            _check(shown(path), image)
            ImageOps.exif_transpose(image, in_place=True)
            kind = f"{image.width}x{image.height} {'grey' if image.mode == 'L' else 'RGB'}"
            if row == 0:
                shape = (len(files), image.height, image.width, CHANNELS[image.mode])
                check_size(shown(path.parent), math.prod(shape))
                first, images = kind, np.empty(shape, np.uint8)
            elif kind != first:
                raise InputError(
                    f"{shown(path)}: {kind}, but {shown(files[0])} is {first}; "
                    "all images must be alike"
                )
            images[row] = np.asarray(image).reshape(images.shape[1:])
    return images


@contextlib.contextmanager
def _opened(path: Path) -> Iterator["ImageFile"]:
    from PIL import Image  # here, because a start from the cache does without

    with reading(shown(path)), warnings.catch_warnings():
        # Pillow refuses a header that claims absurdly many pixels, but only warns of very many.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as image:
            yield image


def _check(where: str, image: "ImageFile") -> None:
    """Refuse, by its header alone, an image of another kind than is allowed."""
    problem = _problem(image)
    if problem:
        raise InputError(
            f"{where}: {problem} is not allowed; save it as a still of 8 bits, grey (L) or RGB"
        )


def _problem(image: "ImageFile") -> str:
    if image.mode not in CHANNELS:
        return f"mode {image.mode}"
    if any(";16B" in str(tile[3]) for tile in image.tile):
        return "16 bits a channel"  # of which Pillow would silently drop the lower half
    if "transparency" in image.info:
        return "transparency"
    # A JPEG may carry a thumbnail as a second frame; the first is the image nevertheless.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        return "more than one frame"
    return ""
