"""All figures of one set of samples, and of the anchors that give them a meaning."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.ndimage
import scipy.stats

from gan_jax.evaluation.classes import (
    class_balance,
    class_shares,
    classifier_score,
    label_consistency,
    missing_classes,
)
from gan_jax.evaluation.density import SIGMAS, different_bins
from gan_jax.evaluation.distances import (
    frechet_distance,
    frechet_floor,
    kernel_distance,
    sliced_wasserstein,
)
from gan_jax.evaluation.features import LEAST_LABELLED
from gan_jax.evaluation.neighbours import (
    CopyTest,
    Remember,
    expected_coverage,
    made_anew,
    manifold,
)
from gan_jax.evaluation.two_sample import two_sample_test

__all__ = ["FIGURES", "Judge", "View", "anchor_rows"]

# Of all samples; None where the data allow no such figure.
FIGURES: tuple[str, ...] = (
    "frechet_distance",
    "kernel_distance",
    "kernel_distance_error",
    "precision",
    "recall",
    "density",
    "coverage",
    "sliced_wasserstein",
    "spread",
    "classifier_score",
    "recognised",
    "class_shares",
    "class_total_variation",
    "class_reverse_kl",
    "missing_classes",
    "label_consistency",
    "copying",
    "authenticity",
    "authenticity_held_out",
    "nearest_ratio",
)

_COMPONENTS = 64  # of pixels, in which nearest training rows are sought
_FITTED = 2_000  # rows the components are fitted on
_BLOCK = 1_000  # rows put there at a time
_SURE = 0.9  # the probability of its class from which a row counts as recognised


class View(NamedTuple):
    """What is seen of rows."""

    features: np.ndarray  # [n, d]
    probabilities: np.ndarray | None  # [n, classes]; None without classes


class Judge:
    """Real rows, and how rows are looked at."""

    def __init__(
        self,
        look: Callable[[np.ndarray], View],
        held_out: np.ndarray,
        train: np.ndarray | None,
        shares: np.ndarray | None,
        learn: Callable[[np.ndarray, np.ndarray], float] | None = None,
        *,
        prepare: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
        extra: Callable[[np.ndarray], dict[str, Any]] = lambda rows: {},
        remember: Remember = made_anew,
    ):
        """Everything that is the same for all samples judged.

        Args:
            look: what is seen of rows.
            held_out: real rows not trained on, ``[n, *sample_shape]``.
            train: the rows trained on, ``[m, *sample_shape]``; None where they are endless.
            shares: of the classes in the data, ``[classes]``; None without classes.
            learn: how right on held-out rows is who learned from rows and the labels they were
                asked to have; None without classes.
            prepare: what is done with all rows before anything else, as with those looked at.
            extra: further figures of rows, by name.
            remember: asked for what takes long and depends on the real rows alone.
        """
        self.prepare, self.extra = prepare, extra
        held_out = prepare(held_out)
        self.look, self.held_out, self.shares, self.learn = look, held_out, shares, learn
        self.real = look(held_out)
        self.variance = _flat(held_out).var(0).sum()
        self.project = self.copies = None
        if train is not None:
            self.project, projected = _projection(prepare(train), remember)
            self.copies = CopyTest(projected, self.project(held_out), remember)

    def measure(
        self,
        rows: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        thorough: bool = False,
        pause: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Figures of generated rows, by name; None where the data allow no such figure.

        Args:
            rows: as the held-out ones.
            labels: what the rows were asked to be, ``[n]``, where they were asked; -1 where one
                was not.
            thorough: also those figures that take long.
            pause: called between figures, within a second of each other; may raise to end it.
        """
        rows = self.prepare(rows)
        seen = self.look(rows)
        pause()
        kernel = kernel_distance(self.real.features, seen.features)
        pause()
        found = manifold(self.real.features, seen.features)
        pause()
        figures: dict[str, Any] = dict.fromkeys(FIGURES) | found._asdict()
        figures |= {
            "frechet_distance": frechet_distance(self.real.features, seen.features),
            "kernel_distance": kernel.value,
            "kernel_distance_error": kernel.standard_error,
            "sliced_wasserstein": sliced_wasserstein(
                self.real.features, seen.features, jax.random.key(0)
            ),
            "spread": float(_flat(rows).var(0).sum() / self.variance),
        }
        if seen.probabilities is not None and self.shares is not None:
            sure = seen.probabilities.max(1) > _SURE
            shares = class_shares(seen.probabilities.argmax(1), len(self.shares))
            balance = class_balance(shares, self.shares)
            figures["classifier_score"] = classifier_score(seen.probabilities)
            figures["recognised"] = float(sure.mean())
            figures["class_shares"] = shares.tolist()
            figures["class_total_variation"] = balance.total_variation
            figures["class_reverse_kl"] = balance.reverse_kl
            # Of rows like a class, not in it, a classifier is less sure than of that class's own;
            # and where it is seldom sure of a class's own, these are as rare among real rows.
            figures["missing_classes"] = list(
                missing_classes(_sure_counts(seen), _sure_counts(self.real))
            )
            if labels is not None and (labels >= 0).any():
                figures["label_consistency"] = label_consistency(seen.probabilities, labels)
        pause()
        if self.project is not None and self.copies is not None:
            figures |= self.copies.measure(self.project(rows))._asdict()
        figures |= self.extra(rows)
        if thorough:
            figures |= self._measure_thoroughly(seen.features, rows, labels)
        return figures

    def of(self, held_out: np.ndarray) -> "Judge":
        """The same by other real rows, for which nothing is known of copies."""
        return Judge(self.look, held_out, None, self.shares, prepare=self.prepare, extra=self.extra)

    def _measure_thoroughly(
        self, features: np.ndarray, rows: np.ndarray, labels: np.ndarray | None
    ) -> dict[str, Any]:
        bins = different_bins(self.real.features, features)
        learned = None
        if self.learn is not None and labels is not None:
            enough = (labels >= 0).sum() >= LEAST_LABELLED
            learned = self.learn(rows, labels) if enough else None
        return {
            "two_sample_accuracy": two_sample_test(self.real.features, features).accuracy,
            "different_bins": bins.different / bins.bins,
            "classification_accuracy": learned,
        }

    def fresh(self, count: int) -> dict[str, float]:
        """What tells copies, of so many training rows that are each left out; {} without any."""
        return {} if self.copies is None else self.copies.measure_fresh(count)._asdict()

    def floors(self, count: int, real: np.ndarray) -> dict[str, float]:
        """What a perfect generator's samples, so many of them, come to on average.

        Of the Fréchet distance to leading order, and for Gaussian features: of ``real`` rows,
        ``[n, *sample_shape]``, the more the better, comes the covariance that it depends on.
        """
        features = self.look(self.prepare(real)).features
        return {
            "frechet_distance": frechet_floor(features, len(self.held_out), count),
            "kernel_distance": 0.0,
            "density": 1.0,
            "coverage": expected_coverage(len(self.held_out), count),
            "two_sample_accuracy": 0.5,
            "different_bins": 2.0 * float(scipy.stats.norm.sf(SIGMAS)),
        }


def anchor_rows(
    rows: np.ndarray, labels: np.ndarray | None, count: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Real training rows, as they are and spoilt in known ways; so many of each.

    Args:
        rows: ``[n, *sample_shape]``, in no order: uint8 images, or float32 vectors.
        labels: ``[n]``, or None.
        count: how many; with twice as many rows to pick from, no row has to come twice.
        seed: of the noise.

    Returns:
        ``train``: the rows, which is also what perfect memorising gives. ``class_dropped``: no row
        of the last class, its place taken by others. ``blurred``: images under a Gaussian of one
        pixel. ``noisy``: noise of 0.2 of the range of pixels, or half a feature's deviation.
    """
    found = {}
    draw = np.random.default_rng(seed)
    if labels is not None and len(np.unique(labels)) > 1:
        kept = rows[labels != labels.max()]
        found["class_dropped"] = kept[np.arange(min(count, len(rows))) % len(kept)]
    rows = rows[:count]
    found = {"train": rows} | found
    if rows.dtype == np.uint8:
        blurred = scipy.ndimage.gaussian_filter(rows.astype(np.float32), (0, 1, 1, 0))
        noisy = rows + draw.normal(0.0, 51.0, rows.shape)
        found["blurred"], found["noisy"] = _to_bytes(blurred), _to_bytes(noisy)
    else:
        deviation = rows.std(0, dtype=np.float64, keepdims=True)
        noise = draw.normal(size=rows.shape) * deviation * 0.5
        found["noisy"] = (rows + noise).astype(np.float32)
    return found


def _sure_counts(seen: View) -> np.ndarray:
    """How many rows a classifier is sure of being of each class, ``[classes]``."""
    assert seen.probabilities is not None
    sure = seen.probabilities.max(1) > _SURE
    return np.bincount(seen.probabilities.argmax(1)[sure], minlength=seen.probabilities.shape[1])


def _to_bytes(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def _flat(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(len(rows), -1).astype(np.float64)


def _projection(
    train: np.ndarray, remember: Remember
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Onto the principal components of training rows, and those rows there."""
    if math.prod(train.shape[1:]) <= _COMPONENTS:
        return _flat, _flat(train)

    count = min(_COMPONENTS, len(train))

    def fit() -> np.ndarray:
        from sklearn.decomposition import PCA

        # A fixed random pick, for rows may come sorted by class.
        fitted = _flat(train[np.random.RandomState(0).permutation(len(train))[:_FITTED]])
        # No matrix of features by features, nor all of their components: large images allow
        # neither.
        found = PCA(count, svd_solver="randomized", random_state=0).fit(fitted)
        return np.vstack([np.asarray(found.mean_), np.asarray(found.components_)])

    shape = (1 + count, math.prod(train.shape[1:]))
    mean, *components = remember("mean-and-components", shape, fit)
    axes = np.stack(components, 1)

    def project(rows: np.ndarray) -> np.ndarray:
        blocks = range(0, len(rows), _BLOCK)
        return np.concatenate([(_flat(rows[i : i + _BLOCK]) - mean) @ axes for i in blocks])

    return project, project(train)
