"""Samples of a finished run, as numbers or as a picture."""

from pathlib import Path

import jax
import numpy as np

from gan_jax.errors import InputError
from gan_jax.report import draw_samples, to_uint8
from gan_jax.runs import load

__all__ = ["check_output", "sample_run", "write_samples"]

_BLOCK = 1_000  # rows drawn at a time
_SUFFIXES = (".npz", ".png")
_MOST_DRAWN = 10_000  # on one picture


def sample_run(path: str | Path, count: int, seed: int = 0) -> np.ndarray:
    """Samples of a run's averaged generator.

    The first n samples under a seed are the same, however many are asked for.

    Returns:
        Images ``[count, height, width, channels]`` uint8, or ``[count, features]`` float32.

    Raises:
        InputError: a count below one, no run there, or no sound checkpoint in it.
    """
    if count < 1:
        raise InputError(f"count: {count} is out of range; at least 1 is allowed")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed: {seed} is out of range; 0 to {2**32 - 1} is allowed")
    gan, state = load(path)
    draw = jax.jit(lambda key: gan.sample(state, key, _BLOCK))
    key = jax.random.key(seed)

    def block(number: int) -> np.ndarray:
        samples = np.asarray(draw(jax.random.fold_in(key, number)))
        return to_uint8(samples) if samples.ndim == 4 else samples

    return np.concatenate([block(number) for number in range(-(-count // _BLOCK))])[:count]


def write_samples(samples: np.ndarray, path: Path) -> None:
    """Write a picture (``.png``) or the numbers (``.npz``).

    An ``.npz`` holds ``images``, uint8, ``[n, height, width]`` where there is one channel; or
    ``samples``, float32, for data that are no images.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        with open(path, "wb") as file:
            if path.suffix.lower() == ".png":
                draw_samples(samples).save(file, format="PNG")
            elif samples.ndim == 4:
                np.savez_compressed(
                    file, images=samples[..., 0] if samples.shape[-1] == 1 else samples
                )
            else:
                np.savez_compressed(file, samples=samples)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


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
        raise InputError(f"output: {path.parent} is not a folder")
    if path.suffix.lower() == ".png" and count > _MOST_DRAWN:
        raise InputError(f"count: {count:,} is out of range; a picture shows up to {_MOST_DRAWN:,}")
