"""Every kind of source: what comes out of it, and which rows are set aside."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from gan_jax.data import Dataset, Part, load

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

COLOUR = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), np.uint8)
GREY = np.ascontiguousarray(COLOUR[..., :1])
LABELS = np.arange(12) % 3


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))


def shared(name: str) -> str:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is absent")
    return str(SHARED / name)


def part(dataset: Dataset) -> Part:
    assert isinstance(dataset.train, Part)
    return dataset.train


def rows(*parts: Part | None) -> list[tuple[bytes, int | None]]:
    """All rows of all parts with their labels, in an order that is only theirs."""
    pairs = []
    for each in parts:
        assert each is not None
        labels = [None] * len(each.samples) if each.labels is None else each.labels.tolist()
        pairs += zip((sample.tobytes() for sample in each.samples), labels, strict=True)
    return sorted(pairs)


def labels(part: Part) -> list[int]:
    assert part.labels is not None
    assert part.labels.dtype == np.int32
    return part.labels.tolist()


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_images(folder: Path, images: np.ndarray, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / f"{number:02}{suffix}")


def test_digits() -> None:
    dataset = load("digits")
    train = part(dataset)
    assert train.samples.shape == (1617, 28, 28, 1)
    assert dataset.test.samples.shape == (180, 28, 28, 1)
    assert train.samples.dtype == np.uint8
    assert (dataset.sample_shape, dataset.is_image, dataset.classes) == ((28, 28, 1), True, 10)
    assert dataset.note == "no test part: 180 of 1797 rows were set aside for it"
    everything = np.concatenate([train.samples, dataset.test.samples])
    # A frame of four stays black, and the box inside keeps its brightness.
    box = everything[:, 4:24, 4:24]
    assert box.sum() == everything.sum()
    originals, _ = load_digits(return_X_y=True)
    assert box.mean() == pytest.approx(originals.mean() * 255 / 16, rel=0.03)
    counts = np.bincount(labels(train) + labels(dataset.test))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_are_upright_and_keep_their_labels() -> None:
    train = part(load("digits"))
    # Shrunk back to 8x8, every image is nearest to an original of its class.
    originals, targets = load_digits(return_X_y=True)
    boxes = [Image.fromarray(each[4:24, 4:24, 0]) for each in train.samples]
    shrunk = np.stack([np.asarray(box.resize((8, 8), Image.Resampling.BOX)) for box in boxes])
    shrunk = shrunk.reshape(len(boxes), 64) * (16 / 255)
    distances = (originals**2).sum(1) - 2 * shrunk @ originals.T
    assert (targets[distances.argmin(1)] == train.labels).mean() > 0.999


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_idx_folder(suffix: str, separator: str, tmp_path: Path) -> None:
    for name, chosen in (("train", slice(8)), ("t10k", slice(8, 12))):
        write_idx(tmp_path / f"{name}-images{separator}idx3-ubyte{suffix}", GREY[chosen, ..., 0])
        write_idx(tmp_path / f"{name}-labels{separator}idx1-ubyte{suffix}", LABELS[chosen])
    dataset = load(str(tmp_path))
    np.testing.assert_array_equal(part(dataset).samples, GREY[:8])
    np.testing.assert_array_equal(dataset.test.samples, GREY[8:])
    assert labels(part(dataset)) + labels(dataset.test) == LABELS.tolist()
    assert (dataset.classes, dataset.note) == (3, "")


def test_idx_folder_with_images_alone_and_also_unpacked(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", GREY[..., 0])
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", GREY[..., 0])
    dataset = load(str(tmp_path))
    assert rows(part(dataset), dataset.test) == rows(Part(GREY))
    assert dataset.classes == 0


def test_npz_of_images(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    given = {"images": GREY[:8], "labels": LABELS[:8], "test_images": GREY[8:, ..., 0]}
    np.savez_compressed(path, **given, test_labels=LABELS[8:])
    dataset = load(str(path))
    np.testing.assert_array_equal(part(dataset).samples, GREY[:8])
    np.testing.assert_array_equal(dataset.test.samples, GREY[8:])
    assert labels(dataset.test) == LABELS[8:].tolist()
    assert dataset.classes == 3


def test_npz_of_samples(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    samples = np.random.default_rng(0).normal(size=(20, 3))
    np.savez(path, samples=samples, labels=np.repeat([-1, 4], 10))
    dataset = load(str(path))
    assert part(dataset).samples.dtype == np.float32
    assert (dataset.sample_shape, dataset.is_image, dataset.classes) == ((3,), False, 5)
    assert sorted(labels(part(dataset)) + labels(dataset.test)) == [-1] * 10 + [4] * 10
    expected = Part(samples.astype(np.float32), np.repeat([-1, 4], 10))
    assert rows(part(dataset), dataset.test) == rows(expected)


def test_npz_as_keras_names_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "cifar.npz"
    column = LABELS[:, None].astype(np.uint8)
    np.savez(path, x_train=COLOUR, y_train=column, x_test=COLOUR[:2], y_test=column[:2])
    dataset = load(str(path))
    np.testing.assert_array_equal(part(dataset).samples, COLOUR)
    assert labels(part(dataset)) == LABELS.tolist()
    assert dataset.classes == 3


def test_npz_of_samples_as_keras_names_its_arrays(tmp_path: Path) -> None:
    samples = np.ones((20, 3), np.float32)
    np.savez(tmp_path / "data.npz", x_train=samples, x_test=samples[:5])
    dataset = load(str(tmp_path / "data.npz"))
    np.testing.assert_array_equal(part(dataset).samples, samples)
    assert not dataset.is_image


@pytest.mark.parametrize("array", [GREY[..., 0], GREY, COLOUR], ids=["3-D", "grey", "colour"])
def test_npy_of_images(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.asfortranarray(array))
    dataset = load(str(tmp_path / "data.npy"))
    assert rows(part(dataset), dataset.test) == rows(Part(array))
    assert dataset.is_image
    assert dataset.classes == 0


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG"])
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_folder_of_images(images: np.ndarray, suffix: str, tmp_path: Path) -> None:
    write_images(tmp_path / "photos", images, suffix)
    (tmp_path / "photos" / "._00.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / "photos" / "notes.txt").write_bytes(b"no image")
    dataset = load(str(tmp_path / "photos"))
    assert rows(part(dataset), dataset.test) == rows(Part(images))
    assert dataset.sample_shape == images.shape[1:]
    assert dataset.classes == 0


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_photos_are_turned_as_their_cameras_say(suffix: str, tmp_path: Path) -> None:
    upright = np.repeat(np.arange(24, dtype=np.uint8).reshape(6, 4) * 10, 8, axis=0).repeat(8, 1)
    # By number, how what is stored comes of what was seen: EXIF's orientations.
    turns = {1: 0, 3: 2, 6: 1, 8: 3}
    for number in range(12):
        exif = Image.Exif()
        exif[0x0112] = orientation = list(turns)[number % 4]
        stored = Image.fromarray(np.rot90(upright, turns[orientation]))
        stored.save(tmp_path / f"{number}{suffix}", exif=exif, quality=100)
    dataset = load(str(tmp_path))
    images = np.concatenate([part(dataset).samples, dataset.test.samples]).astype(int)
    shape = (12, 48, 32, images.shape[-1])
    np.testing.assert_allclose(images, np.broadcast_to(upright[None, ..., None], shape), atol=3)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_folder_of_lossy_images(suffix: str, tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None] * 20, (12, 8, 8, 3))
    write_images(tmp_path / "photos", smooth, suffix)
    dataset = load(str(tmp_path / "photos"))
    found = np.sort(np.concatenate([part(dataset).samples, dataset.test.samples]), axis=0)
    np.testing.assert_allclose(found.astype(int), smooth, atol=3)


def test_folder_of_classes(tmp_path: Path) -> None:
    for label, name in enumerate(["ant", "bee", "cow"]):
        write_images(tmp_path / name, COLOUR[label == LABELS])
    dataset = load(str(tmp_path))
    assert rows(part(dataset), dataset.test) == rows(Part(COLOUR, LABELS))
    assert dataset.classes == 3


def test_folder_of_parts(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for label, name in enumerate(["ant", "bee", "cow"]):
        write_images(root / "train" / name, COLOUR[:8][label == LABELS[:8]])
        write_images(root / "test" / name, COLOUR[8:][label == LABELS[8:]])
    dataset = load(str(root))
    assert rows(part(dataset)) == rows(Part(COLOUR[:8], LABELS[:8]))
    assert rows(dataset.test) == rows(Part(COLOUR[8:], LABELS[8:]))
    assert (dataset.classes, dataset.note) == (3, "")
    write_images(root / "test" / "ant", 255 - COLOUR)
    assert len(load(str(root)).test.samples) > len(dataset.test.samples)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    try:
        write_images(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff/\xfe")), COLOUR)
    except OSError:
        pytest.skip("this file system allows only names in UTF-8")
    dataset = load(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert rows(part(dataset), dataset.test) == rows(Part(COLOUR, np.zeros(12, int)))


def test_rows_are_set_aside_in_order_disjoint_and_complete(tmp_path: Path) -> None:
    values = np.arange(100, dtype=np.float32)[:, None]
    np.savez(tmp_path / "data.npz", samples=values, labels=np.arange(100))
    dataset = load(str(tmp_path / "data.npz"), validation=0.2)
    assert dataset.validation is not None
    parts = (part(dataset), dataset.validation, dataset.test)
    assert [len(each.samples) for each in parts] == [72, 18, 10]
    assert rows(*parts) == rows(Part(values, np.arange(100)))
    for each in parts:
        assert each.samples[:, 0].tolist() == labels(each) == sorted(labels(each))
    # Which rows these are must never change: a run could no longer be judged on unseen rows.
    assert labels(dataset.test) == [2, 16, 26, 54, 55, 73, 75, 86, 93, 95]
    again = load(str(tmp_path / "data.npz"), validation=0.2)
    assert rows(again.test) == rows(dataset.test)
    assert rows(again.validation) == rows(dataset.validation)
    assert rows(load(str(tmp_path / "data.npz")).test) == rows(dataset.test)


def test_validation_leaves_a_given_test_part_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=COLOUR, test_images=GREY.repeat(3, axis=-1))
    dataset = load(str(tmp_path / "data.npz"), validation=0.25)
    np.testing.assert_array_equal(dataset.test.samples, GREY.repeat(3, axis=-1))
    assert dataset.validation is not None
    assert len(dataset.validation.samples) == 3
    assert dataset.note == "3 training rows were set aside to choose by"
    without = load(str(tmp_path / "data.npz"))
    assert without.validation is None and without.note == ""


def test_fingerprint_follows_rows_labels_dtype_and_shape(tmp_path: Path) -> None:
    def fingerprint(train: Part) -> str:
        return Dataset("", train, None, Part(COLOUR), 3).fingerprint

    first = fingerprint(Part(COLOUR, LABELS))
    assert len(first) == 64
    assert first == fingerprint(Part(COLOUR.copy(), LABELS.copy()))
    others = [
        Part(COLOUR),
        Part(COLOUR, LABELS[::-1]),
        Part(COLOUR[::-1], LABELS),
        Part(COLOUR.reshape(12, 5, 6, 3), LABELS),
        Part(COLOUR.view(np.int8), LABELS),
    ]
    assert len({first, *map(fingerprint, others)}) == 1 + len(others)


def test_home_and_names_before_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "digits", COLOUR)
    assert load("digits").sample_shape == (28, 28, 1)
    for path in ("./digits", "~/digits"):
        assert load(path).sample_shape == COLOUR.shape[1:]


def test_mnist_from_its_idx_files_is_mnist() -> None:
    dataset = load(shared("mnist"))
    train = part(dataset)
    assert train.samples.shape == (60_000, 28, 28, 1)
    assert dataset.test.samples.shape == (10_000, 28, 28, 1)
    assert (dataset.classes, dataset.note) == (10, "")
    assert train.samples.mean() == pytest.approx(33.32, abs=0.005)
    assert labels(train)[:10] == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    # MD5 of the published files, unpacked.
    raw = struct.pack(">HBB3I", 0, 8, 3, *train.samples.shape[:3]) + train.samples.tobytes()
    assert hashlib.md5(raw).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    raw = struct.pack(">HBB3I", 0, 8, 3, 10_000, 28, 28) + dataset.test.samples.tobytes()
    assert hashlib.md5(raw).hexdigest() == "2646ac647ad5339dbf082846283269ea"
