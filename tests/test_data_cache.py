"""What was decoded once is read back equal, and never trusted when it should not be."""

import json
import os
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gan_jax.data import idx, load
from gan_jax.data.cache import cached
from gan_jax.data.dataset import Part, Source

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 1), np.uint8)
LABELS = np.arange(12, dtype=np.int32) - 1
SOURCES = {
    "all": Source(Part(IMAGES, LABELS), Part(IMAGES[:2], LABELS[:2]), 11, "a note"),
    "no test": Source(Part(IMAGES, LABELS), None, 11),
    "no labels": Source(Part(IMAGES), Part(IMAGES[:2]), 0),
    "test without labels": Source(Part(IMAGES, LABELS), Part(IMAGES[:2]), 11),
    "by columns": Source(Part(np.asfortranarray(IMAGES)), None, 0),
    "vectors": Source(Part(IMAGES[:, 0, :, 0] / np.float32(3)), None, 0),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def forbidden() -> Source:
    raise AssertionError("decoded again")


def assert_equal(found: Source, expected: Source) -> None:
    assert (found.classes, found.note) == (expected.classes, expected.note)
    assert (found.test is None) == (expected.test is None)
    for mine, theirs in zip(
        (found.train, found.test), (expected.train, expected.test), strict=True
    ):
        for one, other in zip(mine or (), theirs or (), strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)


def write_idx(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    header = struct.pack(">HBB3I", 0, 8, 3, *images.shape[:3])
    (folder / "train-images-idx3-ubyte").write_bytes(header + images.tobytes())
    return folder


@pytest.mark.parametrize("name", SOURCES)
def test_a_hit_equals_what_was_decoded(name: str) -> None:
    assert cached("test", [], lambda: SOURCES[name]) is SOURCES[name]
    assert_equal(cached("test", [], forbidden), SOURCES[name])


def test_a_kind_is_kept_apart_from_another() -> None:
    cached("one", [], lambda: SOURCES["all"])
    assert cached("other", [], lambda: SOURCES["vectors"]) is SOURCES["vectors"]


@pytest.mark.parametrize("later", [0, 1], ids=["another size", "another time"])
def test_changed_content_is_decoded_again(later: int, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "data", IMAGES)
    path = folder / "train-images-idx3-ubyte"
    before, status = load(str(folder)).fingerprint, path.stat()
    write_idx(folder, 255 - IMAGES if later else np.concatenate([IMAGES, IMAGES]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + later))
    assert load(str(folder)).fingerprint != before


def test_moved_files_are_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_idx(tmp_path / "data", IMAGES)
    load(str(folder))
    folder = folder.rename(tmp_path / "other")
    decoded, original = [], idx.read_idx
    monkeypatch.setattr(idx, "read_idx", lambda path: decoded.append(path) or original(path))
    for _ in range(2):
        load(str(folder))
    assert decoded == [folder / "train-images-idx3-ubyte"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, flip, empty, Path.unlink, replace_by_folder])
@pytest.mark.parametrize(
    "name",
    ["train.samples.npy", "train.labels.npy", "test.samples.npy", "classes.npy", "checksums.json"],
)
def test_damage_is_noticed_and_mended(
    name: str, damage: Callable[[Path], None], cache: Path
) -> None:
    cached("test", [], lambda: SOURCES["all"])
    (entry,) = cache.iterdir()
    damage(entry / name)
    found = cached("test", [], lambda: SOURCES["all"])
    assert_equal(found, SOURCES["all"])
    assert found is SOURCES["all"]  # decoded again
    assert_equal(cached("test", [], forbidden), SOURCES["all"])
    assert list(cache.iterdir()) == [entry]


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"../x": 1}', '{"train.samples.npy": "a"}'])
def test_nonsense_in_place_of_checksums(content: str, cache: Path) -> None:
    cached("test", [], lambda: SOURCES["all"])
    (entry,) = cache.iterdir()
    (entry / "checksums.json").write_text(content)
    assert cached("test", [], lambda: SOURCES["all"]) is SOURCES["all"]


def test_pickles_are_not_read(cache: Path) -> None:
    cached("test", [], lambda: SOURCES["all"])
    (entry,) = cache.iterdir()
    path = entry / "note.npy"
    np.save(path, np.array([{}], object), allow_pickle=True)
    checksums = json.loads((entry / "checksums.json").read_text())
    checksums["note.npy"] = zlib.crc32(path.read_bytes())
    (entry / "checksums.json").write_text(json.dumps(checksums))
    assert cached("test", [], lambda: SOURCES["all"]) is SOURCES["all"]


def test_a_folder_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        assert cached("test", [], lambda: SOURCES["all"]) is SOURCES["all"]


def test_a_full_disk_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    assert cached("test", [], lambda: SOURCES["all"]) is SOURCES["all"]
    assert list(cache.iterdir()) == []


def test_writers_at_once_leave_one_whole_entry(cache: Path) -> None:
    together = threading.Barrier(8)

    def decode() -> Source:
        together.wait(timeout=30)
        return SOURCES["all"]

    with ThreadPoolExecutor(8) as pool:
        for found in [pool.submit(cached, "test", [], decode) for _ in range(8)]:
            assert_equal(found.result(), SOURCES["all"])
    assert len(list(cache.iterdir())) == 1
    assert_equal(cached("test", [], forbidden), SOURCES["all"])


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"GAN_JAX_CACHE": "{}/a", "XDG_CACHE_HOME": "{}/b", "HOME": "{}/c"}, "a"),
        ({"XDG_CACHE_HOME": "{}/b", "HOME": "{}/c"}, "b/gan_jax"),
        ({"HOME": "{}/c"}, "c/.cache/gan_jax"),
        ({"GAN_JAX_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "{}/c"}, "c/.cache/gan_jax"),
        ({"GAN_JAX_CACHE": "~/d", "HOME": "{}/c"}, "c/d"),
    ],
)
def test_where_it_lies(
    variables: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GAN_JAX_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    cached("test", [], lambda: SOURCES["all"])
    assert [path.name for path in (tmp_path / expected).glob("*/note.npy")] == ["note.npy"]
