"""What all figures of samples share: where copies are sought, what is cached, what is refused."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from conftest import quiet, said

from gan_jax import classifiers, judges
from gan_jax.data import Dataset, Part, load
from gan_jax.errors import InputError
from gan_jax.evaluation.features import Classifier, untrained
from gan_jax.evaluation.judging import Judge, View, anchor_rows
from gan_jax.evaluation.mixtures import PERFECT_QUALITY


def dataset(part: Part, test: Part | None = None, classes: int = 0, name: str = "mine") -> Dataset:
    return Dataset(name, part, None, part if test is None else test, classes)


def as_drawn(images: np.ndarray, labels: np.ndarray, classes: int, **_: Any) -> Classifier:
    """In place of a training, which takes long and is not what is asked here."""
    return untrained(images.shape[1:], classes)._replace(trained=True)


@pytest.mark.parametrize("damage", ["cut short", "empty", "other arrays", "other shapes", "text"])
def test_a_damaged_classifier_is_trained_again(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    trained = []

    def train(*given, **_) -> Classifier:
        trained.append(1)
        return as_drawn(*given)

    monkeypatch.setattr(classifiers, "train_classifier", train)
    images = np.random.default_rng(0).integers(0, 256, (80, 4, 4, 1), dtype=np.uint8)
    data = dataset(Part(images, np.arange(80, dtype=np.int32) % 2), classes=2)
    classifiers.classifier_of(data, quiet())
    (path,) = tmp_path.rglob("classifier.npz")
    whole = path.read_bytes()
    if damage == "other arrays":
        np.savez(path, first=np.zeros(3))
    elif damage == "other shapes":
        np.savez(path, **dict.fromkeys(untrained((4, 4, 1), 2).params, np.zeros(3)))  # pyright: ignore
    else:
        path.write_bytes({"cut short": whole[:500], "empty": b"", "text": b"hello"}[damage])
    classifiers.classifier_of(data, quiet())
    assert len(trained) == 2 and path.read_bytes() == whole
    classifiers.classifier_of(data, quiet())
    assert len(trained) == 2  # kept


@pytest.mark.parametrize(
    ("train", "test", "trained"), [(63, 80, False), (64, 80, True), (80, 0, False), (80, 1, True)]
)
def test_a_classifier_needs_labels(train, test, trained, tmp_path, monkeypatch):
    """As few as a semi-supervised GAN has are too few: then features are random ones."""
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(classifiers, "train_classifier", as_drawn)
    images = np.random.default_rng(0).integers(0, 256, (160, 4, 4, 1), dtype=np.uint8)

    def part(rows: slice, labelled: int) -> Part:
        labels = np.arange(80, dtype=np.int32) % 2
        return Part(images[rows], np.where(np.arange(80) < labelled, labels, -1).astype(np.int32))

    data = dataset(part(slice(80), train), part(slice(80, 160), test), classes=2)
    classifier, accuracy = classifiers.classifier_of(data, quiet())
    assert classifier.trained == trained and 0 <= accuracy <= 1
    if not trained:
        evaluator = judges._judge(data, 80, quiet(), None)
        assert evaluator[1] == "of an untrained network (the data have too few labels)"


def points(count: int, seed: int = 0, d: int = 2) -> Part:
    return Part(np.random.default_rng(seed).normal(size=(count, d)).astype(np.float32))


@pytest.mark.parametrize(
    ("test", "count", "message"),
    [
        (90, 4_000, r"test rows of mine: 90 are too few; at least 100 are needed \(of 900\)"),
        (120, 90, "samples: 90 are too few; at least 100"),
        (120, 120, "only 120 test rows in mine: figures are noisy"),
        (2_000, 500, "only 500 samples: figures are noisy"),
    ],
)
def test_which_rows_are_few(test, count, message, monkeypatch):
    monkeypatch.setattr(judges, "_judge", lambda *_: (None, ""))
    monkeypatch.setattr(judges, "_anchors", lambda *_, **options: {})
    console = quiet()
    data = dataclasses.replace(dataset(points(9), points(test)), note="of 900")
    if "too few" in message:
        with pytest.raises(InputError, match=message):
            judges.Evaluator(data, count, console)
    else:
        judges.Evaluator(data, count, console)
        assert message in said(console)


def test_what_is_not_finite_is_null_in_json():
    found = judges.plain({"a": (math.nan, 1.5), "b": {"c": math.inf, "d": np.float64("nan")}})
    assert found == {"a": [None, 1.5], "b": {"c": None, "d": None}}


def test_rows_sorted_by_class_do_not_spoil_the_components(monkeypatch):
    """Each class varies along axes of its own; copies are sought along those of all."""
    monkeypatch.setattr("gan_jax.evaluation.judging._FITTED", 400)
    draw, axes = np.random.default_rng(0), np.eye(160)

    def rows(count, block):
        return draw.normal(size=(count, 40)) @ axes[40 * block : 40 * (block + 1)] * (block + 1)

    train = np.concatenate([rows(400, block) for block in range(2)])
    held_out = np.concatenate([rows(60, block) for block in range(2)])
    judge = Judge(lambda rows: View(rows, None), held_out, train, None)
    assert judge.project is not None
    kept = judge.project(held_out).var(0).sum() / held_out.var(0).sum()
    assert kept > 0.85


def test_the_floor_is_of_all_real_rows(tmp_path, monkeypatch):
    """A covariance of 120 rows in 100 dimensions would be far too uneven, and the floor too low."""
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    data = dataset(points(5_000, 0, 100), points(120, 1, 100))
    floor = judges.Evaluator(data, 120, quiet()).anchors["floor"]["frechet_distance"]
    white = 2 / 120 * (1.25 * 100 + 0.25 * 100**2)  # in closed form, of a covariance of ones
    assert floor == pytest.approx(white, rel=0.03)


def images(count: int, seed: int) -> Part:
    drawn = np.random.default_rng(seed)
    rows = drawn.integers(0, 256, (count, 12, 12, 1), dtype=np.uint8)
    return Part(rows, drawn.integers(0, 2, count, dtype=np.int32))


@pytest.mark.parametrize("damage", ["none", "cut short", "other shape"])
@pytest.mark.parametrize("classes", [0, 2])
def test_what_is_remembered_of_real_rows_changes_no_figure(classes, damage, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(classifiers, "train_classifier", as_drawn)

    def part(count: int, seed: int) -> Part:
        return images(count, seed) if classes else points(count, seed, 100)

    data, rows = dataset(part(900, 0), part(200, 1), classes), part(200, 2).samples
    first = judges.Evaluator(data, 200, quiet()).measure(rows)
    kept = sorted(tmp_path.rglob("*.npy"))
    assert [path.name.split("-200-")[0] for path in kept] == [
        "held-out-to-nearest",
        "mean-and-components",
    ]
    if damage == "none":  # what is there needs no fitting anew
        monkeypatch.setattr("sklearn.decomposition.PCA.fit", None)
    for path in kept:
        if damage == "cut short":
            path.write_bytes(path.read_bytes()[:-9])
        elif damage == "other shape":
            np.save(path, np.zeros(3))
    assert judges.Evaluator(data, 200, quiet()).measure(rows) == first


def test_noise_is_of_no_mode():
    ring = load("ring")
    evaluator = judges.Evaluator(ring, 500, quiet())
    noise = np.random.default_rng(0).uniform(-2, 2, (500, 2)).astype(np.float32)
    metrics, verdict = evaluator.measure(noise)
    assert metrics["recognised"] < 0.02 and metrics["classifier_score"] < 1.1
    assert metrics["modes"] < 8 and metrics["high_quality"] == metrics["recognised"]
    assert verdict.verdict == "underfitting"
    real = evaluator.anchors["train"]
    assert real["recognised"] == pytest.approx(PERFECT_QUALITY, abs=0.02)
    assert real["classifier_score"] == pytest.approx(8, abs=0.5)
    assert real["modes"] == 8 and real["mode_reverse_kl"] < 0.03
    ratios = real["least_covariance_ratio"], real["greatest_covariance_ratio"]
    assert 0.5 < ratios[0] < ratios[1] < 2


def test_every_feature_counts_by_its_own_scale(tmp_path, monkeypatch):
    """Spread and copies, as distances: here the second feature says it all, a millionth in size."""
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    scale = np.array([1e3, 1e-3], np.float32)
    train, test, fresh = (points(500, seed).samples for seed in range(3))
    evaluator = judges.Evaluator(dataset(Part(train * scale), Part(test * scale)), 500, quiet())
    still = np.stack([fresh[:, 0], np.zeros(500, np.float32)], 1)  # the second no longer varies
    spread = evaluator.measure(still * scale)[0]["spread"]
    assert spread == pytest.approx(0.5, abs=0.1)
    alike = np.stack([train[:, 0], fresh[:, 1]], 1)  # copied in the first alone
    assert evaluator.measure(alike * scale)[0]["copying"] > -3
    assert evaluator.measure(train * scale)[1].verdict == "memorising"


@pytest.mark.parametrize("name", ["vectors", "ring"])
def test_what_explodes_gets_a_verdict(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    mine = dataset(points(300), points(200, 1))
    evaluator = judges.Evaluator(load("ring") if name == "ring" else mine, 200, quiet(), full=True)
    exploded = points(200, 2).samples
    exploded[:2] = 3e37, -3e38
    metrics, verdict = evaluator.measure(exploded)
    for bound in ("frechet_distance", "kernel_distance", "sliced_wasserstein", "spread"):
        assert np.isfinite(metrics[bound]) and metrics[bound] > 1e3
    assert verdict.verdict == "underfitting"


def test_no_row_stands_in_twice_for_a_class_dropped():
    """Twice the same rows would cost recall by themselves, whatever was dropped."""
    rows = np.arange(400, dtype=np.float32)[:, None]
    found = anchor_rows(rows, np.arange(400) % 2, 200)
    assert {name: len(each) for name, each in found.items()} == dict.fromkeys(found, 200)
    dropped = found["class_dropped"].ravel()
    assert len(set(dropped)) == 200 and (dropped % 2 == 0).all()
    np.testing.assert_array_equal(found["train"], rows[:200])


def test_what_an_evaluator_drops_a_class_from_has_rows_enough(monkeypatch):
    seen = []
    monkeypatch.setattr(judges, "anchor_rows", lambda *a: seen.append(a) or anchor_rows(*a))
    judges.Evaluator(load("ring"), 300, quiet(), features=lambda rows: rows)
    assert len(seen[0][0]) >= 600 and seen[0][2] == 300
