"""Metrics on real digits, spoilt step by step: each has to see what it claims to see. Long."""

import numpy as np
import pytest
import scipy.ndimage
from conftest import SHARED, needs_shared, quiet

from gan_jax.classifiers import classifier_of
from gan_jax.data import Part, load
from gan_jax.evaluation import features as features_module
from gan_jax.evaluation.density import different_bins
from gan_jax.evaluation.distances import frechet_distance, frechet_floor, kernel_distance
from gan_jax.evaluation.features import read
from gan_jax.evaluation.judging import Judge, View, anchor_rows
from gan_jax.evaluation.verdict import judge_samples

pytestmark = [pytest.mark.long, needs_shared]
ROWS = 5_000
RISING = ("frechet_distance", "kernel_distance", "sliced_wasserstein", "uncovered")


@pytest.fixture(scope="module")
def digits():
    data = load(str(SHARED / "data" / "mnist"))
    assert isinstance(data.train, Part) and data.train.labels is not None
    return data


@pytest.fixture(scope="module")
def classifier(digits):
    return classifier_of(digits, quiet())[0]


@pytest.fixture(scope="module")
def judge(digits, classifier):
    def look(rows):
        return View(*read(classifier, rows))

    shares = np.bincount(digits.test.labels, minlength=10) / len(digits.test.labels)
    return Judge(look, digits.test.samples[::2], None, shares)


@pytest.fixture(scope="module")
def clean(digits):
    """Rows that nothing was done to, none of them in the judge's set, of the same writers."""
    return digits.test.samples[1::2]


def measured(judge, rows):
    figures = judge.measure(rows)
    return figures | {"uncovered": 1.0 - figures["coverage"]}


def noisy(rows, deviation):
    noise = np.random.default_rng(0).normal(0.0, 255.0 * deviation, rows.shape)
    return np.clip(np.rint(rows + noise), 0, 255).astype(np.uint8)


def salted(rows, share):
    return np.where(np.random.default_rng(0).random(rows.shape) < share, 255, rows).astype(np.uint8)


def blurred(rows, width):
    found = scipy.ndimage.gaussian_filter(rows.astype(np.float32), (0, width, width, 0))
    return np.rint(found).astype(np.uint8)


def test_noise_rises_step_by_step(judge, clean):
    rungs = [clean, salted(clean, 0.01), *(noisy(clean, size) for size in (0.05, 0.1, 0.2))]
    rungs.append(np.random.default_rng(0).integers(0, 256, clean.shape, dtype=np.uint8))
    found = [measured(judge, rows) for rows in rungs]
    for name in RISING:
        # Salt and faint noise are different kinds: each has its own ladder from the clean rows.
        for ladder in ((0, 1), (0, 2, 3, 4, 5)):
            # Coverage does not see the faintest: 2.9 % and 3.2 % of rows are uncovered without it.
            seen = [rung for rung in ladder if (name, rung) != ("uncovered", 2)]
            values = [found[rung][name] for rung in seen]
            assert (np.diff(values) > 0).all(), (name, values)


def test_blur_rises_step_by_step(judge, clean):
    rungs = [clean, *(blurred(clean, width) for width in (0.5, 1.0, 2.0))]
    found = [measured(judge, rows) for rows in rungs]
    for name in RISING:
        values = [figures[name] for figures in found]
        assert (np.diff(values) > 0).all(), (name, values)


def test_dropped_classes_cost_recall_but_no_precision(judge, digits):
    def without(count):  # no row twice, which by itself would cost recall
        return digits.train.samples[digits.train.labels < 10 - count][:ROWS]

    found = [measured(judge, without(count)) for count in (0, 1, 3, 5)]
    for name in (*RISING, "class_total_variation", "class_reverse_kl"):
        values = [figures[name] for figures in found]
        assert (np.diff(values) > 0).all(), (name, values)
    for name in ("recall", "coverage"):
        values = [figures[name] for figures in found]
        assert (np.diff(values) < -0.02).all(), (name, values)
    assert all(f["precision"] > found[0]["precision"] - 0.02 for f in found)
    assert [f["missing_classes"] for f in found] == [[], [9], [7, 8, 9], [5, 6, 7, 8, 9]]


def test_a_prototype_of_each_class_deceives_the_classifier_score_alone(judge, digits, clean):
    labels = digits.test.labels[1::2]
    prototypes = np.stack([clean[labels == digit][1] for digit in range(10)])
    figures = judge.measure(np.repeat(prototypes, ROWS // 10, axis=0))
    assert figures["classifier_score"] > 9.5  # as good as it gets
    assert figures["coverage"] < 0.1 and figures["recall"] < 0.01
    assert figures["frechet_distance"] > 5 * judge.measure(clean)["frechet_distance"]


def test_memorising_is_seen_as_it_grows(digits, classifier):
    train, held_out = digits.train.samples, digits.test.samples[:2_000]
    fresh = digits.test.samples[2_000:4_000]
    judge = Judge(lambda rows: View(read(classifier, rows).features, None), held_out, train, None)
    found = []
    for share in (0.0, 0.5, 1.0):
        rows = fresh.copy()
        rows[: int(share * len(rows))] = train[: int(share * len(rows))]
        found.append(judge.measure(rows))
    assert abs(found[0]["copying"]) < 3 and found[1]["copying"] < -3 and found[2]["copying"] < -30
    honest = found[0]["authenticity_held_out"]
    assert abs(found[0]["authenticity"] - honest) < 0.03
    assert abs(found[1]["authenticity"] - honest / 2) < 0.03 and found[2]["authenticity"] == 0.0
    shifted = np.roll(train[:2_000], 1, axis=2)
    draw = np.random.default_rng(1)
    blemished = train[:2_000] + draw.normal(0.0, 1.0, fresh.shape)  # by a level of a pixel
    copies = judge.measure(np.clip(np.rint(blemished), 0, 255).astype(np.uint8))
    assert copies["copying"] < -30 and copies["authenticity"] < 0.01
    noise = np.random.default_rng(0).integers(0, 256, fresh.shape, dtype=np.uint8)
    far = judge.measure(noise)
    assert far["copying"] > 30 and far["authenticity"] > 0.98
    anchors = {
        name: judge.measure(rows) for name, rows in anchor_rows(train[-2_000:], None, 2_000).items()
    }
    assert judge_samples(found[2], anchors).verdict == "memorising"
    assert judge_samples(found[0], anchors).verdict == "healthy"
    assert judge.measure(shifted)["copying"] > -3  # moved by a pixel, a copy is none by pixels


def test_only_the_frechet_distance_depends_on_how_many(digits, classifier):
    real = read(classifier, digits.test.samples).features
    fresh = read(classifier, digits.train.samples[:10_000]).features
    orders = [np.random.RandomState(seed).permutation(len(real)) for seed in range(8)]
    distances, floors = [], []
    for count in (1_000, 2_000, 5_000):
        pairs = [(real[order[:count]], real[order[-count:]]) for order in orders]
        distances.append(np.mean([frechet_distance(*pair) for pair in pairs]))
        floors.append(frechet_floor(real, count, count))
        kernel = kernel_distance(*pairs[0])
        assert abs(kernel.value) < 4 * kernel.standard_error
    assert distances == sorted(distances, reverse=True)
    # One pair's distance varies by a quarter about the floor, which is of normal features.
    assert distances == pytest.approx(floors, rel=0.3)
    assert frechet_distance(real, fresh) > frechet_floor(real, 10_000, 10_000)  # other writers


def test_bins_see_a_missing_digit(digits):
    order = np.random.RandomState(0).permutation(len(digits.train.samples))
    rows, labels = digits.train.samples[order], digits.train.labels[order]

    def flat(images):
        return images.reshape(len(images), -1).astype(np.float64)

    real, fresh = flat(rows[:20_000]), flat(rows[20_000:30_000])
    assert different_bins(real, fresh).different <= 3
    nineless = different_bins(real, fresh[labels[20_000:30_000] != 9]).different
    assert nineless >= 8  # about a tenth of all


def test_blocks_change_nothing(classifier, clean, monkeypatch):
    whole = read(classifier, clean[:1_500])
    monkeypatch.setattr(features_module, "_BLOCK", 64)
    parts = read(classifier, clean[:1_500])
    np.testing.assert_allclose(whole.features, parts.features, rtol=1e-5, atol=1e-5)
