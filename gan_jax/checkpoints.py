"""A run's state on disk, whole or not at all.

Each checkpoint is one folder, ``checkpoints/<step>``, which orbax writes under another name and
renames when it is complete. Beside the arrays lie their names, shapes, types and SHA-256 sums,
because orbax by itself neither notices a flipped bit in an array nor refuses to cast one to
another type. Restoring checks them all; where the newest checkpoint is damaged it is moved aside
and the one before it is taken.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.errors import InputError
from gan_jax.state import GANState

__all__ = ["Checkpoints", "Damaged"]

FORMAT = 1
KEPT = 3  # the newest; damage to one of them costs an interval, not the run


class Damaged(Exception):
    """A checkpoint that cannot be what was saved."""


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, kept: int = KEPT):
        """The folder need not exist yet; of its checkpoints the newest so many are kept."""
        # Orbax refuses relative paths, tensorstore those with .. in them.
        self.folder = Path(os.path.realpath(folder))
        self.kept = kept

    def refuse_place(self) -> None:
        """See that orbax can save there: of a path it makes patterns, and finds nothing by them.

        Raises:
            InputError: it cannot.
        """
        try:
            str(self.folder).encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{str(self.folder.parent)!a}: no text in UTF-8; rename that, or give another "
                "--run-dir"
            ) from error
        for part in self.folder.parts[1:]:
            for sign in "[]\\":
                if sign in part:
                    raise InputError(
                        f"{self.folder.parent}: orbax saves no checkpoint where {sign} is in the "
                        f"path ({part!r}); rename that, or give another --run-dir"
                    )

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def save(self, state: GANState, facts: dict[str, Any]) -> None:
        """Write the state and, in the same atomic step, JSON ``facts`` that go with it.

        Raises:
            OSError: no room on the disk, or what else it refuses.
        """
        target = self._path(int(state.step))
        if target.exists():  # the same step of the same run is the same state
            return
        leaves = _leaves(state)
        entries = [{"name": name, **_describe(leaf)} for name, leaf in leaves.items()]
        # One text, so that the description has a sum of its own.
        text = json.dumps({"format": FORMAT, "facts": facts, "leaves": entries})
        meta = {"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        arrays = list(leaves.values())
        self.folder.mkdir(parents=True, exist_ok=True)
        # Orbax writes on where there is no room, and prints a traceback for each array.
        if shutil.disk_usage(self.folder).free < sum(leaf.nbytes for leaf in arrays):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        with _checkpointer() as (args, checkpointer):
            items = args.Composite(state=args.StandardSave(arrays), meta=args.JsonSave(meta))
            try:
                checkpointer.save(target, args=items)
            except ValueError as error:  # what orbax makes of it
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        for step in self.steps()[: -self.kept]:
            shutil.rmtree(self._path(step))
        for path in self.folder.glob("*orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)  # left by a save that was killed

    def restore(
        self, template: GANState, *, move_aside: bool = False
    ) -> tuple[GANState, dict[str, Any], list[str]]:
        """The newest sound checkpoint.

        Args:
            template: a state of the shapes and types wanted; `jax.eval_shape` makes one.
            move_aside: rename damaged checkpoints, so that the same steps can be saved again;
                for those who hold the run's lock.

        Returns:
            The state, the facts saved with it, and a sentence for each damaged checkpoint.

        Raises:
            InputError: there is no sound checkpoint, or it is of another network.
        """
        notes, damaged = [], []
        for step in reversed(self.steps()):
            try:
                state, facts = self._restore_step(step, template)
            except Damaged as error:
                notes.append(f"{self._path(step)}: damaged ({error}); passed over")
                damaged.append(self._path(step))
            else:  # with none sound all stay, for whoever tries again or looks into them
                for path in damaged if move_aside else ():
                    aside = path.with_name(f"damaged-{path.name}")
                    shutil.rmtree(aside, ignore_errors=True)
                    path.rename(aside)
                return state, facts, notes
        found = "; ".join(notes) if notes else "no checkpoint found"
        raise InputError(f"{self.folder}: {found}; nothing to restore")

    def _restore_step(self, step: int, template: GANState) -> tuple[GANState, dict[str, Any]]:
        with _checkpointer() as (args, checkpointer):
            items = args.Composite(state=args.StandardRestore(), meta=args.JsonRestore())
            try:
                _read_through(self._path(step) / "state")
                restored = checkpointer.restore(self._path(step), args=items)
                arrays = [np.asarray(leaf) for leaf in restored.state]
                text = restored.meta["text"]
                sound = hashlib.sha256(text.encode()).hexdigest() == restored.meta["sha256"]
            except (MemoryError, PermissionError):  # says nothing about the checkpoint
                raise
            except Exception as error:  # orbax raises many kinds for a damaged folder
                raise Damaged(_first_line(error)) from error
        if not sound:
            raise Damaged("its description is not what was saved")
        meta = json.loads(text)
        if meta["format"] != FORMAT:
            raise InputError(
                f"{self._path(step)}: checkpoint format {meta['format']}; "
                f"this gan_jax reads {FORMAT}"
            )
        saved = {entry.pop("name"): entry for entry in meta["leaves"]}
        if len(arrays) != len(saved):
            raise Damaged(f"{len(arrays)} arrays of {len(saved)}")
        for (name, expected), leaf in zip(saved.items(), arrays, strict=True):
            if _describe(leaf) != expected:
                raise Damaged(f"{name} is not what was saved")
        self._check_template(step, saved, template)
        return _fill(template, arrays), meta["facts"]

    def _check_template(self, step: int, saved: dict[str, Any], template: GANState) -> None:
        wanted = {
            name: {"shape": list(leaf.shape), "dtype": str(leaf.dtype)}
            for name, leaf in _leaves(template).items()
        }
        for name in sorted(wanted.keys() | saved.keys()):
            entry = saved.get(name)
            found = entry and {"shape": entry["shape"], "dtype": entry["dtype"]}
            if found != wanted.get(name):
                raise InputError(
                    f"{self._path(step)}: {name} is {_words(found)}; "
                    f"the run's config asks for {_words(wanted.get(name))}"
                )

    def _path(self, step: int) -> Path:
        return self.folder / str(step)


@contextmanager
def _checkpointer() -> Iterator[tuple[Any, Any]]:
    """Orbax and one of its checkpointers, without what they and their tasks log on the way."""
    # Imported here, because it takes about as long as everything else before the first step.
    import orbax.checkpoint as ocp

    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            yield ocp.args, checkpointer
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _read_through(folder: Path) -> None:
    """Read every array once, so that damage shows before orbax reads them.

    Where one of its reads fails, orbax closes its event loop, and each of the others, as it ends,
    prints a traceback because of that.
    """
    import tensorstore

    if not (folder / "manifest.ocdbt").is_file():
        raise Damaged("manifest.ocdbt of its arrays is gone")
    base = {"driver": "file", "path": f"{folder}/"}  # an address would read # and % otherwise
    store = {"driver": "ocdbt", "base": base}
    context = tensorstore.Context()
    keys = tensorstore.KvStore.open(store, context=context).result().list().result()
    names = [key.decode().removesuffix(".zarray") for key in keys if key.endswith(b"/.zarray")]
    opened = [
        tensorstore.open({"driver": "zarr", "kvstore": store | {"path": name}}, context=context)
        for name in names
    ]
    for read in [array.result().read() for array in opened]:
        read.result()


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _leaves(state: GANState) -> dict[str, Any]:
    """The leaves by path; a typed key becomes its data."""

    def plain(state: GANState) -> GANState:
        return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state)

    abstract = isinstance(state.step, jax.ShapeDtypeStruct)
    state = jax.eval_shape(plain, state) if abstract else jax.device_get(plain(state))
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _fill(template: GANState, arrays: list[np.ndarray]) -> GANState:
    def leaf(wanted: Any, array: np.ndarray) -> jax.Array:
        data = jnp.asarray(array)
        return jax.random.wrap_key_data(data) if _is_key(wanted) else data

    leaves, structure = jax.tree.flatten(template)
    return jax.tree.unflatten(structure, [leaf(*pair) for pair in zip(leaves, arrays, strict=True)])


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [repr(error)])[0]
    return line if len(line) <= 200 else f"{line[:200]} ..."  # some name every file they opened


def _describe(leaf: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest()
    return {"shape": list(leaf.shape), "dtype": str(leaf.dtype), "sha256": digest}


def _words(entry: dict[str, Any] | None) -> str:
    return f"{entry['dtype']} {entry['shape']}" if entry else "absent"
