"""The classifier that features come from: it is a convolutional network, and it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import SHARED, needs_shared, quiet, striped_images

from gan_jax.classifiers import classifier_of
from gan_jax.data import load
from gan_jax.errors import InputError
from gan_jax.evaluation.features import (
    FEATURES,
    classification_accuracy,
    read,
    train_classifier,
    untrained,
)
from gan_jax.evaluation.judging import Judge, View


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 7, 3), (4, 4, 1)])
def test_products_of_patches_are_convolutions(shape):
    classifier = untrained(shape, 10, seed=1)
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)

    def convolve(rows, name, size):
        kernel = classifier.params[name]
        kernel = kernel.reshape(size, size, rows.shape[3], kernel.shape[1])
        edge = [(size // 2, size // 2)] * 2
        numbers = ("NHWC", "HWIO", "NHWC")
        rows = jax.lax.conv_general_dilated(
            rows, kernel, (2, 2), edge, dimension_numbers=numbers, precision="highest"
        )
        return jax.nn.relu(rows + classifier.params[f"{name}.bias"][None, None, None])

    rows = convolve(convolve(jnp.float32(images) / 127.5 - 1, "first", 5), "second", 3)
    flat = jnp.dot(rows.reshape(5, -1), classifier.params["hidden"], precision="highest")
    seen = read(classifier, images)
    assert seen.features.shape == (5, FEATURES)
    np.testing.assert_allclose(seen.features, jax.nn.relu(flat), rtol=1e-4, atol=1e-4)


def test_it_learns_classes_and_repeats_itself():
    images, labels = striped_images(600, seed=0)
    held_out, truth = striped_images(1_100, seed=1)
    labels = labels.copy()
    images[:50], labels[:50] = 255, -1  # rows without a label must not matter
    told = []
    classifier = train_classifier(images, labels, 2, progress=lambda step, _: told.append(step))
    seen = read(classifier, held_out)  # more than a block
    assert classifier.trained and told == list(range(len(told)))
    assert (seen.probabilities.argmax(1) == truth).mean() > 0.99
    np.testing.assert_allclose(seen.probabilities.sum(1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(  # where a block ends changes nothing
        read(classifier, held_out[990:1_010]).features,
        seen.features[990:1_010],
        rtol=1e-4,
        atol=1e-4,
    )
    again = train_classifier(images, labels, 2)
    for name, value in classifier.params.items():
        np.testing.assert_array_equal(again.params[name], value)


def test_classification_accuracy_asks_for_class_and_variety():
    images, labels = striped_images(600, seed=0)
    real = striped_images(400, seed=1)

    def score(rows, asked):
        return classification_accuracy(rows, asked, *real, 2)

    assert score(images, labels) > 0.98
    assert score(images, 1 - labels) < 0.02  # the other class than asked for
    first, second = images[labels == 0][0], images[labels == 1][0]
    prototypes = np.where((labels == 0)[:, None, None, None], first, second)
    assert score(prototypes, labels) < 0.95  # one image of each class, over and over
    unknown = (real[0], np.where(np.arange(400) < 200, -1, real[1]))
    assert classification_accuracy(images, labels, *unknown, 2) > 0.98


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((5, 8, 8, 1), np.float32), "float32 of shape"),
        (np.zeros((5, 8, 8), np.uint8), r"shape \(5, 8, 8\)"),
        (np.zeros((5, 16, 8, 1), np.uint8), r"shape \(16, 8, 1\)"),
        (np.zeros((5, 8, 8, 3), np.uint8), r"shape \(8, 8, 3\)"),
        (np.zeros((5, 4, 16, 1), np.uint8), r"shape \(4, 16, 1\); \(8, 8, 1\) is allowed"),
    ],
)
def test_other_images_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        read(untrained((8, 8, 1), 2), images)


def test_too_few_labels_are_refused():
    images, labels = striped_images(100, seed=0)
    with pytest.raises(InputError, match="labels: 10 rows"):
        train_classifier(images, np.where(np.arange(100) < 10, labels, -1), 2)


def planted_judge(sure_of_second):
    """Of the held-out rows half are of class 1, told by their first feature."""

    def look(rows):
        first, second = [0.99, 0.01], [0.01, 0.99] if sure_of_second else [0.2, 0.8]
        told = np.where(rows[:, :1] > 0, second, first)
        return View(rows, np.where(rows[:, :1] > 9, [[0.4, 0.6]], told))

    held_out = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    return Judge(look, held_out, None, np.array([0.5, 0.5])), held_out


def test_look_alikes_do_not_fill_a_missing_class():
    """A fifth of the rows is likest to class 1, but unsure of it: 1 is missing all the same."""
    judge, held_out = planted_judge(sure_of_second=True)
    assert judge.measure(held_out)["missing_classes"] == []
    rows = -np.abs(held_out)
    rows[::5] = 10.0
    figures = judge.measure(rows)
    assert figures["class_shares"] == [0.8, 0.2] and figures["recognised"] == 0.8
    assert figures["missing_classes"] == [1]


def test_no_class_is_missing_that_real_rows_miss():
    """A classifier that is never sure of class 1 says nothing of whether it is there."""
    judge, held_out = planted_judge(sure_of_second=False)
    figures = judge.measure(held_out)
    assert 0.4 < figures["class_shares"][1] < 0.6 and figures["missing_classes"] == []


@pytest.mark.long
@needs_shared
@pytest.mark.parametrize(("name", "least"), [("mnist", 0.992), ("fashion_mnist", 0.91)])
def test_accuracy_on_real_images(name, least):
    data = load(str(SHARED / "data" / name))
    classifier, accuracy = classifier_of(data, quiet())
    said = read(classifier, data.test.samples).probabilities.argmax(1)
    assert accuracy == (said == data.test.labels).mean() >= least
