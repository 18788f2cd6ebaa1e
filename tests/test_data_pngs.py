"""Many PNGs decoded as one tall image are what Pillow makes of each by itself."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gan_jax.data.pngs import decode_alike

RANDOM = np.random.default_rng(0)


def chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png(rows: bytes, width: int, height: int, kind: bytes = b"\x08\0\0\0\0", *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">II", width, height) + kind)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def noise(width: int, height: int, how: int | None = None) -> bytes:
    """Any bytes are an image, whichever of the five ways says how a row is stored."""
    rows = RANDOM.integers(0, 256, (height, width + 1), np.uint8)
    rows[:, 0] = RANDOM.integers(0, 5, height) if how is None else how
    return png(zlib.compress(rows.tobytes()), width, height)


def pillow(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))[..., None]


@pytest.mark.parametrize("how", [0, 1, 2, 3, 4, None], ids=str)
@pytest.mark.parametrize("size", [(28, 28), (5, 3), (1, 1)], ids=str)
def test_each_is_what_pillow_makes_of_it(how: int | None, size: tuple[int, int]):
    encoded = [noise(*size, how) for _ in range(20)]
    found = decode_alike(encoded)
    assert found is not None and found.dtype == np.uint8
    np.testing.assert_array_equal(found, [pillow(each) for each in encoded])


def test_what_pillow_writes():
    image = np.add.outer(np.arange(28), np.arange(28)).astype(np.uint8)
    encoded = []
    for each in (image, 255 - image, image // 2):
        Image.fromarray(each).save(buffer := io.BytesIO(), "PNG")
        encoded.append(buffer.getvalue())
    np.testing.assert_array_equal(
        decode_alike(encoded), np.stack([image, 255 - image, image // 2])[..., None]
    )


PLAIN = noise(4, 4)
GREY = zlib.compress(bytes(20))
OTHERS = {  # most with as many bytes as a plain one
    "sixteen bits": png(GREY, 4, 4, b"\x10\0\0\0\0"),
    "colour": png(GREY, 4, 4, b"\x08\2\0\0\0"),
    "interlaced": png(GREY, 4, 4, b"\x08\0\0\0\1"),
    "a transparent grey": png(GREY, 4, 4, b"\x08\0\0\0\0", chunk(b"tRNS", b"\0\0")),
    "two pieces": png(GREY[:9], 4, 4)[:-12] + chunk(b"IDAT", GREY[9:]) + chunk(b"IEND", b""),
    "too few rows": png(zlib.compress(bytes(15)), 4, 4),
    "too many": png(zlib.compress(bytes(25)), 4, 4),
    "cut off": PLAIN[:-20],
    "no PNG": b"GIF89a" + PLAIN[6:],
    "nothing": b"",
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_left_to_whoever_knows_them(name):
    assert decode_alike([PLAIN, OTHERS[name]]) is None
    assert decode_alike([OTHERS[name]]) is None
    assert decode_alike([PLAIN, PLAIN]) is not None


def test_images_of_another_size_are_left_too():
    assert decode_alike([PLAIN, noise(4, 5)]) is None


def test_large_ones_are_left_to_one_by_one():
    assert decode_alike([noise(130, 130)]) is None


def test_damaged_bytes_are_an_error():
    broken = bytearray(PLAIN)
    broken[45] ^= 0xFF
    with pytest.raises(zlib.error):
        decode_alike([PLAIN, bytes(broken)])
