"""Samples of a finished run, as numbers or as a picture."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from gan_jax.errors import InputError
from gan_jax.gan import GAN
from gan_jax.report import draw_samples, to_uint8
from gan_jax.runs import load
from gan_jax.state import GANState

__all__ = ["check_output", "sample_run", "sampler", "write_samples"]

_BLOCK = 1_000  # rows drawn at a time
_SUFFIXES = (".npz", ".png")
_MOST_DRAWN = 10_000  # on one picture


def sampler(gan: GAN) -> Callable[..., np.ndarray]:
    """``(state, count, seed=0) -> samples`` of the averaged generator.

    The first n samples under a seed are the same, however many are asked for. Images come as
    ``[count, height, width, channels]`` uint8, others as ``[count, features]`` float32.
    """
    draw = jax.jit(lambda state, key: gan.sample(state, key, _BLOCK))

    def sample(state: GANState, count: int, seed: int = 0) -> np.ndarray:
        key = jax.random.key(seed)

        def block(number: int) -> np.ndarray:
            samples = np.asarray(draw(state, jax.random.fold_in(key, number)))
            return to_uint8(samples) if samples.ndim == 4 else samples

        return np.concatenate([block(number) for number in range(-(-count // _BLOCK))])[:count]

    return sample


def sample_run(path: str | Path, count: int, seed: int = 0, *, best: bool = False) -> np.ndarray:
    """Samples of a run's averaged generator.

    Args:
        path: the run's folder.
        count: how many.
        seed: the same seed draws the same samples.
        best: of the best checkpoint by evaluations, in place of the newest.

    Returns:
        As `sampler` says.

    Raises:
        InputError: a count below one, no run there, or no sound checkpoint in it.
    """
    if count < 1:
        raise InputError(f"count: {count} is out of range; at least 1 is allowed")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed: {seed} is out of range; 0 to {2**32 - 1} is allowed")
    gan, state = load(path, best=best)
    return sampler(gan)(state, count, seed)


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
