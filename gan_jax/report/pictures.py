"""Samples as pictures: grids of images, clouds of points, and how they evolve."""

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["animate", "draw_images", "draw_points", "draw_samples", "to_uint8"]

_SIDE = 900  # pixels that a picture aims at: ten 28-pixel digits, three times enlarged
_GAP = 1  # pixels between two images, before enlarging
_BACKGROUND = 32
# Of an animation, encoded while someone waits for a run to stop: larger or more take seconds.
_FRAMES = 40
_FRAME_SIDE = 500  # pixels


def to_uint8(samples: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] to uint8, clipped and rounded: what a file can hold; NaN is black."""
    levels = np.clip(np.rint((np.asarray(samples) + 1.0) * 127.5), 0, 255)
    return np.nan_to_num(levels, copy=False).astype(np.uint8)


def draw_samples(
    samples: np.ndarray, reference: np.ndarray | None = None, columns: int | None = None
) -> Image.Image:
    """A picture of samples of any kind.

    Args:
        samples: images ``[n, height, width, channels]`` uint8, or points ``[n, features]``.
        reference: real points to draw underneath; unused for images.
        columns: of a grid of images; unused for points.
    """
    return draw_images(samples, columns) if samples.ndim == 4 else draw_points(samples, reference)


def draw_images(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """A grid, row by row.

    Args:
        images: ``[n, height, width, channels]`` uint8, 1 or 3 channels.
        columns: how many to a row; by default the grid is as square as can be.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.full(
        (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels),
        _BACKGROUND,
        np.uint8,
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + _GAP) + _GAP, column * (width + _GAP) + _GAP
        grid[top : top + height, left : left + width] = image
    scale = max(1, _SIDE // max(grid.shape[:2]))
    enlarged = grid.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(enlarged[:, :, 0] if channels == 1 else enlarged)


def draw_points(points: np.ndarray, reference: np.ndarray | None = None) -> Image.Image:
    """A cloud of points, generated ones orange over real ones grey; the first two features.

    Args:
        points: ``[n, features]``.
        reference: real points ``[m, features]``; the frame fits them where they are given.
    """
    points = _plane(points)
    reference = None if reference is None else _plane(reference)
    frame = points if reference is None else reference
    frame = frame[np.isfinite(frame).all(axis=1)]
    center = (frame.max(axis=0) + frame.min(axis=0)) / 2 if len(frame) else np.zeros(2)
    reach = max(float(np.abs(frame - center).max(initial=0.0)) * 1.25, 1e-6)
    picture = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    if reference is not None:
        _dot(picture, (reference - center) / reach, (190, 190, 190))
    _dot(picture, (points - center) / reach, (225, 90, 0))
    return Image.fromarray(picture)


def _plane(points: np.ndarray) -> np.ndarray:
    """The first two features; a single one lies on a line."""
    return np.pad(points, ((0, 0), (0, 1)))[:, :2] if points.shape[1] == 1 else points[:, :2]


def _dot(picture: np.ndarray, points: np.ndarray, color: tuple[int, int, int]) -> None:
    """Dots of 3x3 pixels at points of [-1, 1]^2; the others are out of the picture."""
    points = points[(np.abs(points) < 1.0).all(axis=1)]  # false for NaN as well
    side = picture.shape[0]
    column = ((points[:, 0] + 1.0) / 2.0 * side).astype(int)
    row = ((1.0 - points[:, 1]) / 2.0 * side).astype(int)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            picture[np.clip(row + down, 0, side - 1), np.clip(column + right, 0, side - 1)] = color


def animate(frames: Sequence[Path], path: Path) -> None:
    """The pictures one after the other as an animated WebP; the last one stays for a while.

    A picture that cannot be read, or of another size than the last (an earlier version's), is left
    out.
    """
    if len(frames) > _FRAMES:
        frames = [frames[round(i * (len(frames) - 1) / (_FRAMES - 1))] for i in range(_FRAMES)]
    pictures = []
    for frame in frames:
        with contextlib.suppress(OSError, SyntaxError), Image.open(frame) as picture:
            picture.thumbnail((_FRAME_SIDE, _FRAME_SIDE))
            pictures.append(picture.convert("RGB"))
    pictures = [picture for picture in pictures if picture.size == pictures[-1].size]
    if not pictures:
        return
    durations = [max(120, 3000 // len(pictures))] * (len(pictures) - 1) + [2000]  # milliseconds
    pictures[0].save(
        path,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        quality=70,
    )
