"""A run: one folder that holds the config, metrics, checkpoints and pictures of one training."""

import dataclasses
import json
import math
import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from gan_jax.assembly import from_config
from gan_jax.checkpoints import Checkpoints
from gan_jax.config import Config
from gan_jax.errors import InputError
from gan_jax.files import replacing
from gan_jax.gan import GAN
from gan_jax.state import GANState

__all__ = ["Run", "load", "load_with_facts", "new_run_dir"]


class Run:
    """The files of one run, and how they are kept true to its checkpoints."""

    def __init__(self, path: str | Path):
        """Only names the files; `create` and `open` look at the disk."""
        self.path = Path(path)
        self.config_path = self.path / "config.toml"
        self.metrics_path = self.path / "metrics.jsonl"  # determined by config and step alone
        self.evaluations_path = self.path / "evaluations.jsonl"  # of samples, while training
        self.timing_path = self.path / "timing.jsonl"  # what the clock said
        self.samples_path = self.path / "samples"
        self.final_path = self.path / "final.png"  # the same latents at the very end
        self.animation_path = self.path / "training.webp"
        self.curves_path = self.path / "curves.png"
        self.checkpoints = Checkpoints(self.path / "checkpoints")
        self.best = Checkpoints(self.path / "best", kept=1)

    @classmethod
    def create(cls, path: str | Path) -> "Run":
        """A folder for a new run; `begin` writes into it.

        Raises:
            InputError: the folder holds a run already, or cannot be made.
        """
        run = cls(path)
        run.refuse_old()
        with _writing(path):
            run.path.mkdir(parents=True, exist_ok=True)
        return run

    def begin(self, config: Config) -> None:
        """Write the config of a new run; call it under the lock.

        Raises:
            InputError: the folder holds a run by now, or cannot be written.
        """
        self.refuse_old()
        with _writing(self.path):
            self.samples_path.mkdir(exist_ok=True)
            self.write_config(config)

    def refuse_old(self) -> None:
        """See that nothing of a run is there, which a new one would add to or write over.

        Raises:
            InputError: something is.
        """
        parts = (self.config_path, self.checkpoints.folder, self.best.folder, self.metrics_path)
        parts = (*parts, self.evaluations_path, self.timing_path)
        with _writing(self.path):
            held = any(part.exists() for part in parts) or bool(self.sample_paths())
            pictures = [path.name for path in self.last_paths() if path.exists()]
        if held:
            raise InputError(
                f"{self.path}: holds a run already; go on with `gan-jax resume` "
                "or name another --run-dir"
            )
        if pictures:
            raise InputError(
                f"{self.path}: holds {pictures[0]} already, which a run would overwrite; "
                "name another --run-dir"
            )

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """A folder that holds a run.

        Raises:
            InputError: it does not.
        """
        run = cls(path)
        if not run.config_path.is_file():
            raise InputError(f"{path}: holds no run (there is no config.toml in it)")
        return run

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder; a killed holder frees it.

        Raises:
            InputError: another process is at it.
        """
        try:
            import fcntl
        except ImportError:  # no such lock on this system
            yield
            return
        with _writing(self.path):
            file = open(self.path / ".lock", "a+")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise InputError(f"{self.path}: {holder} is training here") from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            yield

    def read_config(self) -> Config:
        """The config as it was written."""
        return Config.from_toml(self.config_path)

    def write_config(self, config: Config) -> None:
        """Whole or not at all."""
        with replacing(self.config_path) as partial:
            partial.write_text(config.to_toml(), encoding="utf-8")

    def sample_path(self, step: int) -> Path:
        """Where the picture of that step lies; names sort by step."""
        return self.samples_path / f"step-{step:09d}.png"

    def last_paths(self) -> tuple[Path, ...]:
        """What is drawn when the steps are done."""
        return self.final_path, self.animation_path, self.curves_path

    def sample_paths(self) -> list[Path]:
        """The pictures there are, oldest first."""
        paths = self.samples_path.glob("step-*.png")
        return sorted(path for path in paths if path.stem.removeprefix("step-").isdecimal())

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """One more line of metrics.jsonl."""
        _append(self.metrics_path, record)

    def append_evaluation(self, record: Mapping[str, Any]) -> None:
        """One more line of evaluations.jsonl."""
        _append(self.evaluations_path, record)

    def append_timing(self, record: Mapping[str, Any]) -> None:
        """One more line of timing.jsonl."""
        _append(self.timing_path, record)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, oldest first."""
        return _read_lines(self.metrics_path)

    def read_evaluations(self) -> list[dict[str, Any]]:
        """The lines of evaluations.jsonl, oldest first."""
        return _read_lines(self.evaluations_path)

    def cut_back(self, step: int) -> None:
        """Drop what was written beyond that step, so that going on from it repeats nothing."""
        self.samples_path.mkdir(exist_ok=True)
        for path in (self.metrics_path, self.evaluations_path, self.timing_path):
            if not path.exists():
                continue
            kept = [record for record in _read_lines(path) if record["step"] <= step]
            with replacing(path) as partial:
                partial.write_text("".join(map(_line, kept)), encoding="utf-8")
        for best in self.best.steps():
            if best > step:  # going on from here finds it again, or another
                shutil.rmtree(self.best.folder / str(best))
        for picture in self.sample_paths():
            if int(picture.stem.removeprefix("step-")) > step:
                picture.unlink()
        lines = self.metrics_path, self.evaluations_path, self.timing_path
        for path in (self.config_path, *lines, *self.last_paths()):
            path.with_name(f"{path.name}.part").unlink(missing_ok=True)
        for partial in self.samples_path.glob("step-*.png.part"):
            partial.unlink()  # left, as those, by a process that was killed


def load(
    path: str | Path, *, best: bool = False, temperature: float | None = None
) -> tuple[GAN, GANState]:
    """Open a finished run: ``gan, state = gan_jax.load(RUN)``.

    Args:
        path: the run's folder.
        best: the best checkpoint by evaluations, in place of the newest.
        temperature: the deviation of the normals that it samples from, in place of its config's.

    Raises:
        InputError: no run there, no sound checkpoint in it, or a temperature out of range.
    """
    gan, state, _ = load_with_facts(path, best=best, temperature=temperature)
    return gan, state


def load_with_facts(
    path: str | Path, *, best: bool = False, temperature: float | None = None
) -> tuple[GAN, GANState, dict[str, Any]]:
    """As `load`, with what was saved beside the state: of which data it is, and more.

    Raises:
        InputError: as `load`.
    """
    run = Run.open(path)
    if best and not run.best.steps():
        raise InputError(
            f"{run.best.folder}: no best checkpoint; a run keeps one under --evaluation-interval"
        )
    config = run.read_config()
    if config.precision == "tf32" and jax.default_backend() != "gpu":
        # Parameters are float32's, and what was learned on a GPU can be looked at anywhere.
        config = dataclasses.replace(config, precision="float32")
    if temperature is not None:
        config = Config.from_dict({"generator": {"temperature": temperature}}, config)
    gan = from_config(config)
    checkpoints = run.best if best else run.checkpoints
    state, facts, notes = checkpoints.restore(jax.eval_shape(gan.init, jax.random.key(0)))
    for note in notes:
        warnings.warn(f"{note}; step {int(state.step):,} is looked at", stacklevel=3)
    return gan, state, facts


def new_run_dir(config: Config) -> Path:
    """Make ``runs/<recipe>-<dataset>-<number>``, with the first number that is free."""
    name = re.sub(r"[^\w.-]+", "_", f"{config.recipe}-{Path(config.dataset).stem}")
    number = 1
    while True:
        path = Path("runs") / f"{name}-{number}"
        try:
            with _writing(path, FileExistsError):
                path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1


@contextmanager
def _writing(path: str | Path, *passed: type[OSError]) -> Iterator[None]:
    """What the system refuses, in one line; but for the kinds that are passed on.

    Raises:
        InputError: names the path and what the system said.
    """
    try:
        yield
    except passed:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def _append(path: Path, record: Mapping[str, Any]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(_line(record))


def _line(record: Mapping[str, Any]) -> str:
    # JSON has no NaN; `finite: false` beside it says why a value is absent.
    plain = {k: None if _undefined(v) else v for k, v in record.items()}
    return json.dumps(plain) + "\n"


def _undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Its records, without lines that are none: who was killed may have left half of one."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records
