"""Where samples come from: embedded, tensorflow-datasets, the user's own files, or a formula.

`load` turns a name or a path into a `Dataset`. Every kind of source is one file here; whatever
has to be decoded is decoded once and kept (`cache.py`), and whatever cannot be used is refused
with one line that says why.
"""

from gan_jax.data.dataset import Dataset, Mixture, Part
from gan_jax.data.loading import NAMES, load, location

__all__ = ["NAMES", "Dataset", "Mixture", "Part", "load", "location"]
