"""What PyTorch makes of a few steps of each recipe: `python benchmarks/make_torch_values.py`.

Writes `tests/torch_values.npz`, with which `tests/test_torch_parity.py` compares the library, so
that the peer of the benchmarks is known to do the same work where PyTorch is not installed. The
recipes are shrunk to a few pixels; weights, rows and latents are drawn with NumPy and kept.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch_peer import Peer

from gan_jax.recipes import recipe

PATH = Path(__file__).parents[1] / "tests" / "torch_values.npz"
NAMES = ("gan", "points", "concept")  # what the peer can do
STEPS, BATCH, SIDE = 5, 8, 5  # so that a step takes the penalties of `gan`


def small(name: str):
    config = recipe(name)
    generator = dataclasses.replace(
        config.generator,
        latent_size=4,
        categories=3 if config.generator.categories else 0,
        widths=(7, 6)[: len(config.generator.widths)],
    )
    discriminator = dataclasses.replace(
        config.discriminator, widths=(9, 8)[: len(config.discriminator.widths)]
    )
    # A short horizon, or the decay of three steps could not be told from none.
    decay = dataclasses.replace(config.decay, horizon=10)
    return dataclasses.replace(
        config,
        sample_shape=(SIDE, SIDE, 1),
        batch_size=BATCH,
        generator=generator,
        discriminator=discriminator,
        decay=decay,
    )


def values(name: str, random: np.random.Generator) -> dict[str, np.ndarray]:
    config = small(name)
    pixels, latent_size = SIDE * SIDE, config.generator.latent_size + config.generator.categories
    real = random.uniform(-1, 1, (STEPS, BATCH, pixels)).astype(np.float32)
    latents = random.normal(size=(STEPS, BATCH, latent_size)).astype(np.float32)
    peer = Peer(config, real[0])
    start = {
        key: random.uniform(-0.5, 0.5, value.shape).astype(np.float32)
        for key, value in peer.parameters().items()
    }
    peer.load(start)
    found = {"config": np.array(config.to_toml()), "real": real, "latents": latents}
    found |= {f"start.{key}": value for key, value in start.items()}
    losses = []
    for step in range(STEPS):
        pair = peer.step(torch.from_numpy(real[step]), torch.from_numpy(latents[step]))
        losses.append([loss.item() for loss in pair])
        found |= {f"step{step + 1}.{key}": value for key, value in peer.parameters().items()}
    found |= {f"average.{key}": value for key, value in peer.averages().items()}
    return found | {"losses": np.array(losses, np.float32)}


if __name__ == "__main__":
    random = np.random.default_rng(0)
    arrays = {
        f"{name}/{key}": value for name in NAMES for key, value in values(name, random).items()
    }
    np.savez_compressed(PATH, **arrays)  # pyright: ignore[reportArgumentType]
    print(f"{PATH}: {PATH.stat().st_size:,} bytes, torch {torch.__version__}")
