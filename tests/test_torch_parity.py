"""A few steps of each recipe against PyTorch's own figures (`benchmarks/make_torch_values.py`)."""

import dataclasses
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest

from gan_jax import assembly
from gan_jax.assembly import from_config
from gan_jax.config import Config
from gan_jax.recipes import recipe
from gan_jax.types import Batch

VALUES = np.load(Path(__file__).parent / "torch_values.npz")
NAMES = sorted({key.partition("/")[0] for key in VALUES.files})


def named(params, player: str) -> dict[str, np.ndarray]:
    return {
        f"{player}.{layer}.{part}": np.asarray(array)
        for layer, parts in params["body"].items()
        for part, array in parts.items()
    }


def but_for_sizes(config: Config) -> Config:
    """What `make_torch_values.py` shrinks, made alike, and what is of samples or pictures alone."""
    generator, discriminator = config.generator, config.discriminator
    return dataclasses.replace(
        config,
        sample_shape=(1, 1, 1),
        batch_size=1,
        picture_interval=1,
        generator=dataclasses.replace(
            generator,
            latent_size=1,
            categories=min(generator.categories, 2),
            temperature=1.0,
            widths=tuple(1 for _ in generator.widths),
        ),
        discriminator=dataclasses.replace(
            discriminator, widths=tuple(1 for _ in discriminator.widths)
        ),
        decay=dataclasses.replace(config.decay, horizon=1),
    )


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_pytorch(name, monkeypatch):
    def value(key: str) -> np.ndarray:
        return VALUES[f"{name}/{key}"]

    config = Config.from_dict(tomllib.loads(str(value("config"))))
    assert but_for_sizes(config) == but_for_sizes(recipe(name))
    fixed = {}
    monkeypatch.setattr(assembly, "_latents", lambda *_: lambda key, count: fixed["latents"])
    gan = from_config(config)
    state = gan.init(jax.random.key(0))
    start = {
        player: {
            "body": {
                layer: {part: value(f"start.{player}.{layer}.{part}") for part in parts}
                for layer, parts in getattr(state, player).params["body"].items()
            }
        }
        for player in ("generator", "discriminator")
    }
    state = dataclasses.replace(
        state,
        generator=dataclasses.replace(state.generator, params=start["generator"]),
        discriminator=dataclasses.replace(state.discriminator, params=start["discriminator"]),
        average=start["generator"],
    )

    @jax.jit
    def train_step(state, batch, latents):
        fixed["latents"] = latents
        return gan.train_step(state, batch)

    for step, (real, latents) in enumerate(zip(value("real"), value("latents"), strict=True)):
        batch = Batch(real.reshape(-1, *config.sample_shape))
        state, metrics = train_step(state, batch, latents)
        losses = [metrics.discriminator_loss, metrics.generator_loss]
        np.testing.assert_allclose(losses, value("losses")[step], rtol=2e-6)
        found = named(state.generator.params, "generator")
        found |= named(state.discriminator.params, "discriminator")
        for key, array in found.items():
            np.testing.assert_allclose(
                array, value(f"step{step + 1}.{key}"), rtol=2e-5, atol=2e-6, err_msg=key
            )
    for key, array in named(state.average, "generator").items():
        np.testing.assert_allclose(
            array, value(f"average.{key}"), rtol=2e-5, atol=2e-6, err_msg=key
        )
