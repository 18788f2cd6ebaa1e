"""Whatever the user gives that cannot be used is refused with one line naming what and where."""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan_jax.cli import main
from gan_jax.data import load
from gan_jax.data.arrays import read_npz
from gan_jax.data.checks import MAX_BYTES, reading
from gan_jax.errors import InputError

Build = Callable[[Path], Path]  # makes a bad input in an empty folder; returns what to load

GREY = np.arange(40, dtype=np.uint8).reshape(8, 5)
IMAGES = np.arange(4 * 8 * 5, dtype=np.uint8).reshape(4, 8, 5)
LABELS = np.array([0, 1, 0, 1])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))


def folder(files: dict[str, bytes | np.ndarray]) -> Build:
    """Files by name; arrays become PNG images."""

    def build(root: Path) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(content) if isinstance(content, np.ndarray) else content)
        return root

    return build


def encoded(
    pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options: object
) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, color: int, pixels: bytes) -> bytes:
    """A PNG written by hand, for what Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def npz(**arrays: Any) -> Build:
    def build(root: Path) -> Path:
        np.savez(root / "data.npz", **arrays)
        return root / "data.npz"

    return build


def npy(array: np.ndarray) -> Build:
    def build(root: Path) -> Path:
        np.save(root / "data.npy", array)
        return root / "data.npy"

    return build


def npy_format_3(root: Path) -> Path:
    with (root / "data.npy").open("wb") as stream:
        np.lib.format.write_array(stream, IMAGES, version=(3, 0))
    return root / "data.npy"


def file(name: str, content: bytes) -> Build:
    def build(root: Path) -> Path:
        (root / name).write_bytes(content)
        return root / name

    return build


def idx(array: np.ndarray, *, claimed: int | None = None) -> bytes:
    shape = (len(array) if claimed is None else claimed, *array.shape[1:])
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *shape)
    return header + array.astype(np.uint8).tobytes()


def idx_folder(images: bytes, labels: bytes | None = None) -> Build:
    def build(root: Path) -> Path:
        (root / "train-images-idx3-ubyte.gz").write_bytes(images)
        if labels is not None:
            (root / "train-labels-idx1-ubyte").write_bytes(labels)
        return root

    return build


def header(shape: tuple[int, ...]) -> bytes:
    """The beginning of a .npy file that promises a uint8 array of that shape."""
    buffer = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()


def zip_bomb(root: Path) -> Path:
    """A little file in which an array promises more than there is and than is allowed."""
    with zipfile.ZipFile(root / "data.npz", "w") as archive:
        archive.writestr("images.npy", header((MAX_BYTES, 8, 8)) + bytes(64))
    return root / "data.npz"


def large_npz(root: Path) -> Path:
    """Honest about its 16 MiB, and a few KiB on disk."""
    path = root / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as member:
            member.write(header((64, 512, 512)))
            member.write(bytes(64 * 512 * 512))
    return path


def unreadable(root: Path) -> Path:
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    path = folder({"a.png": GREY})(root) / "a.png"
    path.chmod(0)
    return root


def pipe(name: str, chosen: str = "") -> Build:
    """A pipe into which nobody writes."""

    def build(root: Path) -> Path:
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no named pipes here")
        os.mkfifo(root / name)
        return root / chosen

    return build


def unknown_encoding(root: Path) -> Path:
    """A folder whose name is no UTF-8, and holds nothing."""
    path = Path(os.fsdecode(os.fsencode(root) + b"/\xff\n"))
    try:
        path.mkdir()
    except OSError:
        pytest.skip("this file system allows only names in UTF-8")
    return path


COLOUR = np.stack([GREY] * 3, axis=-1)
ALPHA = np.stack([GREY] * 4, axis=-1)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
FINITE = np.ones((4, 2), np.float32)
OTHER = np.array([[1, 2], [3, np.nan]], np.float32)
INFINITE = np.array([[1, 2], [3, 1e300]], np.float64)
ANIMATION = encoded(COLOUR, save_all=True, append_images=[Image.fromarray(255 - COLOUR)])

# What is given, and what the message must say besides being one line.
CASES: dict[str, tuple[Build, list[str]]] = {
    "missing file": (lambda root: root / "none.npz", ["none.npz", "no file"]),
    "text file": (file("notes.txt", b"hello"), ["notes.txt", ".npz or .npy"]),
    "one image": (file("a.png", encoded(GREY)), ["a.png", "folder"]),
    "empty folder": (lambda root: root, ["no image"]),
    "folder of other things": (folder({"notes.txt": b"hello"}), ["no image"]),
    "another format": (folder({"a.png": GREY, "b.gif": b"GIF89a"}), ["b.gif", "have to be .png"]),
    "three parts": (
        folder({"train/x.png": GREY, "test/y.png": GREY, "val/z.png": GREY}),
        ["test, train, val", "look like parts"],
    ),
    "one part": (folder({"train/x.png": GREY}), ["train", "look like parts"]),
    "images beside parts": (
        folder({"a.png": GREY, "train/x.png": GREY, "test/y.png": GREY}),
        ["a.png", "in train and test"],
    ),
    "images below a class": (
        folder({"a/x.png": GREY, "a/more/y.png": GREY}),
        ["a/more", "one level of classes"],
    ),
    "folder not in UTF-8": (unknown_encoding, ["??", "no image"]),
    "empty class": (folder({"a/x.png": GREY, "b/notes.txt": b"-"}), ["/b:", "no image"]),
    "images here and there": (
        folder({"x.png": GREY, "a/y.png": GREY}),
        ["x.png", "a", "sub-folders"],
    ),
    "other classes in test": (
        folder({"train/a/x.png": GREY, "test/b/x.png": GREY}),
        ["train and test", "a and b"],
    ),
    "other size in test": (
        folder({"train/x.png": GREY, "test/y.png": GREY.T.copy()}),
        ["(5, 8, 1)", "(8, 5, 1)"],
    ),
    "mixed sizes": (
        folder({"a.png": GREY, "b.png": GREY.T.copy()}),
        ["a.png", "5x8", "b.png", "8x5"],
    ),
    "grey and colour": (
        folder({"a.png": GREY, "b.png": COLOUR}),
        ["a.png", "grey", "b.png", "RGB"],
    ),
    "16 bits, grey": (folder({"a.png": GREY.astype(np.uint16)}), ["a.png", "I;16"]),
    "16 bits, colour": (folder({"a.png": png(1, 1, 16, 2, bytes(7))}), ["a.png", "16 bits"]),
    "palette": (folder({"a.png": encoded(COLOUR, mode="P")}), ["a.png", "mode P"]),
    "one bit": (folder({"a.png": encoded(GREY, mode="1")}), ["a.png", "mode 1"]),
    "CMYK": (folder({"a.jpg": encoded(COLOUR, "JPEG", "CMYK")}), ["a.jpg", "CMYK"]),
    "alpha": (folder({"a.png": ALPHA}), ["a.png", "RGBA"]),
    "transparent colour": (
        folder({"a.png": encoded(GREY, transparency=3)}),
        ["a.png", "transparency"],
    ),
    "animation": (folder({"a.png": ANIMATION}), ["a.png", "frame"]),
    "truncated PNG": (folder({"a.png": encoded(NOISE)[:3000]}), ["a.png", "truncated"]),
    "truncated JPEG": (folder({"a.jpg": encoded(NOISE, "JPEG")[:1500]}), ["a.jpg", "truncated"]),
    "second image damaged": (folder({"a.png": NOISE, "b.png": encoded(NOISE)[:99]}), ["b.png"]),
    "web page": (folder({"a.png": b"<html>404</html>"}), ["a.png", "cannot identify"]),
    "GIF in disguise": (folder({"a.png": encoded(GREY, "GIF")}), ["a.png", "cannot identify"]),
    "nothing in it": (folder({"a.png": b""}), ["a.png"]),
    "image bomb": (folder({"a.png": png(60_000, 60_000, 8, 0, b"")}), ["a.png", "pixels"]),
    "large header": (folder({"a.png": png(10_000, 10_000, 8, 0, b"")}), ["a.png", "pixels"]),
    "unreadable image": (unreadable, ["a.png", "Permission denied"]),
    "pipe as npy": (pipe("data.npy", "data.npy"), ["data.npy", "neither a file nor a folder"]),
    "pipe as npz": (pipe("data.npz", "data.npz"), ["data.npz", "neither a file nor a folder"]),
    "pipe as image": (pipe("a.png"), ["a.png", "neither a file nor a folder"]),
    "pipe as idx": (
        pipe("train-images-idx3-ubyte"),
        ["train-images-idx3-ubyte", "neither a file nor a folder"],
    ),
    "no rows": (npz(images=IMAGES[:0]), ["data.npz: images", "(0, 8, 5, 1)"]),
    "no pixels": (npz(images=IMAGES[:, :0]), ["data.npz: images", "(4, 0, 5, 1)"]),
    "no features": (npz(samples=FINITE[:, :0]), ["data.npz: samples", "(4, 0)"]),
    "pickled array": (npy(np.array([{}, []], object)), ["data.npy", "object"]),
    "pickled member": (npz(images=np.array([{}, []], object)), ["data.npz: images", "object"]),
    "not an npy": (file("data.npy", b"hello, world"), ["data.npy"]),
    "empty npy": (file("data.npy", b""), ["data.npy"]),
    "npy that promises too much": (
        file("data.npy", header((10**12, 28, 28)) + bytes(9)),
        ["data.npy", "promises 784,000,000,000,000"],
    ),
    "npy of another format": (npy_format_3, ["data.npy", "format (3, 0) is not allowed"]),
    "corrupt npz": (file("data.npz", b"PK\x03\x04" + bytes(99)), ["data.npz"]),
    "pickle in disguise": (file("data.npz", b"\x80\x04N."), ["data.npz"]),
    "npz bomb": (zip_bomb, ["data.npz", "promises"]),
    "wrong keys": (npz(pictures=IMAGES), ["data.npz", "pictures", "images, labels", "x_train"]),
    "no keys": (npz(), ["data.npz", "none", "images, labels"]),
    "two layouts": (npz(images=IMAGES, x_test=IMAGES), ["images, x_test"]),
    "test labels alone": (npz(images=IMAGES, test_labels=LABELS), ["images, test_labels"]),
    "only test labelled": (
        npz(images=IMAGES, test_images=IMAGES, test_labels=LABELS),
        ["data.npz", "training part has none"],
    ),
    "other shape in test": (npz(images=IMAGES, test_images=IMAGES[:, :4]), ["(4, 5, 1)"]),
    "float images": (npz(images=IMAGES / 255), ["0.6235: save (255 * x).round().astype"]),
    "float images of 0 to 255": (
        npz(images=IMAGES / 1),
        ["float64", "these are 0 to 159: save x.round().astype('uint8')"],
    ),
    "float images about 0": (
        npz(images=IMAGES / 127.5 - 1),
        ["these are -1 to 0.2471: save (127.5 * (x + 1)).round().astype('uint8')"],
    ),
    "float rows as images": (npz(images=FINITE), ["data.npz: images", "float32", "uint8"]),
    "images as samples": (npz(samples=IMAGES), ["data.npz: samples", "uint8", "floating"]),
    "int64 images": (
        npz(images=IMAGES.astype(np.int64)),
        ["int64", "0 to 159: save x.round().astype('uint8')"],
    ),
    "float images of anything": (npz(images=IMAGES * -7.0), ["these are -1113 to 0"]),
    "flat images": (npz(images=IMAGES.reshape(4, -1)), ["data.npz: images", "(4, 40)"]),
    "films": (npz(images=np.zeros((4, 2, 8, 8, 3), np.uint8)), ["(4, 2, 8, 8, 3)"]),
    "channels first": (
        npz(images=np.zeros((4, 3, 8, 8), np.uint8)),
        ["(4, 3, 8, 8)", "save x.transpose(0, 2, 3, 1)"],
    ),
    "integer samples": (npz(samples=LABELS[:, None]), ["data.npz: samples", "int64"]),
    "complex samples": (npz(samples=FINITE.astype(complex)), ["data.npz: samples", "complex"]),
    "samples of rank 3": (npz(samples=FINITE[None]), ["data.npz: samples", "(1, 4, 2)"]),
    "Keras floats as images": (npz(x_train=IMAGES / 255), ["x_train", "float64", "uint8"]),
    "npy of strings": (npy(np.array(["a"])), ["data.npy", "<U1"]),
    "NaN": (npz(samples=OTHER), ["data.npz: samples", "row 1", "finite"]),
    "infinite in float32": (npz(samples=INFINITE), ["data.npz: samples", "row 1", "finite"]),
    "float labels": (npz(images=IMAGES, labels=LABELS / 1), ["data.npz: labels", "float64"]),
    "too few labels": (npz(images=IMAGES, labels=LABELS[:3]), ["data.npz: labels", "(3,)", "4"]),
    "one-hot labels": (npz(images=IMAGES, labels=np.eye(4, dtype=int)), ["labels", "(4, 4)"]),
    "label below -1": (npz(images=IMAGES, labels=LABELS - 2), ["data.npz: labels", "-2"]),
    "huge label": (npz(images=IMAGES, labels=LABELS * 10**6), ["data.npz: labels", "1000000"]),
    "label 65,536": (
        npz(images=IMAGES, labels=LABELS * 0 + 65_536),
        ["data.npz: labels", "label 65536 is not allowed", "0 to 65535"],
    ),
    "bad test labels": (
        npz(images=IMAGES, labels=LABELS, test_images=IMAGES, test_labels=LABELS - 9),
        ["data.npz: test_labels", "-9"],
    ),
    "idx of something else": (idx_folder(b"\x00\x00\x0d\x03" + bytes(99)), ["00000d03"]),
    "empty idx": (idx_folder(b""), ["train-images-idx3-ubyte.gz", "nothing"]),
    "idx cut short": (idx_folder(idx(IMAGES)[:-9]), ["promises 160", "holds 151"]),
    "idx cut in its header": (idx_folder(idx(IMAGES)[:9]), ["train-images-idx3-ubyte.gz"]),
    "idx too long": (idx_folder(idx(IMAGES) + b"!"), ["promises 160", "more"]),
    "idx of labels as images": (idx_folder(idx(LABELS)), ["train-images", "(4,)"]),
    "gzip cut short": (idx_folder(gzip.compress(idx(IMAGES))[:-20]), ["train-images"]),
    "gzip damaged": (
        idx_folder(gzip.compress(idx(IMAGES))[:12] + b"\xff" * 30),
        ["train-images"],
    ),
    "idx that promises too much": (
        idx_folder(gzip.compress(idx(IMAGES, claimed=2**31))),
        ["train-images", "at most"],
    ),
    "idx with labels too few": (
        idx_folder(idx(IMAGES), idx(LABELS[:3])),
        ["train-labels", "(3,)", "4"],
    ),
    "idx without images": (folder({"train-labels-idx1-ubyte": idx(LABELS)}), ["train images"]),
    "idx test images alone": (
        folder({"t10k-images-idx3-ubyte": idx(IMAGES)}),
        ["train images"],
    ),
    "idx test labels alone": (
        folder({"train-images-idx3-ubyte": idx(IMAGES), "t10k-labels-idx1-ubyte": idx(LABELS)}),
        ["test images"],
    ),
    "two idx for one role": (
        folder({"a-train-images-idx3-ubyte": b"", "b-train-images-idx3-ubyte": b""}),
        ["a-train-images-idx3-ubyte", "b-train-images-idx3-ubyte"],
    ),
    "one row": (npz(images=IMAGES[:1]), ["data.npz", "1 rows"]),
}


def refusal(dataset: str, **options: float) -> str:
    with pytest.raises(InputError) as caught:
        load(dataset, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as users run it
@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, expected = CASES[case]
    root = tmp_path / "data"
    root.mkdir()
    assert main(["train", "--dataset", str(build(root)), "--steps", "1"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("gan-jax: ") and message.endswith("\n")
    message = message[:-1]
    assert message.isprintable()
    assert "data" in message
    for words in expected:
        assert words in message


def test_too_few_rows_after_some_were_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = npz(images=np.zeros((20, 8, 8), np.uint8))(tmp_path)
    assert main(["train", "--dataset", str(path), "--batch-size", "64", "--steps", "1"]) == 2
    assert capsys.readouterr().err == (
        f"gan-jax: batch_size: a step takes 64 rows; {path} has 18 "
        "(no test part: 2 of 20 rows were set aside for it)\n"
    )


def test_a_pipe_in_place_of_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.npz: neither a file nor a folder"):
        read_npz(pipe("data.npz", "data.npz")(tmp_path), ("images",), ("labels",))


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0, float("nan")])
def test_validation_share_out_of_range(share: float) -> None:
    assert refusal("digits", validation=share).startswith("validation: ")


def test_validation_share_needs_rows(tmp_path: Path) -> None:
    path = npz(images=IMAGES[:1], test_images=IMAGES)(tmp_path)
    assert "too few" in refusal(str(path), validation=0.5)


@pytest.mark.parametrize("build", [large_npz, npy(np.zeros((64, 512, 512), np.uint8))])
def test_total_size_is_limited(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(tmp_path)
    monkeypatch.setattr("gan_jax.data.checks.MAX_BYTES", 64 * 512 * 512 - 1)
    message = refusal(str(path))
    assert path.name in message
    assert "16,777,216 bytes" in message


def test_total_size_of_a_folder_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder({"a.png": GREY, "b.png": GREY})(tmp_path)
    monkeypatch.setattr("gan_jax.data.checks.MAX_BYTES", 2 * GREY.size - 1)
    assert "80 bytes" in refusal(str(tmp_path))


def test_nothing_is_decoded_before_the_size_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large_npz(tmp_path)
    monkeypatch.setattr("gan_jax.data.checks.MAX_BYTES", 1_000)
    monkeypatch.setattr("numpy.lib.format.read_array", lambda *_, **__: pytest.fail("was read"))
    assert "at most" in refusal(str(path))


@pytest.mark.parametrize("dataset", ["", "\0", "a" * 5000, "~nobody/none", "..."])
def test_names_that_are_no_names(dataset: str, tmp_path: Path) -> None:
    assert refusal(dataset).isprintable()


def test_what_a_decoder_says_becomes_one_line() -> None:
    with pytest.raises(InputError, match=r"^a\.png: cannot be read \(first second\)$"):
        with reading("a.png"):
            raise RuntimeError("first\n  second")


def test_a_refusal_passes_through_unchanged() -> None:
    with pytest.raises(InputError, match=r"^mine$"):
        with reading("a.png"):
            raise InputError("mine")
