"""What was decoded once, kept as plain arrays: a second start reads bytes and nothing else.

An entry is a folder named after everything its content depends on. Deleting entries is always
safe, and so is writing one from several processes at once.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from gan_jax.data.checks import check_file, reading, shown
from gan_jax.data.dataset import Part, Source
from gan_jax.environment import cache_dir

__all__ = ["cached"]

FORMAT = 1  # raise it when what is stored changes, or how it is decoded
CHECKSUMS = "checksums.json"


def cached(kind: str, files: Iterable[Path], decode: Callable[[], Source]) -> Source:
    """The source as kept, where `files` are unchanged since; else as decoded, and kept from now on.

    Raises:
        InputError: one of the files cannot be looked at, or as `decode` does.
    """
    folder = cache_dir() / _key(kind, files)
    source = _read(folder)
    if source is None:
        source = decode()
        _write(folder, source)
    return source


def _key(kind: str, files: Iterable[Path]) -> str:
    facts: list[object] = [FORMAT, kind]
    for path in files:
        check_file(path)
        with reading(shown(path)):
            status = path.stat()
        facts.append([os.path.abspath(path), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _read(folder: Path) -> Source | None:
    """The source kept in that folder, or None where there is none to be trusted."""
    try:
        checksums = json.loads((folder / CHECKSUMS).read_text())
        arrays = {name: _read_array(folder / name, checksums[name]) for name in checksums}
        return _from_arrays(arrays)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _read_array(path: Path, checksum: int) -> np.ndarray:
    content = path.read_bytes()
    if zlib.crc32(content) != checksum:
        raise ValueError(f"{path}: damaged")
    stream = io.BytesIO(content)  # which shares the bytes: a second reading would take as long
    npy.read_magic(stream)
    shape, by_columns, dtype = npy.read_array_header_1_0(stream)
    array = np.frombuffer(content, dtype, offset=stream.tell())
    return array.reshape(shape, order="F" if by_columns else "C")


def _write(folder: Path, source: Source) -> None:
    """Keep a source; what goes wrong here costs the next start some time and nothing else."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    except OSError:
        return
    try:
        checksums = {}
        for name, array in _to_arrays(source).items():
            np.save(temporary / name, array, allow_pickle=False)
            checksums[name] = zlib.crc32((temporary / name).read_bytes())
        (temporary / CHECKSUMS).write_text(json.dumps(checksums))
        shutil.rmtree(folder, ignore_errors=True)  # what lay there could not be read
        temporary.rename(folder)
    except OSError:  # no space, or another process was first
        shutil.rmtree(temporary, ignore_errors=True)


def _to_arrays(source: Source) -> dict[str, np.ndarray]:
    arrays = {"classes.npy": np.array(source.classes), "note.npy": np.array(source.note)}
    for name, part in (("train", source.train), ("test", source.test)):
        if part is not None:
            arrays[f"{name}.samples.npy"] = part.samples
            if part.labels is not None:
                arrays[f"{name}.labels.npy"] = part.labels
    return arrays


def _from_arrays(arrays: dict[str, np.ndarray]) -> Source:
    def part(name: str) -> Part:
        return Part(arrays[f"{name}.samples.npy"], arrays.get(f"{name}.labels.npy"))

    return Source(
        train=part("train"),
        test=part("test") if "test.samples.npy" in arrays else None,
        classes=int(arrays["classes.npy"]),
        note=str(arrays["note.npy"]),
    )
