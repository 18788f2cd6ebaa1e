"""Generative adversarial networks in JAX: a training step you can compose, runs you can trust.

A GAN is a record of pure functions over explicit pytrees::

    import gan_jax as gj

    gan = gj.from_config(gj.recipe("gan"))
    state = gan.init(jax.random.key(0))
    state, metrics = jax.jit(gan.train_step)(state, gj.Batch(samples, None))
    images = gan.sample(state, jax.random.key(1), 64)

Names are imported when they are first used, so that importing this package loads nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.3.0"

if TYPE_CHECKING:
    from gan_jax import losses as losses
    from gan_jax import penalties as penalties
    from gan_jax import terms as terms
    from gan_jax.assembly import from_config as from_config
    from gan_jax.config import Config as Config
    from gan_jax.dynamics import alternating as alternating
    from gan_jax.errors import InputError as InputError
    from gan_jax.gan import GAN as GAN
    from gan_jax.gan import build as build
    from gan_jax.loops import advance as advance
    from gan_jax.loops import one_by_one as one_by_one
    from gan_jax.loops import population as population
    from gan_jax.loops import scan_steps as scan_steps
    from gan_jax.networks import Network as Network
    from gan_jax.networks import from_linen as from_linen
    from gan_jax.recipes import recipe as recipe
    from gan_jax.runs import load as load
    from gan_jax.state import GANState as GANState
    from gan_jax.state import Metrics as Metrics
    from gan_jax.state import Player as Player
    from gan_jax.types import Batch as Batch
    from gan_jax.types import Judgement as Judgement

_HOMES = {
    "Batch": "types",
    "Config": "config",
    "GAN": "gan",
    "GANState": "state",
    "InputError": "errors",
    "Judgement": "types",
    "Metrics": "state",
    "Network": "networks",
    "Player": "state",
    "advance": "loops",
    "alternating": "dynamics",
    "build": "gan",
    "from_config": "assembly",
    "from_linen": "networks",
    "load": "runs",
    "losses": "",
    "one_by_one": "loops",
    "penalties": "",
    "population": "loops",
    "recipe": "recipes",
    "scan_steps": "loops",
    "terms": "",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if not home:  # a module is itself the name
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
