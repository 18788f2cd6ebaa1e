"""Steps a second of `gan-jax train` and of the same GAN in plain PyTorch, in turns in one run.

    pip install ".[bench]"
    python benchmarks/train_throughput.py [--steps 10000] [--turns 5] [--json FILE]

The GAN is the recipe `concept`: 784-128-1 against 100-128-784, batch 100, Adam, the same latents
for both players. `gan-jax train` is timed whole, with its metrics, pictures and checkpoints, by
its own clock, which starts after the compiler. The peer keeps its data in memory as float32, ready
scaled, generates once per step for both players, and freezes the discriminator while the generator
moves; its fastest configuration counts. "Bare products" are the step's matrix products through XLA
and nothing else, one after the other; a step may run two at a time where neither needs the other.
"""

import argparse
import dataclasses
import io
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from rich.console import Console
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn.functional import (  # pyright: ignore[reportMissingImports]
    binary_cross_entropy_with_logits as cross_entropy,
)

from gan_jax import environment
from gan_jax.data import Part, load
from gan_jax.recipes import recipe
from gan_jax.train import train

BATCH, LATENTS = 100, 100


def torch_peer(*, fused: bool, threads: int) -> Callable[[int], float]:
    """Steps a second of a given number of steps."""
    part = load("digits").train
    assert isinstance(part, Part)
    data = torch.from_numpy(part.samples.reshape(len(part.samples), 784).astype(np.float32))
    data = data / 127.5 - 1.0
    generator = nn.Sequential(nn.Linear(LATENTS, 128), nn.ReLU(), nn.Linear(128, 784), nn.Tanh())
    discriminator = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 1))
    generator_adam = torch.optim.Adam(generator.parameters(), lr=0.01, fused=fused)
    discriminator_adam = torch.optim.Adam(discriminator.parameters(), lr=0.01, fused=fused)
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
    order, position = torch.randperm(len(data)), 0

    def step() -> None:
        nonlocal order, position
        if position + BATCH > len(data):
            order, position = torch.randperm(len(data)), 0
        real = data[order[position : position + BATCH]]
        position += BATCH
        fake = generator(torch.randn(BATCH, LATENTS))
        loss = cross_entropy(discriminator(real)[:, 0], ones)
        loss = loss + cross_entropy(discriminator(fake.detach())[:, 0], zeros)
        discriminator_adam.zero_grad(set_to_none=True)
        loss.backward()
        discriminator_adam.step()
        discriminator.requires_grad_(False)
        loss = cross_entropy(discriminator(fake)[:, 0], ones)
        generator_adam.zero_grad(set_to_none=True)
        loss.backward()
        generator_adam.step()
        discriminator.requires_grad_(True)

    def run(steps: int) -> float:
        torch.set_num_threads(threads)
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return steps / (time.perf_counter() - start)

    return run


def jax_train(steps: int) -> float:
    """Steps a second of a whole training, by the clock of its own timing.jsonl."""
    config = dataclasses.replace(
        recipe("concept"),
        steps=steps,
        log_interval=100,
        picture_interval=1_000,
        checkpoint_interval=5_000,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run", console=Console(file=io.StringIO())).run
        last = json.loads(run.timing_path.read_text().splitlines()[-1])
    assert last["step"] == steps
    return last["steps_per_second"]


# All matrix products of a step, as (rows, summed, columns), transposed where autodiff transposes.
PRODUCTS = [
    (BATCH, LATENTS, 128),  # generator forward
    (BATCH, 128, 784),
    (BATCH, 784, 128),  # discriminator forward: real, fake, and fake again once it has moved
    (BATCH, 784, 128),
    (BATCH, 784, 128),
    (784, BATCH, 128),  # its weights' gradient: real and fake
    (784, BATCH, 128),
    (BATCH, 128, 784),  # back to the fakes
    (128, BATCH, 784),  # back through the generator: its weights, its hidden layer
    (BATCH, 784, 128),
    (LATENTS, BATCH, 128),
]


def bare_products() -> Callable[[int], float]:
    """Steps a second of a step that is nothing but its matrix products, through XLA."""
    key = jax.random.key(0)
    pairs = [
        (jax.random.normal(key, (m, k)), jax.random.normal(key, (k, n))) for m, k, n in PRODUCTS
    ]

    @jax.jit
    def program(pairs: list, count: int) -> jax.Array:
        def step(_: int, carried: jax.Array) -> jax.Array:
            for left, right in pairs:  # each waits for the one before, as in the step
                left = left.at[0, 0].set(carried)
                carried = 1e-9 * jnp.dot(left, right, precision="highest")[0, 0]
            return carried

        return jax.lax.fori_loop(0, count, step, jnp.float32(0.0))

    def run(steps: int) -> float:
        start = time.perf_counter()
        program(pairs, steps).block_until_ready()
        return steps / (time.perf_counter() - start)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="gan-jax train against plain PyTorch, in turns")
    parser.add_argument("--steps", type=int, default=10_000, help="of each training")
    parser.add_argument("--peer-steps", type=int, default=2_000, help="of each turn of a peer")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()

    environment.prepare()  # XLA compiles as for the command
    cores = os.cpu_count() or 1
    peers = {
        f"PyTorch {'fused' if fused else 'eager'}, {threads} thread{'s' * (threads > 1)}": (
            torch_peer(fused=fused, threads=threads)
        )
        for fused in (False, True)
        for threads in sorted({1, cores})
    }
    bare = bare_products()
    rates: dict[str, list[float]] = {n: [] for n in ("gan-jax train", "bare products", *peers)}
    for warm_up in (bare, *peers.values()):
        warm_up(100)
    for _ in range(arguments.turns):
        rates["gan-jax train"].append(jax_train(arguments.steps))
        rates["bare products"].append(bare(arguments.peer_steps))
        for name, peer in peers.items():
            rates[name].append(peer(arguments.peer_steps))

    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(peers, key=lambda name: medians[name])
    for name, values in rates.items():
        print(f"{name:28} {medians[name]:8.0f} steps/s   ({min(values):.0f} to {max(values):.0f})")
    ratio = medians["gan-jax train"] / medians[best]
    share = medians["gan-jax train"] / medians["bare products"]
    print(f"gan-jax train / {best}: {ratio:.2f}; of its bare matrix products: {share:.0%}")
    if arguments.json:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip()
        facts = {
            "commit": commit,
            "machine": f"{platform.processor() or platform.machine()}, {cores} cores",
            "versions": {"jax": jax.__version__, "torch": torch.__version__},
            "steps": arguments.steps,
            "rates": rates,
            "medians": medians,
            "ratio": ratio,
            "share_of_bare_products": share,
        }
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
