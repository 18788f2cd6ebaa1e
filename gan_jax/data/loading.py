"""From a name or a path to a data set: which reader, and which rows are set aside."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from gan_jax.data.arrays import load_npy, load_npz
from gan_jax.data.checks import shown
from gan_jax.data.dataset import Dataset, Part, Source
from gan_jax.data.digits import load_digits
from gan_jax.data.idx import find_idx, load_idx
from gan_jax.data.images import load_images
from gan_jax.data.mixtures import MIXTURES, load_mixture
from gan_jax.data.prepared import load_prepared, refuse_unobtainable
from gan_jax.errors import InputError

__all__ = ["NAMES", "load", "location", "refuse_unknown"]

# What to offer first; tensorflow-datasets knows hundreds more. These names always mean these data
# sets: for a folder of the same name say "./mnist".
BUILT_IN: Mapping[str, Callable[[], Source]] = {"digits": load_digits}
NAMES = (*BUILT_IN, "mnist", "fashion_mnist", "kmnist", *MIXTURES)
TEST_SHARE = 0.1


def load(
    dataset: str,
    *,
    data_dir: str = "",
    validation: float = 0.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """A data set by name or path.

    Args:
        dataset: One of `NAMES`, any image set of tensorflow-datasets (``name`` or
            ``name/config``), a ``.npz`` or ``.npy`` file, or a folder of idx files or of images.
        data_dir: Where tensorflow-datasets keeps its files; if empty, ``$TFDS_DATA_DIR`` or else
            ``~/tensorflow_datasets``.
        validation: Share of the training rows to set aside for choosing between runs, in [0, 1);
            a mixture, whose rows are endless, draws 10,000 for it whatever the share.
        tell: Is given a line for the user before what takes long.

    Raises:
        InputError: no such data set, or one that cannot be used; the message names the file.
    """
    if not 0 <= validation < 1:
        raise InputError(f"validation: {validation} is not allowed; at least 0 and less than 1")
    if dataset in MIXTURES:
        return load_mixture(dataset, validation=validation > 0)
    return _split(dataset, _read(dataset, data_dir, tell), validation)


def refuse_unknown(dataset: str, data_dir: str) -> None:
    """Refuse a name of no data set, or of one that cannot be had here; jax is not needed to tell.

    Raises:
        InputError: as `load`.
    """
    if dataset not in (*BUILT_IN, *MIXTURES) and location(dataset) is None:
        refuse_unobtainable(dataset, data_dir)


def _read(dataset: str, data_dir: str, tell: Callable[[str], None]) -> Source:
    if dataset in BUILT_IN:
        return BUILT_IN[dataset]()
    path = location(dataset)
    return load_prepared(dataset, data_dir, tell) if path is None else _read_path(path)


def location(dataset: str) -> Path | None:
    """Where the user's own data lie; None where `dataset` is a name."""
    path = os.path.expanduser(dataset)
    return None if dataset in NAMES or not os.path.exists(path) else Path(path)


def _read_path(path: Path) -> Source:
    if path.is_dir():
        files = find_idx(path)
        return load_idx(path, files) if files else load_images(path)
    readers = {".npy": load_npy, ".npz": load_npz}
    if path.suffix.lower() not in readers:
        raise InputError(f"{shown(path)}: not a folder, and not a file named .npz or .npy")
    return readers[path.suffix.lower()](path)


def _split(name: str, source: Source, validation: float) -> Dataset:
    """Test rows come first: what a run is chosen by must not move what it is judged by."""
    train, test, note = source.train, source.test, source.note
    if test is None:
        rows = len(train.samples)
        train, test = _set_aside(name, train, TEST_SHARE)
        note = f"no test part: {len(test.samples)} of {rows} rows were set aside for it"
    chosen_by = None
    if validation:
        train, chosen_by = _set_aside(name, train, validation)
        aside = f"{len(chosen_by.samples)} training rows were set aside to choose by"
        note = f"{note}; {aside}" if note else aside
    return Dataset(name, train, chosen_by, test, source.classes, note)


def _set_aside(name: str, part: Part, share: float) -> tuple[Part, Part]:
    """The rest and the share, both in their old order; always the same rows."""
    rows = len(part.samples)
    count = max(1, round(share * rows))
    if count >= rows:
        raise InputError(f"{shown(name)}: {rows} rows are too few to set {count} of them aside")
    # The one stream of random numbers that NumPy promises never to change (NEP 19).
    order = np.random.RandomState(0).permutation(rows)
    aside = np.zeros(rows, bool)
    aside[order[:count]] = True
    return _rows(part, ~aside), _rows(part, aside)


def _rows(part: Part, chosen: np.ndarray) -> Part:
    return Part(part.samples[chosen], None if part.labels is None else part.labels[chosen])
