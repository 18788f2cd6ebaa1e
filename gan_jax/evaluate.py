"""Does a run's GAN work, or whoever's samples: from files to figures, anchors and a verdict."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from gan_jax.data import Dataset, Mixture, Part, load
from gan_jax.data.arrays import load_npz
from gan_jax.environment import cache_dir
from gan_jax.errors import InputError
from gan_jax.evaluation.features import Classifier, read, train_classifier, untrained
from gan_jax.evaluation.judging import Judge, View, anchor_rows
from gan_jax.evaluation.verdict import Verdict, diverged, judge_run, judge_samples
from gan_jax.losses import LOSSES
from gan_jax.runs import Run
from gan_jax.sampling import sample_run

__all__ = ["FAST", "FULL", "Report", "evaluate", "show"]

FAST, FULL = 2_000, 10_000  # samples
_FORMAT = 1  # raise it when the classifier or an anchor comes out differently
_SEED = 0


class Report(NamedTuple):
    """What `evaluate` found; its fields are those of ``--json``."""

    verdict: str
    reasons: tuple[str, ...]
    advice: str
    metrics: dict[str, Any]
    anchors: dict[str, dict[str, Any]]  # "floor": what a perfect generator comes to on average
    samples: int
    features: str  # what distances were taken in
    seconds: float

    def to_json(self) -> str:
        """One object, NaN as null."""
        return json.dumps(_plain(self._asdict()))


def evaluate(
    run: str | Path | None = None,
    samples: str | Path | None = None,
    against: str | None = None,
    *,
    data_dir: str = "",
    full: bool = False,
    console: Console,
) -> Report:
    """Judge a run's samples, or those in a file.

    Args:
        run: the run's folder.
        samples: an ``.npz`` with ``images`` (uint8) or ``samples`` (float32), and ``labels`` where
            each was asked to be of a class; in place of samples drawn from the run.
        against: the data set to compare with; the run's own by default.
        data_dir: where tensorflow-datasets keeps its files.
        full: 10,000 samples against the test rows, in place of 2,000.
        console: where to say what takes long.

    Raises:
        InputError: neither run nor samples, samples without data, or files that cannot be used.
    """
    begun = time.perf_counter()
    config = None
    if run is not None:
        config = Run.open(run).read_config()
        found = diverged(Run.open(run).read_metrics()) if samples is None else None
        if found is not None:  # perhaps before its first checkpoint: there may be nothing to draw
            seconds = round(time.perf_counter() - begun, 2)
            return Report(*found, {}, {}, 0, "none: a diverged run is not sampled", seconds)
    elif samples is None or against is None:
        raise InputError("evaluate: give a run's folder, or --samples FILE.npz with --against NAME")
    if config is not None and against is None:
        dataset = load(
            config.dataset, data_dir=data_dir or config.data_dir, validation=config.validation
        )
    else:
        assert against is not None
        dataset = load(against, data_dir=data_dir)
    asked = min(FULL if full else FAST, len(dataset.test.samples))
    labels = None
    if samples is None:
        assert run is not None
        rows = sample_run(run, asked)
    else:
        part = load_npz(Path(samples).expanduser()).train
        rows, labels = part.samples[:asked], part.labels
        labels = None if labels is None or (labels < 0).any() else labels[:asked]
    if rows.shape[1:] != dataset.sample_shape or rows.dtype != dataset.test.samples.dtype:
        raise InputError(
            f"{samples or run}: samples are {rows.dtype} of shape {rows.shape[1:]}; those of "
            f"{dataset.name} are {dataset.test.samples.dtype} of shape {dataset.sample_shape}"
        )
    least = 100
    if len(rows) < least:
        raise InputError(f"samples: {len(rows)} are too few; at least {least} are needed")
    if len(rows) < FAST:
        console.print(f"only {len(rows):,} samples: figures are noisy", highlight=False)
    judge, features = _judge(dataset, len(rows), console)
    metrics = judge.measure(rows, labels)
    anchors = _anchors(dataset, judge, len(rows), console)
    verdict = judge_samples(metrics, anchors)
    if run is not None and samples is None:
        verdict = _with_history(verdict, Run.open(run))
    seconds = round(time.perf_counter() - begun, 2)
    return Report(*verdict, metrics, anchors, len(rows), features, seconds)


def show(report: Report, console: Console) -> None:
    """Print the verdict, its reasons, and every figure with its anchors beside it."""
    columns = {"samples": report.metrics, **report.anchors}
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{report.samples:,} samples")
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for name, value in report.metrics.items():
        if value is not None and name not in ("missing_classes", "kernel_distance_error"):
            cells = [_cell(column.get(name)) for column in columns.values()]
            table.add_row(name.replace("_", " "), *cells)
    if report.samples:
        console.print(table)
    console.print(f"features: {report.features}", highlight=False)
    console.print(f"verdict: [bold]{report.verdict}[/bold]", highlight=False)
    for reason in report.reasons:
        console.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"try: {report.advice}", highlight=False, markup=False, soft_wrap=True)


def _with_history(verdict: Verdict, run: Run) -> Verdict:
    loss = LOSSES[run.read_config().loss]
    unsure = jnp.full(1, loss.equilibrium)
    return judge_run(verdict, run.read_metrics(), float(loss.discriminator(unsure, unsure)[0]))


def _judge(dataset: Dataset, count: int, console: Console) -> tuple[Judge, str]:
    """The judge of so many samples against as many test rows, and what its features are."""
    test = _pick(dataset.test, count)
    train = None if isinstance(dataset.train, Mixture) else dataset.train.samples
    shares = None
    if dataset.classes and dataset.test.labels is not None:
        known = dataset.test.labels[dataset.test.labels >= 0]
        shares = np.bincount(known, minlength=dataset.classes) / max(1, len(known))
    if dataset.is_image:
        classifier, accuracy = _classifier(dataset, console)

        def look(rows: np.ndarray) -> View:
            seen = read(classifier, rows)
            return View(seen.features, seen.probabilities if classifier.trained else None)

        if classifier.trained:
            name = f"of a classifier trained on {dataset.name}, test accuracy {accuracy:.2%}"
        else:
            name = "of an untrained network (the data have no labels)"
        return Judge(look, test.samples, train, shares if classifier.trained else None), name
    if isinstance(dataset.train, Mixture):
        mixture = dataset.train

        def look_at_modes(rows: np.ndarray) -> View:
            away = ((rows[:, None] - mixture.centers[None]) ** 2).sum(2) / (2 * mixture.std**2)
            weights = np.exp(-(away - away.min(1, keepdims=True)))
            return View(rows, weights / weights.sum(1, keepdims=True))

        return Judge(look_at_modes, test.samples, None, shares), "the coordinates themselves"
    mean, deviation = dataset.test.samples.mean(0), dataset.test.samples.std(0)

    def standardise(rows: np.ndarray) -> View:
        return View((rows - mean) / np.where(deviation > 0, deviation, 1.0), None)

    return Judge(standardise, test.samples, train, None), "the values themselves, standardised"


def _anchors(
    dataset: Dataset, judge: Judge, count: int, console: Console
) -> dict[str, dict[str, Any]]:
    """Figures of real rows and of spoilt ones, kept for the next time."""
    path = _kept(dataset, f"anchors-{count}.json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    if isinstance(dataset.train, Mixture):
        drawn = dataset.train.draw(jax.random.key(_SEED), count)
        part = Part(np.asarray(drawn.samples), np.asarray(drawn.labels))
    else:
        part = _pick(dataset.train, count)
    labels = part.labels if dataset.classes else None
    anchors: dict[str, dict[str, Any]] = {"floor": judge.floors(count)}
    for name, rows in anchor_rows(part.samples, labels).items():
        with console.status(f"measuring real rows: {name.replace('_', ' ')} ..."):
            anchors[name] = _plain(judge.measure(rows))
    _keep(path, json.dumps(anchors).encode())
    return anchors


def _classifier(dataset: Dataset, console: Console) -> tuple[Classifier, float]:
    """The classifier of a data set, and its accuracy on the test rows; trained once, then kept."""
    assert isinstance(dataset.train, Part)
    shape, labels = dataset.sample_shape, dataset.train.labels
    if labels is None or dataset.classes < 2 or dataset.test.labels is None:
        return untrained(shape, dataset.classes, _SEED), 0.0
    path = _kept(dataset, "classifier.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            params = {name: jnp.asarray(file[name]) for name in file}
            return Classifier(params, True), float(params.pop("accuracy"))
    except (OSError, ValueError, KeyError):
        pass
    with console.status("") as status:

        def progress(step: int, steps: int) -> None:
            if step % 50 == 0:
                status.update(
                    f"training a classifier on {dataset.name}, once: {100 * step // steps}%"
                )

        classifier = train_classifier(
            dataset.train.samples, labels, dataset.classes, seed=_SEED, progress=progress
        )
    said = read(classifier, dataset.test.samples).probabilities.argmax(1)
    known = dataset.test.labels >= 0
    accuracy = float((said == dataset.test.labels)[known].mean())
    with tempfile.TemporaryFile() as file:
        arrays = {name: np.asarray(value) for name, value in classifier.params.items()}
        np.savez(file, accuracy=np.float64(accuracy), **arrays)  # pyright: ignore
        file.seek(0)
        _keep(path, file.read())
    return classifier, accuracy


def _kept(dataset: Dataset, name: str) -> Path:
    """Where something lies that depends on nothing but the data and how it is made."""
    digest = hashlib.sha256(f"{_FORMAT} {dataset.fingerprint}".encode())
    for field in dataset.test:
        if field is not None:
            digest.update(np.ascontiguousarray(field).data)
    return cache_dir() / "judges" / digest.hexdigest()[:32] / name


def _keep(path: Path, content: bytes) -> None:
    """Whole or not at all; a cache is a convenience."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except OSError:
        pass


def _pick(part: Part, count: int) -> Part:
    """So many rows at most, always the same."""
    order = np.random.RandomState(_SEED).permutation(len(part.samples))[:count]
    return Part(part.samples[order], None if part.labels is None else part.labels[order])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3g}"
