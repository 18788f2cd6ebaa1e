"""Many small grey PNGs decoded in one go: one by one, most of the time is not for their pixels."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

__all__ = ["decode_alike"]

_GREY = b"\x08\0\0\0\0"  # eight bits, no palette, no alpha, not interlaced
_MOST = 2**14  # bytes of an image; larger ones are decoded as fast one by one


def decode_alike(encoded: Sequence[bytes]) -> np.ndarray | None:
    """PNGs of the plainest kind, all of one size.

    They go to Pillow's decoder as one tall image. A PNG's rows may be stored as differences to the
    row above, so each image is preceded by a row of zeros, which is what a first row refers to.

    Args:
        encoded: at least one file's bytes.

    Returns:
        ``[n, height, width, 1]`` uint8; None if any is of another kind or size.

    Raises:
        zlib.error, ValueError: damaged bytes.
    """
    head = encoded[0][:29]  # the signature and IHDR, but for its sum
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[24:] != _GREY:
        return None
    width, height = struct.unpack(">II", head[16:24])
    size = height * (width + 1)  # each row begins with how it is stored
    if size > _MOST:
        return None
    rows = []
    for each in encoded:
        # IHDR, one IDAT, IEND, and no more: what else there may be changes what pixels mean.
        length = int.from_bytes(each[33:37], "big")
        if each[:29] != head or each[37:41] != b"IDAT" or len(each) != 41 + length + 16:
            return None
        stored = zlib.decompressobj().decompress(each[41:-16], size + 1)
        if len(stored) != size:
            return None
        rows += (bytes(width + 1), stored)
    tall = (width, len(encoded) * (height + 1))
    image = Image.frombytes("L", tall, zlib.compress(b"".join(rows), 0), "zip", ("L", 0))
    return np.asarray(image).reshape(len(encoded), height + 1, width, 1)[:, 1:]
