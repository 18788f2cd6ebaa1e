"""Samples of a finished run, as numbers or as a picture."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax.config import Config
from gan_jax.data.checks import MAX_BYTES
from gan_jax.errors import InputError
from gan_jax.files import replacing
from gan_jax.gan import GAN
from gan_jax.report import draw_samples, to_uint8
from gan_jax.runs import Run, load
from gan_jax.state import GANState
from gan_jax.types import Key

__all__ = [
    "by_class",
    "categories_in_turn",
    "check_output",
    "labels_in_turn",
    "sample_run",
    "sampler",
    "write_samples",
]

_BLOCK = 1_000  # rows drawn at a time
_SUFFIXES = (".npz", ".png")
_MOST_DRAWN = 10_000  # on one picture


def sampler(gan: GAN, kinds: int = 0) -> Callable[..., np.ndarray]:
    """``(state, count, seed=0, labels=None, categories=None) -> samples``, of the average.

    The first n samples under a seed (and the same labels) are the same, however many are asked for.
    Images come as ``[count, height, width, channels]`` uint8, others as ``[count, features]``
    float32. Labels, ``[count]``, are what a conditional generator is asked for; categories,
    ``[count]``, are of the ``kinds`` that its latents hold. Given none, it draws them.
    """

    @jax.jit
    def draw(state: GANState, key: Key, labels: Any, categories: Any) -> jax.Array:
        chosen = None if categories is None else jax.nn.one_hot(categories, kinds)
        return gan.sample(state, key, _BLOCK, labels, chosen)

    def sample(
        state: GANState,
        count: int,
        seed: int = 0,
        labels: np.ndarray | None = None,
        categories: np.ndarray | None = None,
    ) -> np.ndarray:
        key = jax.random.key(seed)

        def block(number: int) -> np.ndarray:
            def part(asked: np.ndarray | None) -> np.ndarray | None:
                if asked is None:
                    return None
                asked = asked[number * _BLOCK : (number + 1) * _BLOCK].astype(np.int32)
                return np.pad(asked, (0, _BLOCK - len(asked)))

            key_here = jax.random.fold_in(key, number)
            samples = np.asarray(draw(state, key_here, part(labels), part(categories)))
            return to_uint8(samples) if samples.ndim == 4 else samples

        return np.concatenate([block(number) for number in range(-(-count // _BLOCK))])[:count]

    return sample


def labels_in_turn(
    config: Config, count: int, asked: Sequence[int] | None = None
) -> np.ndarray | None:
    """What to ask a conditional generator for: as many of each label, one label after the other.

    Args:
        config: the run's.
        count: how many samples there will be.
        asked: the labels, in order; all classes by default.

    Returns:
        Labels ``[count]`` int32; None where the generator is not conditional.

    Raises:
        InputError: labels for a generator that takes none, or one that is no class.
    """
    if config.generator.condition == "none":
        if asked:
            raise InputError(
                "labels: this generator is not conditional; train one with --recipe cgan"
            )
        return None
    return _in_turn("labels", asked or range(config.classes), config.classes, count)


def categories_in_turn(
    config: Config, count: int, asked: Sequence[int] | None = None
) -> np.ndarray | None:
    """Which categories of the latents to choose, in turn as `labels_in_turn` does; None if any.

    Raises:
        InputError: categories for a generator that has none, or one that is none of them.
    """
    if not asked:
        return None
    if not config.generator.categories:
        raise InputError(
            "categories: this generator's latents hold none; train one with --recipe infogan"
        )
    return _in_turn("categories", asked, config.generator.categories, count)


def _in_turn(field: str, asked: Sequence[int], kinds: int, count: int) -> np.ndarray:
    for one in asked:
        if not 0 <= one < kinds:
            raise InputError(f"{field}: {one} is out of range; 0 to {kinds - 1} is allowed")
    return np.asarray(asked, np.int32)[np.arange(count) * len(asked) // count]


def sample_run(
    path: str | Path,
    count: int,
    seed: int = 0,
    *,
    labels: np.ndarray | None = None,
    categories: np.ndarray | None = None,
    best: bool = False,
    temperature: float | None = None,
) -> np.ndarray:
    """Samples of a run's averaged generator.

    Args:
        path: the run's folder.
        count: how many.
        seed: the same seed draws the same samples.
        labels: what to ask a conditional generator for, ``[count]``; see `labels_in_turn`.
        categories: which category of its latents to choose, ``[count]``; see `categories_in_turn`.
        best: of the best checkpoint by evaluations, in place of the newest.
        temperature: the deviation of its normal latents, in place of the config's.

    Returns:
        As `sampler` says.

    Raises:
        InputError: a count below one or too large to hold, or as `gan_jax.load`.
    """
    if count < 1:
        raise InputError(f"count: {count} is out of range; at least 1 is allowed")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed: {seed} is out of range; 0 to {2**32 - 1} is allowed")
    config = Run.open(path).read_config()
    size = count * math.prod(config.sample_shape) * (1 if len(config.sample_shape) == 3 else 4)
    if size > MAX_BYTES:
        raise InputError(
            f"count: {count:,} samples are {size:,} bytes; at most {MAX_BYTES:,} are held in "
            "memory: draw fewer at a time, under several seeds"
        )
    gan, state = load(path, best=best, temperature=temperature)
    return sampler(gan, config.generator.categories)(state, count, seed, labels, categories)


def write_samples(
    samples: np.ndarray,
    path: Path,
    labels: np.ndarray | None = None,
    categories: np.ndarray | None = None,
) -> None:
    """Write a picture (``.png``) or the numbers (``.npz``).

    An ``.npz`` holds ``images``, uint8, ``[n, height, width]`` where there is one channel; or
    ``samples``, float32, for data that are no images; and ``labels`` or ``categories``, where each
    was asked to be of one. A picture of several has a row for each, dark where others have more.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        with replacing(path) as partial, open(partial, "wb") as file:
            if path.suffix.lower() == ".png":
                rows, columns = by_class(samples, categories if labels is None else labels)
                draw_samples(rows, columns=columns).save(file, format="PNG")
            else:
                arrays: dict[str, Any] = {"samples": samples}
                if samples.ndim == 4:
                    arrays = {"images": samples[..., 0] if samples.shape[-1] == 1 else samples}
                asked = {"labels": labels, "categories": categories}
                arrays |= {name: of for name, of in asked.items() if of is not None}
                np.savez_compressed(file, **arrays)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def by_class(samples: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, int | None]:
    """Images for a grid with a row or more for each class, and its columns; else as they are.

    ``[n, height, width, channels]`` and labels ``[n]`` to ``[classes * rows * columns, ...]``,
    black where a class has fewer. Of many classes with few images each the grid is of all alike.
    """
    if labels is None or samples.ndim != 4:
        return samples, None
    classes = list(dict.fromkeys(np.asarray(labels).tolist()))  # in the order they come in
    if len(classes) < 2:
        return samples, None
    most = max(int((labels == label).sum()) for label in classes)
    if len(classes) > 4 * most:  # a row for each would be a thread
        return samples, None
    lines = max(1, round(math.sqrt(most / len(classes))))  # of each class, so that all is square
    columns = -(-most // lines)
    grid = np.zeros((len(classes), lines * columns, *samples.shape[1:]), samples.dtype)
    for row, label in zip(grid, classes, strict=True):
        of_class = samples[labels == label]
        row[: len(of_class)] = of_class
    return grid.reshape(-1, *samples.shape[1:]), columns


def check_output(path: Path, count: int) -> None:
    """Refuse an output that `write_samples` could not write, before any work is done.

    Raises:
        InputError: another suffix, no such folder, or more samples than fit on a picture.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"output: {path} ends in {path.suffix!r}; {' or '.join(_SUFFIXES)} is allowed"
        )
    if not path.absolute().parent.is_dir():
        raise InputError(f"output: there is no folder {path.parent}")
    if path.suffix.lower() == ".png" and count > _MOST_DRAWN:
        raise InputError(f"count: {count:,} is out of range; a picture shows up to {_MOST_DRAWN:,}")
