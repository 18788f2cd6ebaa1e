"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["remove_unfinished", "replacing"]

_unfinished: set[Path] = set()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside that one, which takes its place when written: it is whole or as it was."""
    partial = path.with_name(f"{path.name}.part")
    _unfinished.add(partial)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
        _unfinished.discard(partial)


def remove_unfinished() -> None:
    """Remove what is being written, where the process is about to end."""
    for partial in tuple(_unfinished):
        with suppress(OSError):
            partial.unlink()
