"""Steps a second of `gan-jax train`, of its parts, and of the same GAN in plain PyTorch.

    pip install ".[bench]"
    python benchmarks/train_throughput.py [--size concept|gan|wide] [--turns 5] [--json FILE]

In turns in one run: a whole training with its metrics, pictures and checkpoints, by its own clock,
which starts after the compiler; the same steps in a bare loop; one program call a step; populations
trained as one program; the step's matrix products and nothing else, one after the other (a step may
run two at a time where neither needs the other); and `torch_peer.py` with the optimiser as it is by
default, fused, and compiled, on one thread and on all. PyTorch's fastest configuration counts.

Sizes: `concept` (784-128-1 against 100-128-784, batch 100) and `gan` are the recipes; `wide` is
`concept` with three hidden layers of 1024 and batches of 256, at a learning rate it can bear.
"""

import argparse
import dataclasses
import io
import json
import os
import statistics
import tempfile
from pathlib import Path

import jax
import numpy as np
import record
import torch  # pyright: ignore[reportMissingImports]
from rich.console import Console
from torch_peer import Peer

from gan_jax import environment
from gan_jax.benchmark import Run, in_turns, measure, table
from gan_jax.config import Config
from gan_jax.data import Part, load
from gan_jax.data.stream import to_float
from gan_jax.recipes import recipe
from gan_jax.train import train


def size(name: str) -> Config:
    """The recipe of that name, or `concept` made wide."""
    if name != "wide":
        return recipe(name)
    concept = recipe("concept")
    widths = (1024,) * 3
    adam = dataclasses.replace(concept.generator_optimizer, learning_rate=1e-4)
    return dataclasses.replace(
        concept,
        batch_size=256,
        generator=dataclasses.replace(concept.generator, widths=widths),
        discriminator=dataclasses.replace(concept.discriminator, widths=widths),
        generator_optimizer=adam,
        discriminator_optimizer=adam,
    )


def whole_training(config: Config, steps: int) -> float:
    """Steps a second of a whole training, by the clock of its own timing.jsonl."""
    config = dataclasses.replace(
        config, steps=steps, log_interval=100, picture_interval=1_000, checkpoint_interval=5_000
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run", console=Console(file=io.StringIO())).run
        last = json.loads(run.timing_path.read_text().splitlines()[-1])
    assert last["step"] == steps - steps % 100
    return last["steps_per_second"]


def peer_run(config: Config, data: Part, threads: int, **options: bool) -> Run:
    peer = Peer(config, np.array(to_float(jax.numpy.asarray(data.samples))), **options)

    def run(steps: int) -> None:
        torch.set_num_threads(threads)
        for _ in range(steps):
            peer.step(*peer.draw())

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="gan-jax train against plain PyTorch, in turns")
    parser.add_argument("--size", choices=["concept", "gan", "wide"], default="concept")
    parser.add_argument("--train-steps", type=int, default=10_000, help="of each training")
    parser.add_argument("--steps", type=int, default=1_000, help="of each turn of all else")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="*", default=[], help="sizes of populations")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()

    environment.prepare()  # XLA compiles as for the command
    cores = os.cpu_count() or 1
    config, data = size(arguments.size), load("digits").train
    assert isinstance(data, Part)
    runs = measure(config, data)
    for members in arguments.members:
        runs |= measure(config, data, members)
    for kind, options in (("eager", {}), ("fused Adam", {"fused": True})):
        for threads in sorted({1, cores}):
            name = f"PyTorch {kind}, {threads} thread{'s' * (threads > 1)}"
            runs[name] = peer_run(config, data, threads, **options)
    runs[f"PyTorch compiled, {cores} threads"] = peer_run(
        config, data, cores, fused=True, compiled=True
    )
    rates: dict[str, list[float]] = {"gan-jax train": [], **{name: [] for name in runs}}
    for turn in range(arguments.turns):
        if turn % 2 == 0:
            rates["gan-jax train"].append(whole_training(config, arguments.train_steps))
        for name, values in in_turns(runs, arguments.steps, 1).items():
            rates[name] += values
        runs = dict(reversed(runs.items()))
        if turn % 2 == 1:
            rates["gan-jax train"].append(whole_training(config, arguments.train_steps))

    print(table(rates))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max((n for n in medians if n.startswith("PyTorch")), key=lambda name: medians[name])
    ratios = {
        f"gan-jax train / {best}": medians["gan-jax train"] / medians[best],
        "gan-jax train / bare products": medians["gan-jax train"] / medians["bare products"],
        "step by step / in a loop": medians["step by step"] / medians["in a loop"],
    } | {
        f"cost of one of {n} {how} / one alone": medians["in a loop"] / (n * medians[f"{n} {how}"])
        for n in arguments.members
        for how in ("at once", "one by one")
    }
    for name, value in ratios.items():
        print(f"{name}: {value:.2f}")
    if arguments.json:
        figures = {
            "size": arguments.size,
            "train_steps": arguments.train_steps,
            "steps": arguments.steps,
            "rates": rates,
            "medians": medians,
            "ratios": ratios,
        }
        record.write(arguments.json, figures)


if __name__ == "__main__":
    main()
