"""Image sets as tensorflow-datasets keeps them on disk, read without TensorFlow.

Folders are found by path, so that a start from the cache imports none of tensorflow-datasets.
"""

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data.cache import cached
from gan_jax.data.checks import as_images, as_labels, check_size, combine, listed, reading, shown
from gan_jax.data.dataset import Part, Source
from gan_jax.data.preparing import image_and_label, instructions, obtainable, prepare
from gan_jax.errors import InputError

__all__ = ["load_prepared", "refuse_unobtainable"]

NAME = re.compile(r"\w+(/\w[\w.+-]*)?")  # with any configuration
VERSION = re.compile(r"\d+\.\d+\.\d+")
BLOCK = 1_000  # records decoded at a time: enough to hide the cost of a call, little to hold


def load_prepared(name: str, data_dir: str, tell: Callable[[str], None]) -> Source:
    """An image set of tensorflow-datasets, prepared first where that can be done.

    Args:
        name: As tensorflow-datasets calls it, with any configuration.
        data_dir: Where it keeps its files; if empty, where the environment says.
        tell: Is given a line before what takes long.

    Raises:
        InputError: no such set, one that cannot be prepared here, or one of no fixed image shape.
    """
    root = _root(name, data_dir)
    folder = _find(name, root) or prepare(name, root)
    with reading(shown(folder)):
        info = json.loads((folder / "dataset_info.json").read_text())
        file_format = info.get("fileFormat", "tfrecord")
    if file_format != "array_record":
        other = root.with_name(f"{root.name}_array_record")
        raise InputError(
            f"{shown(folder)}: prepared as {file_format}, which only TensorFlow reads; give "
            f"{shown(other)} as data_dir, prepared by: {instructions(name, other)}"
        )

    def decode() -> Source:
        tell(f"decoding {name}, once: the next start finds it decoded")
        return _decode(folder)

    return cached("tfds", listed(folder), decode)


def refuse_unobtainable(name: str, data_dir: str) -> None:
    """Refuse a set that is not prepared, and cannot be as far as can be told in a second.

    Raises:
        InputError: as `load_prepared`.
    """
    root = _root(name, data_dir)
    if _find(name, root) is None:
        obtainable(name, root)


def _root(name: str, data_dir: str) -> Path:
    if NAME.fullmatch(name) is None:
        raise InputError(f"dataset: '{shown(name)}' is no file, folder or known data set")
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(os.path.expanduser(chosen))


def _find(name: str, root: Path) -> Path | None:
    """The folder of the newest version prepared, or None."""
    home = root / name
    versions = _versions(home)
    if versions:
        return max(versions, key=lambda path: [int(number) for number in path.name.split(".")])
    children = listed(home) if os.path.isdir(home) else []
    configs = [f"{name}/{shown(child.name)}" for child in children if _versions(child)]
    if configs:
        raise InputError(f"dataset: {name!r} must name one of {', '.join(configs)}")
    return None


def _versions(folder: Path) -> list[Path]:
    candidates = listed(folder) if os.path.isdir(folder) else []
    return [
        path
        for path in candidates
        if VERSION.fullmatch(path.name) and (path / "dataset_info.json").is_file()
    ]


@contextlib.contextmanager
def _no_word_of_opencv() -> Iterator[None]:
    """Without the warning that another decoder would be faster, which nobody has to act on."""

    def others(record: logging.LogRecord) -> bool:
        return "OpenCV is not installed" not in record.getMessage()

    logger = logging.getLogger("absl")  # which absl has to make: tensorflow-datasets imports it
    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)


def _decode(folder: Path) -> Source:
    import tensorflow_datasets as tfds

    where = shown(folder)
    with reading(where):
        builder: Any = tfds.builder_from_directory(folder)
        splits = set(builder.info.splits)
    image, label = image_and_label(where, builder.info)
    if "train" not in splits:
        raise InputError(f"{where}: no split named train; found {', '.join(sorted(splits))}")
    held_out = next((split for split in ("test", "validation") if split in splits), None)
    with _no_word_of_opencv():
        train = _part(where, builder, "train", image, label)
        test = _part(where, builder, held_out, image, label) if held_out else None
    note = "no test part: the validation part is used as one" if held_out == "validation" else ""
    classes = builder.info.features[label].num_classes if label else None
    return combine(where, train, test, classes, note)


def _part(where: str, builder: Any, split: str, image: str, label: str | None) -> Part:
    where = f"{where}: {split}"
    with reading(where):
        import tensorflow_datasets as tfds

        from gan_jax.data.pngs import decode_alike  # here, for a start from the cache needs no PIL

        # Left to itself it spends more on each record than on the image in it.
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        source = builder.as_data_source(split, deserialize_method=raw)
    feature = builder.info.features[image]
    images, labels = np.empty(0, np.uint8), np.full(len(source), -1, np.int32)
    row = 0
    for encoded, found_labels in _records(where, source, image, label):
        with reading(where):
            # A set of colour images may hold grey ones, which are colour once decoded.
            block = decode_alike(encoded) if feature.shape[-1] == 1 else None
            if block is None:
                block = [feature.decode_example_np(each) for each in encoded]
        labels[row : row + len(encoded)] = found_labels
        for found in block:
            if row == 0:
                check_size(where, len(source) * found.nbytes)
                images = np.empty((len(source), *found.shape), found.dtype)
            elif found.shape != images.shape[1:]:
                raise InputError(
                    f"{where}: row {row} has shape {found.shape}, row 0 has {images.shape[1:]}; "
                    "all images must be of one size"
                )
            images[row] = found
            row += 1
    return Part(
        as_images(f"{where}: {image}", images),
        None if label is None else as_labels(f"{where}: {label}", labels, len(images)),
    )


def _records(
    where: str, source: Any, image: str, label: str | None
) -> Iterator[tuple[list[bytes], list[int]]]:
    """Images as they are stored, and their labels, -1 where there are none; a block at a time."""
    from tensorflow_datasets.proto import tf_example_pb2

    parse = tf_example_pb2.Example.FromString  # type: ignore[attr-defined]
    for start in range(0, len(source), BLOCK):
        with reading(where):
            rows = list(range(start, min(start + BLOCK, len(source))))
            examples = map(parse, source.__getitems__(rows))
            features = [example.features.feature for example in examples]
            images = [each[image].bytes_list.value[0] for each in features]
            labels = [each[label].int64_list.value[0] if label else -1 for each in features]
        yield images, labels
