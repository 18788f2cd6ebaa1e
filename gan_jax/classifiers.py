"""The classifier of a data set, trained once and kept in the cache, and what else is kept there."""

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from gan_jax.data import Dataset, Part
from gan_jax.environment import cache_dir
from gan_jax.evaluation.features import (
    LEAST_LABELLED,
    Classifier,
    read,
    train_classifier,
    untrained,
)
from gan_jax.progress import stage

__all__ = ["classifier_of", "fingerprint", "keep", "kept"]

_FORMAT = 2  # raise it when the classifier comes out differently
_SEED = 0


def classifier_of(dataset: Dataset, console: Console) -> tuple[Classifier, float]:
    """The classifier of a data set, and its accuracy on the test rows; trained once, then kept."""
    assert isinstance(dataset.train, Part)
    shape, labels = dataset.sample_shape, dataset.train.labels
    held_out = dataset.test.labels
    few = _labelled(labels) < LEAST_LABELLED or _labelled(held_out) == 0
    if labels is None or held_out is None or dataset.classes < 2 or few:
        return untrained(shape, dataset.classes, _SEED), 0.0
    path = kept(dataset.fingerprint, "classifier.npz")
    classifier = _read_classifier(path, untrained(shape, dataset.classes))
    if classifier is None:
        text = f"training a classifier on {dataset.name}, once"
        with stage(console, f"{text} ...") as change:

            def progress(step: int, steps: int) -> None:
                if step % 50 == 0:
                    change(f"{text}: {100 * step // steps}%")

            classifier = train_classifier(
                dataset.train.samples, labels, dataset.classes, seed=_SEED, progress=progress
            )
        with tempfile.TemporaryFile() as file:
            arrays = {name: np.asarray(value) for name, value in classifier.params.items()}
            np.savez(file, **arrays)  # pyright: ignore
            file.seek(0)
            keep(path, file.read())
    path = kept(fingerprint(dataset), "accuracy")
    try:
        return classifier, float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = read(classifier, dataset.test.samples).probabilities.argmax(1)
        accuracy = float((said == held_out)[held_out >= 0].mean())
        keep(path, str(accuracy).encode())
        return classifier, accuracy


def _labelled(labels: np.ndarray | None) -> int:
    return 0 if labels is None else int((labels >= 0).sum())


def _read_classifier(path: Path, like: Classifier) -> Classifier | None:
    """The one kept there; None where there is none, or what is left of one."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            params = {name: jnp.asarray(file[name]) for name in like.params}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    same = all(params[name].shape == value.shape for name, value in like.params.items())
    return like._replace(params=params, trained=True) if same else None


def fingerprint(dataset: Dataset) -> str:
    """Of the rows trained on and of those compared with."""
    digest = hashlib.sha256(dataset.fingerprint.encode())
    for field in dataset.test:
        if field is not None:
            digest.update(np.ascontiguousarray(field).data)
    return digest.hexdigest()


def kept(fingerprint: str, name: str) -> Path:
    """Where something lies that depends on nothing but data and how it is made."""
    digest = hashlib.sha256(f"{_FORMAT} {fingerprint}".encode()).hexdigest()
    return cache_dir() / "judges" / digest[:32] / name


def keep(path: Path, content: bytes) -> None:
    """Whole or not at all; a cache is a convenience."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except OSError:
        pass
