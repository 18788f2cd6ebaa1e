"""scikit-learn's handwritten digits: real images that need no download."""

import numpy as np

from gan_jax.data.cache import cached
from gan_jax.data.checks import combine
from gan_jax.data.dataset import Part, Source

__all__ = ["load_digits"]

SIZE, STROKES = 28, 20  # as in MNIST, a digit fills a 20x20 box in the middle of 28x28
BRIGHTEST = 16  # of scikit-learn's pixels, which count the dots set in a 4x4 block


def load_digits() -> Source:
    """All 1,797 digits as ``[1797, 28, 28, 1]`` uint8, with their labels 0 to 9."""
    return cached("digits", (), _decode)


def _decode() -> Source:
    from sklearn import datasets  # here, because it takes a second and only the first start

    small, labels = datasets.load_digits(return_X_y=True)
    pixels = np.rint(small * (255 / BRIGHTEST)).astype(np.uint8).reshape(-1, 8, 8)
    images = np.stack([_enlarge(image) for image in pixels])[..., np.newaxis]
    return combine("digits", Part(images, labels.astype(np.int32)), None)


def _enlarge(image: np.ndarray) -> np.ndarray:
    from PIL import Image

    box = Image.fromarray(image).resize((STROKES, STROKES), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(box), (SIZE - STROKES) // 2)
