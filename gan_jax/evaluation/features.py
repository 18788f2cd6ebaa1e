"""What images are measured by: a small convolutional classifier of the data's own classes.

Its last hidden layer, 128 numbers an image, is where distances and neighbours are taken. Without
labels the same network stays as it was drawn, and then says so: random features are weaker, yet
need nobody's weights. The convolutions are written as matrix products of patches, which on CPUs
take two thirds of the time that XLA's own take.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.errors import InputError
from gan_jax.types import Key

__all__ = [
    "FEATURES",
    "LEAST_LABELLED",
    "Classifier",
    "classification_accuracy",
    "read",
    "train_classifier",
    "untrained",
]

FEATURES = 128
_WIDTHS = (32, 64)  # channels of the two convolutions
_BATCH = 128
LEAST_LABELLED = _BATCH // 2  # rows
_EPOCHS = 24
_LEAST_STEPS = 1_500  # where there are few rows
_RATE = 3e-3
_SHIFT = 2  # pixels, at most, that a training batch is moved by
_BLOCK = 1_000  # images looked at at a time


class Classifier(NamedTuple):
    """Parameters, whether they were trained, and the images they are for."""

    params: dict[str, jax.Array]
    trained: bool
    shape: tuple[int, ...]  # (height, width, channels)


class Reading(NamedTuple):
    """What a classifier makes of images."""

    features: np.ndarray  # [n, FEATURES] float32
    probabilities: np.ndarray  # [n, classes] float32


def untrained(shape: tuple[int, ...], classes: int, seed: int = 0) -> Classifier:
    """A classifier as it is drawn, for images ``[height, width, channels]``."""
    return Classifier(_init(jax.random.key(seed), shape, max(classes, 2)), False, tuple(shape))


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], Any] = lambda step, steps: None,
) -> Classifier:
    """Train a classifier on real rows.

    Cross-entropy, AdamW with a rate that rises and falls to zero, half of the features left out at
    random, batches moved by up to two pixels.

    Args:
        images: ``[n, height, width, channels]`` uint8.
        labels: ``[n]`` int; rows with -1 are left out.
        classes: how many classes there are.
        seed: of the parameters, the order and all else that is random.
        progress: told which step of how many has begun.

    Raises:
        InputError: images of another type or rank, or fewer labelled rows than one batch's half.
    """
    _check(images)
    known = np.flatnonzero(np.asarray(labels) >= 0)
    if len(known) < LEAST_LABELLED:
        raise InputError(
            f"labels: {len(known)} rows have one; at least {LEAST_LABELLED} are needed"
        )
    images, labels = images[known], np.asarray(labels, np.int32)[known]
    batch = min(_BATCH, len(images))
    steps = max(_LEAST_STEPS, _EPOCHS * len(images) // batch)
    optimizer = optax.adamw(optax.cosine_onecycle_schedule(steps, _RATE), weight_decay=1e-2)
    key = jax.random.key(seed)
    params = _init(key, images.shape[1:], classes)
    state = optimizer.init(params)

    def step(params: Any, state: Any, rows: jax.Array, asked: jax.Array, key: Key):
        shift_key, drop_key = jax.random.split(key)
        moved = jnp.roll(rows, jax.random.randint(shift_key, (2,), -_SHIFT, _SHIFT + 1), (1, 2))

        def loss(params: Any) -> jax.Array:
            hidden = _features(params, moved)
            kept = hidden * jax.random.bernoulli(drop_key, 0.5, hidden.shape) * 2.0
            logits = _logits(params, kept)
            return optax.softmax_cross_entropy_with_integer_labels(logits, asked).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    # One step a call: XLA's CPU compiler is slow at such products inside of loops.
    program = jax.jit(step, donate_argnums=(0, 1))
    order, rows = np.random.default_rng(seed), np.zeros(0, np.int64)
    for number in range(steps):
        progress(number, steps)
        if len(rows) < batch:
            rows = order.permutation(len(images))
        pick, rows = rows[:batch], rows[batch:]
        params, state = program(
            params, state, images[pick], labels[pick], jax.random.fold_in(key, number)
        )
    return Classifier(jax.block_until_ready(params), True, images.shape[1:])


def read(classifier: Classifier, images: np.ndarray) -> Reading:
    """Features ``[n, features]`` and probabilities ``[n, classes]`` of images, by blocks.

    Args:
        classifier: as `train_classifier` makes it.
        images: ``[n, height, width, channels]`` uint8.

    Raises:
        InputError: images of another type, rank or shape than it was made for.
    """
    _check(images)
    if images.shape[1:] != classifier.shape:
        raise InputError(
            f"images: shape {images.shape[1:]}; {classifier.shape} is allowed, what the classifier "
            "was made for"
        )
    parts = [
        _read(classifier.params, images[start : start + _BLOCK])
        for start in range(0, len(images), _BLOCK)
    ]
    features, probabilities = (
        np.concatenate(list(map(np.asarray, p))) for p in zip(*parts, strict=True)
    )
    return Reading(features, probabilities)


def classification_accuracy(
    images: np.ndarray,
    labels: np.ndarray,
    real_images: np.ndarray,
    real_labels: np.ndarray,
    classes: int,
    *,
    seed: int = 0,
) -> float:
    """Classification accuracy score: how right on real rows is who learned from generated ones.

    It asks both for samples that are of the class they were asked to be, and for all of its
    variety. arXiv:1905.10887.

    Args:
        images: generated, ``[n, height, width, channels]`` uint8.
        labels: what each was asked to be, ``[n]``.
        real_images: ``[m, height, width, channels]`` uint8, not trained on.
        real_labels: ``[m]``; rows with -1 do not count.
        classes: how many classes there are.
        seed: of the classifier, as for `train_classifier`.
    """
    classifier = train_classifier(images, labels, classes, seed=seed)
    known = np.asarray(real_labels) >= 0
    said = read(classifier, real_images[known]).probabilities.argmax(1)
    return float((said == np.asarray(real_labels)[known]).mean())


def _check(images: np.ndarray) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images):
        raise InputError(
            f"images: {images.dtype} of shape {images.shape}; uint8 [n, height, width, channels] "
            "is allowed"
        )


def _init(key: Key, shape: tuple[int, ...], classes: int) -> dict[str, jax.Array]:
    height, width, channels = shape
    sizes = {
        "first": (25 * channels, _WIDTHS[0]),
        "second": (9 * _WIDTHS[0], _WIDTHS[1]),
        "hidden": (_halved(_halved(height)) * _halved(_halved(width)) * _WIDTHS[1], FEATURES),
        "last": (FEATURES, classes),
    }
    params = {}
    for layer_key, (name, (inputs, outputs)) in zip(
        jax.random.split(key, len(sizes)), sizes.items(), strict=True
    ):
        draw = jax.random.normal(layer_key, (inputs, outputs))
        params[name] = draw * np.float32(np.sqrt(2.0 / inputs))
        params[f"{name}.bias"] = jnp.zeros(outputs)
    return params


def _features(params: dict[str, jax.Array], images: jax.Array) -> jax.Array:
    rows = images.astype(jnp.float32) / 127.5 - 1.0
    rows = jax.nn.relu(_convolve(params, "first", rows, 5))
    rows = jax.nn.relu(_convolve(params, "second", rows, 3))
    return jax.nn.relu(_dense(params, "hidden", rows.reshape(rows.shape[0], -1)))


def _logits(params: dict[str, jax.Array], features: jax.Array) -> jax.Array:
    return _dense(params, "last", features)


def _dense(params: dict[str, jax.Array], name: str, rows: jax.Array) -> jax.Array:
    return jnp.dot(rows, params[name], precision="highest") + params[f"{name}.bias"][None]


def _convolve(params: dict[str, jax.Array], name: str, rows: jax.Array, size: int) -> jax.Array:
    """A square kernel over every other pixel, zeros around the edge."""
    height, width, edge = rows.shape[1], rows.shape[2], size // 2
    padded = jnp.pad(rows, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    patches = jnp.concatenate(
        [
            padded[:, i : i + height : 2, j : j + width : 2]
            for i in range(size)
            for j in range(size)
        ],
        axis=-1,
    )
    flat = patches.reshape(-1, patches.shape[-1])
    return _dense(params, name, flat).reshape(*patches.shape[:3], -1)


@jax.jit
def _read(params: dict[str, jax.Array], images: jax.Array) -> tuple[jax.Array, jax.Array]:
    features = _features(params, images)
    return features, jax.nn.softmax(_logits(params, features))


def _halved(size: int) -> int:
    return -(-size // 2)
