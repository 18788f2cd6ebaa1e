"""Which judge a data set gets, and its anchors, measured once and kept in the cache."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from gan_jax.classifiers import classifier_of, fingerprint, keep, kept
from gan_jax.data import Dataset, Mixture, Part
from gan_jax.errors import InputError
from gan_jax.evaluation.features import classification_accuracy, read
from gan_jax.evaluation.judging import Judge, View, anchor_rows
from gan_jax.evaluation.mixtures import exact_wasserstein, mixture_figures, mode_probabilities
from gan_jax.evaluation.neighbours import Remember
from gan_jax.evaluation.rows import of_one_size
from gan_jax.evaluation.verdict import LEAST_ROWS, Verdict, judge_samples
from gan_jax.progress import say, stage

__all__ = ["FAST", "FULL", "Evaluator", "labels_to_ask", "pick", "plain", "refuse_few"]

FAST, FULL = 2_000, 10_000  # samples
_ANCHORS = 8  # raise it when an anchor, or what is remembered of real rows, does
_SEED = 0
_FARTHEST = 1e6  # what is farther counts as being there
_PAIRED = 1_000  # rows of a mixture that exact W2 pairs, in a tenth of a second

Features = Callable[[np.ndarray], np.ndarray]


class Evaluator:
    """From samples of one kind of data to figures and a verdict, as often as one likes."""

    def __init__(
        self,
        dataset: Dataset,
        count: int,
        console: Console,
        *,
        full: bool = False,
        features: Features | None = None,
    ):
        """Looks up, or makes, what depends on the data alone.

        Args:
            dataset: what samples are compared with: its test rows.
            count: how many samples there will be; as many test rows, if there are.
            console: where to say what takes long.
            full: also those figures that take long.
            features: what distances are taken in, from rows as they are measured to ``[n, d]``; by
                default the classifier's. What depends on it is then not kept for the next time.

        Raises:
            InputError: too few test rows or samples for any figure to mean something.
        """
        refuse_few(dataset, count)
        _note_few(dataset, count, console)
        self.judge, self.features = _judge(dataset, count, console, features)
        self.thorough = full
        name = f"anchors-{count}{'-full' * full}-{_ANCHORS}.json"
        path = None if features is not None else kept(fingerprint(dataset), name)
        self.anchors = _anchors(dataset, self.judge, count, console, path, full=full)

    def measure(
        self,
        rows: np.ndarray,
        labels: np.ndarray | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> tuple[dict[str, Any], Verdict]:
        """Figures, and the verdict on the samples alone.

        Args:
            rows: images ``[n, height, width, channels]`` uint8, or ``[n, features]`` float32.
            labels: what each was asked to be, ``[n]``, where they were asked; -1 where one was not.
            pause: called now and then; may raise to end it.
        """
        metrics = self.judge.measure(rows, labels, thorough=self.thorough, pause=pause)
        return metrics, judge_samples(metrics, self.anchors)


def refuse_few(dataset: Dataset, count: int) -> None:
    """See that there are rows enough on either side for figures to mean something.

    Raises:
        InputError: there are not.
    """
    found = f"{_kind(dataset)} rows of {dataset.name}"
    note = f" ({dataset.note})" if dataset.note else ""
    rows = len(dataset.test.samples)
    for name, number, why in ((found, rows, note), ("samples", count, "")):
        if number < LEAST_ROWS:
            raise InputError(f"{name}: {number} are too few; at least {LEAST_ROWS} are needed{why}")


def _kind(dataset: Dataset) -> str:
    return "validation" if dataset.test is dataset.validation else "test"


def _note_few(dataset: Dataset, count: int, console: Console) -> None:
    """Say where figures are noisy."""
    kind, rows = _kind(dataset), len(dataset.test.samples)
    if rows < FAST:
        note = f"only {rows:,} {kind} rows in {dataset.name}: figures are noisy"
    elif count < FAST:
        note = f"only {count:,} samples: figures are noisy"
    else:
        return
    say(console, note)


def _judge(
    dataset: Dataset, count: int, console: Console, features: Features | None
) -> tuple[Judge, str]:
    """The judge of so many samples against as many test rows, and what its features are."""

    def seen_as(rows: np.ndarray, own: np.ndarray, probabilities: np.ndarray | None) -> View:
        return View(own if features is None else np.asarray(features(rows)), probabilities)

    test, remember = pick(dataset.test, count), _remember(dataset, count)
    train = None if isinstance(dataset.train, Mixture) else dataset.train.samples
    shares = None
    if dataset.classes and dataset.test.labels is not None:
        known = dataset.test.labels[dataset.test.labels >= 0]
        shares = np.bincount(known, minlength=dataset.classes) / max(1, len(known))
    if dataset.is_image:
        classifier, accuracy = classifier_of(dataset, console)

        def look(rows: np.ndarray) -> View:
            seen = read(classifier, rows)
            return seen_as(rows, seen.features, seen.probabilities if classifier.trained else None)

        if features is not None:
            name = "given"
        elif classifier.trained:
            name = f"of a classifier trained on {dataset.name}, test accuracy {accuracy:.2%}"
        else:
            few = "too few labels" if dataset.classes else "no labels"
            name = f"of an untrained network (the data have {few})"
        if not classifier.trained:
            return Judge(look, test.samples, train, None, remember=remember), name
        learn = _learner(dataset)
        return Judge(look, test.samples, train, shares, learn, remember=remember), name
    if isinstance(dataset.train, Mixture):
        mixture = dataset.train

        def look_at_modes(rows: np.ndarray) -> View:
            return seen_as(rows, rows, mode_probabilities(rows, *mixture))

        def extra(rows: np.ndarray) -> dict[str, float]:
            pairs = of_one_size(test.samples[:_PAIRED], rows[:_PAIRED])
            return mixture_figures(rows, *mixture) | {
                "exact_wasserstein": exact_wasserstein(*pairs)
            }

        judge = Judge(look_at_modes, test.samples, None, shares, prepare=_bounded, extra=extra)
        return judge, "the coordinates themselves" if features is None else "given"
    standardise = _standardiser(dataset.test.samples)

    def look_at_values(rows: np.ndarray) -> View:
        return seen_as(rows, rows, None)

    judge = Judge(look_at_values, test.samples, train, None, prepare=standardise, remember=remember)
    return judge, "the values themselves, standardised" if features is None else "given"


def _remember(dataset: Dataset, count: int) -> Remember:
    """Keeps what depends on the training rows and so many test rows alone."""
    name_of_data = fingerprint(dataset)

    def remember(name: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        path = kept(name_of_data, f"{name}-{count}-{_ANCHORS}.npy")
        try:
            found = np.load(path, allow_pickle=False)
            if found.shape == shape and found.dtype == np.float64:
                return found
        except (OSError, ValueError, EOFError):
            pass
        made, file = make(), io.BytesIO()
        np.save(file, made, allow_pickle=False)
        keep(path, file.getvalue())
        return made

    return remember


def _bounded(rows: np.ndarray) -> np.ndarray:
    """In float64, and what explodes no farther than its squares and cubes are finite."""
    return np.clip(rows.astype(np.float64), -_FARTHEST, _FARTHEST)


def _standardiser(real: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Takes rows to deviations from the mean of real ones, feature by feature."""
    real = real.astype(np.float64)
    mean, deviation = real.mean(0), real.std(0)
    varies = deviation > 1e-12 * np.abs(mean)  # the rest is rounding
    scale = np.where(varies, deviation, 1.0)
    return lambda rows: _bounded((rows.astype(np.float64) - mean) / scale)


def _learner(dataset: Dataset) -> Callable[[np.ndarray, np.ndarray], float]:
    held_out, real_labels = dataset.test
    assert real_labels is not None

    def learn(rows: np.ndarray, labels: np.ndarray) -> float:
        return classification_accuracy(rows, labels, held_out, real_labels, dataset.classes)

    return learn


def labels_to_ask(dataset: Dataset, count: int) -> np.ndarray | None:
    """What a conditional generator is asked for: the labels of as many training rows, ``[count]``.

    So that its classes are as frequent as those it learned from. None without labels.
    """
    if isinstance(dataset.train, Mixture):
        return np.asarray(dataset.train.draw(jax.random.key(_SEED), count).labels)
    labels = dataset.train.labels
    if labels is None or not (labels >= 0).any():
        return None
    known = labels[labels >= 0]
    return known[np.random.RandomState(_SEED).randint(len(known), size=count)]


def _anchors(
    dataset: Dataset,
    judge: Judge,
    count: int,
    console: Console,
    path: Path | None,
    *,
    full: bool,
) -> dict[str, dict[str, Any]]:
    """Figures of real rows and of spoilt ones, kept at ``path`` for the next time."""
    try:
        if path is not None:
            return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    held_out = len(judge.held_out)
    wanted = max(2 * count, count + held_out)
    if isinstance(dataset.train, Mixture):
        drawn = dataset.train.draw(jax.random.key(_SEED), wanted)
        part = Part(np.asarray(drawn.samples), np.asarray(drawn.labels))
    else:
        part = pick(dataset.train, wanted)
    labels = part.labels if dataset.classes else None
    real = dataset.test.samples
    if isinstance(dataset.train, Part):  # where test rows are few
        real = np.concatenate([real, pick(dataset.train, FULL).samples])
    found: dict[str, dict[str, Any]] = {"floor": judge.floors(count, real[:FULL])}
    with stage(console, "measuring real rows: real against real ..."):
        found["real"] = judge.fresh(count)
        if len(part.samples) >= count + held_out:
            one, other = part.samples[:held_out], part.samples[held_out : held_out + count]
            found["real"] = judge.of(one).measure(other, thorough=full) | found["real"]
    for name, rows in anchor_rows(part.samples, labels, count).items():
        with stage(console, f"measuring real rows: {name.replace('_', ' ')} ..."):
            asked = labels[:count] if name == "train" and labels is not None else None
            found[name] = judge.measure(rows, asked, thorough=full)
    keys = found["train"]
    anchors = {
        name: plain({key: figures.get(key) for key in keys}) for name, figures in found.items()
    }
    if path is not None:
        keep(path, json.dumps(anchors).encode())
    return anchors


def pick(part: Part, count: int) -> Part:
    """So many rows at most, always the same."""
    order = np.random.RandomState(_SEED).permutation(len(part.samples))[:count]
    return Part(part.samples[order], None if part.labels is None else part.labels[order])


def plain(value: Any) -> Any:
    """Ready for JSON: NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
