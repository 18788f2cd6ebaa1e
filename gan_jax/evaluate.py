"""Does a run's GAN work, or whoever's samples: from files to figures, anchors and a verdict."""

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from gan_jax.config import Config
from gan_jax.data import Dataset, load
from gan_jax.data.stream import to_float
from gan_jax.errors import InputError
from gan_jax.evaluation.history import diverged, judge_run
from gan_jax.evaluation.judging import FIGURES
from gan_jax.evaluation.verdict import BETTER, Verdict
from gan_jax.gan import GAN
from gan_jax.judges import FAST, FULL, Evaluator, Features, labels_to_ask, pick, plain, refuse_few
from gan_jax.losses import LOSSES
from gan_jax.outside import Outside
from gan_jax.progress import say, stage
from gan_jax.runs import Run, load_with_facts
from gan_jax.sampling import sampler
from gan_jax.state import GANState

__all__ = ["Report", "evaluate", "show"]

_BLOCK = 1_000  # rows judged at a time


class Report(NamedTuple):
    """What `evaluate` found; its fields are those of ``--json``."""

    verdict: str
    reasons: tuple[str, ...]
    advice: str
    metrics: dict[str, Any]
    # Each with the metrics' keys: floor (what a perfect generator comes to on average), real
    # (training rows, as if they had not been trained on), train, and rows spoilt.
    anchors: dict[str, dict[str, Any]]
    samples: int
    features: str  # what distances were taken in
    seconds: float

    def to_json(self) -> str:
        """One object, NaN as null."""
        return json.dumps(plain(self._asdict()))


def evaluate(
    run: str | Path | None = None,
    samples: str | Path | None = None,
    against: str | None = None,
    *,
    data_dir: str = "",
    full: bool = False,
    best: bool = False,
    features: Features | None = None,
    console: Console,
) -> Report:
    """Judge a run's samples, or those in a file.

    Args:
        run: the run's folder.
        samples: an ``.npz`` with ``images`` or ``samples``, or an array without a name, and
            ``labels`` where each was asked to be of a class; in place of samples drawn from the
            run. Images of other layouts and ranges are converted: see `gan_jax.outside`.
        against: the data set to compare with; the run's own by default.
        data_dir: where tensorflow-datasets keeps its files.
        full: 10,000 samples against as many test rows, in place of 2,000, if there are so many; and
            those figures that take long.
        best: the run's best checkpoint by its own evaluations, in place of the newest.
        features: what distances are taken in, from images ``[n, height, width, channels]`` uint8 or
            standardised values to ``[n, d]``; by default a classifier's, trained on the data.
        console: where to say what takes long.

    Raises:
        InputError: neither run nor samples, samples without data, or files that cannot be used.
    """
    begun = time.perf_counter()
    config = None
    if run is not None:
        config = Run.open(run).read_config()
        found = diverged(Run.open(run).read_metrics()) if samples is None and not best else None
        if found is not None:  # perhaps before its first checkpoint: there may be nothing to draw
            seconds = round(time.perf_counter() - begun, 2)
            nothing = dict.fromkeys(FIGURES)
            return Report(*found, nothing, {}, 0, "none: a diverged run is not sampled", seconds)
    elif samples is None or against is None:
        raise InputError("evaluate: give a run's folder, or --samples FILE.npz with --against NAME")
    if run is not None and samples is not None:
        say(console, f"judging {samples}; {run} itself is not judged beside a file of samples")
    outside = None if samples is None else Outside(Path(os.path.expanduser(samples)), console)
    if config is not None and against is None:
        dataset = load(
            config.dataset, data_dir=data_dir or config.data_dir, validation=config.validation
        )
    else:
        assert against is not None
        dataset = load(against, data_dir=data_dir, tell=partial(say, console))
    asked = min(FULL if full else FAST, len(dataset.test.samples))
    refuse_few(dataset, asked)
    labels = playing = None
    if outside is None:
        assert run is not None and config is not None
        gan, state, facts = load_with_facts(run, best=best)
        playing = gan, state
        if against is None and facts.get("data", dataset.fingerprint) != dataset.fingerprint:
            say(console, f"{dataset.name} is not the data {run} began with")
        if config.generator.condition != "none" and config.classes == dataset.classes:
            labels = labels_to_ask(dataset, asked)
        with stage(console, f"drawing {asked:,} samples ..."):
            rows = sampler(gan)(state, asked, labels=labels)
        if rows.shape[1:] != dataset.sample_shape or rows.dtype != dataset.test.samples.dtype:
            raise InputError(
                f"{run}: samples are {rows.dtype} of shape {rows.shape[1:]}; those of "
                f"{dataset.name} are {dataset.test.samples.dtype} of shape {dataset.sample_shape}"
            )
    else:
        part = outside.like(dataset)
        rows, labels = pick(part, asked)  # whatever they are sorted by
        _check_labels(str(samples), labels, dataset, console)
        if len(rows) < len(part.samples):
            console.print(f"{len(rows):,} of {len(part.samples):,} samples", highlight=False)
    evaluator = Evaluator(dataset, len(rows), console, full=full, features=features)
    with stage(console, f"measuring {len(rows):,} samples ..."):
        metrics, verdict = evaluator.measure(rows, labels)
    anchors = evaluator.anchors
    if (
        config is not None and playing is not None and against is None
    ):  # elsewhere a class's number is another class's
        accuracy = _head_accuracy(config, *playing, dataset)
        if accuracy is not None:  # real rows have no head: null beside it
            metrics["head_accuracy"] = accuracy
            anchors = {
                name: {**figures, "head_accuracy": None} for name, figures in anchors.items()
            }
    if run is not None and samples is None and not best:  # the records are of the newest
        verdict = _with_history(verdict, Run.open(run), comparable=against is None)
    seconds = round(time.perf_counter() - begun, 2)
    return Report(*verdict, metrics, anchors, len(rows), evaluator.features, seconds)


def show(report: Report, console: Console) -> None:
    """Print the verdict, its reasons, and every figure with its anchors beside it."""
    if report.samples:
        _show_figures(report, console)
    say(console, f"features: {report.features}")
    console.print(f"verdict: [bold]{report.verdict}[/bold]", highlight=False)
    for reason in report.reasons:
        say(console, f"  {reason}")
    say(console, f"try: {report.advice}")


def _show_figures(report: Report, console: Console) -> None:
    """As many columns side by side as there is room for; arrows tell which way is better."""
    left = list({"samples": report.metrics, **report.anchors}.items())
    names = [
        name
        for name, value in report.metrics.items()
        if value is not None and name not in ("class_shares", "missing_classes")
    ]

    def table_of(columns: list[tuple[str, dict[str, Any]]]) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column(f"{report.samples:,} samples", no_wrap=True)
        for kind, _ in columns:
            table.add_column(kind.replace("_", " "), justify="right", no_wrap=True)
        for name in names:
            cells = [_cell(values.get(name)) for _, values in columns]
            better = {1: " ↑", -1: " ↓"}.get(BETTER.get(name, 0), "")
            table.add_row(name.replace("_", " ") + better, *cells)
        return table

    def fits(table: Table) -> bool:
        endless = console.options.update(width=10_000)  # or it would say what it could shrink to
        return console.measure(table, options=endless).maximum <= console.width

    while left:
        count = next((n for n in range(len(left), 1, -1) if fits(table_of(left[:n]))), 1)
        console.print(table_of(left[:count]))
        left = left[count:]


def _check_labels(path: str, labels: np.ndarray | None, dataset: Dataset, console: Console) -> None:
    """Refuse what samples cannot have been asked to be, and say how many were asked nothing."""
    if labels is None or not dataset.classes:
        return
    if labels.max() >= dataset.classes:
        raise InputError(
            f"{path}: label {labels.max()} is no class of {dataset.name}; "
            f"0 to {dataset.classes - 1} are allowed, and -1 for a sample without one"
        )
    without = int((labels < 0).sum())
    if without:
        console.print(f"{without:,} of {len(labels):,} samples have no label", highlight=False)


def _head_accuracy(config: Config, gan: GAN, state: GANState, dataset: Dataset) -> float | None:
    """How often the discriminator's own classes are those of test rows; None if it tells none."""
    labels = dataset.test.labels
    if config.discriminator.head not in ("classes", "semi_supervised") or labels is None:
        return None
    judge = jax.jit(gan.game.judge)
    known, said = labels >= 0, []
    for start in range(0, len(labels), _BLOCK):
        rows = to_float(jnp.asarray(dataset.test.samples[start : start + _BLOCK]))
        told = jnp.full(len(rows), -1)
        heads = judge(state.discriminator.params, rows, told, state.key).heads
        said.append(np.asarray(heads["classes"]).argmax(1))
    return float((np.concatenate(said) == labels)[known].mean())


def _with_history(verdict: Verdict, run: Run, *, comparable: bool) -> Verdict:
    """Evaluations on the way count where they are against the same data and reach to the end."""
    config, evaluations = run.read_config(), run.read_evaluations()
    # The next one was not due yet; where the newest checkpoint is itself judged, it is the newest.
    behind = run.checkpoints.steps()[-1] - evaluations[-1]["step"] if evaluations else 0
    if not comparable or not 0 <= behind < max(1, config.evaluation_interval):
        evaluations = []
    return judge_run(verdict, run.read_metrics(), evaluations, LOSSES[config.loss])


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.1g}"  # all columns fit into 80
