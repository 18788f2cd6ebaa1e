"""Seconds until gan_jax's default recipe is as good as the PyTorch tutorial's GAN at its end.

The tutorial's: latents of 64, two hidden layers of 256 in each network, ReLU and leaky ReLU 0.2,
binary cross-entropy on probabilities, Adam at 2e-4, batch 100, 200 epochs of MNIST; written as it
stands there, but with the rows scaled in memory instead of through a loader, which is faster. Both
are trained on this machine, one after the other, and scored by one classifier: the Fréchet distance
of 10,000 samples to the 10,000 test rows. Only training is on the clock.

``python benchmarks/time_to_quality.py --mnist mnist`` (needs ``".[bench]"``).
"""

import argparse
import dataclasses
import time
from pathlib import Path

import jax
import numpy as np
import record
import torch  # pyright: ignore[reportMissingImports]
from rich.console import Console
from torch import nn  # pyright: ignore[reportMissingImports]

from gan_jax import environment
from gan_jax.assembly import from_config
from gan_jax.classifiers import classifier_of
from gan_jax.data import Part, load
from gan_jax.data.stream import make_stream
from gan_jax.evaluation.distances import frechet_distance
from gan_jax.evaluation.features import read
from gan_jax.judges import FULL
from gan_jax.loops import advance
from gan_jax.recipes import recipe
from gan_jax.report import to_uint8
from gan_jax.sampling import sampler

BATCH, LATENTS, HIDDEN = 100, 64, 256
EVERY = 250  # steps between two looks


def tutorial(rows: np.ndarray, epochs: int, score, looks: int) -> list[dict[str, float]]:
    """The tutorial's training, and what it comes to on the way."""
    torch.manual_seed(0)
    flat = torch.from_numpy(rows.reshape(len(rows), -1).astype(np.float32) / 127.5 - 1.0)
    pixels = flat.shape[1]
    D = nn.Sequential(
        nn.Linear(pixels, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, 1),
        nn.Sigmoid(),
    )
    G = nn.Sequential(
        nn.Linear(LATENTS, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, pixels),
        nn.Tanh(),
    )
    criterion = nn.BCELoss()
    d_optimizer = torch.optim.Adam(D.parameters(), lr=0.0002)
    g_optimizer = torch.optim.Adam(G.parameters(), lr=0.0002)
    real_labels, fake_labels = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    seconds, found = 0.0, []
    for epoch in range(1, epochs + 1):
        began = time.perf_counter()
        order = torch.randperm(len(flat))
        for start in range(0, len(flat) - BATCH + 1, BATCH):
            images = flat[order[start : start + BATCH]]
            loss = criterion(D(images), real_labels)
            fakes = G(torch.randn(BATCH, LATENTS))
            loss = loss + criterion(D(fakes.detach()), fake_labels)
            d_optimizer.zero_grad()
            loss.backward()
            d_optimizer.step()
            loss = criterion(D(G(torch.randn(BATCH, LATENTS))), real_labels)
            g_optimizer.zero_grad()
            loss.backward()
            g_optimizer.step()
        seconds += time.perf_counter() - began
        if epoch % max(1, epochs // looks) == 0 or epoch == epochs:
            with torch.no_grad():
                images = G(torch.randn(FULL, LATENTS)).numpy().reshape(FULL, *rows.shape[1:])
            found.append({"epoch": epoch, "seconds": seconds, "frechet": score(to_uint8(images))})
            print(found[-1], flush=True)
    return found


def ours(part: Part, seed: int, score, aim: float) -> dict[str, float]:
    """The default recipe until it is there."""
    config = dataclasses.replace(recipe("gan"), seed=seed, data_seed=seed)
    gan = from_config(config)
    stream = make_stream(part, config.batch_size, seed, EVERY)
    state = jax.jit(gan.init)(jax.random.key(seed))
    program = jax.jit(advance(gan.train_step, stream.take), donate_argnums=0)
    sample = sampler(gan)
    arguments = (state, stream.source, stream.picks(0), np.int32(EVERY))
    compiled = program.lower(*arguments).compile()  # PyTorch's eager code compiles nothing
    seconds, frechet, step = 0.0, float("inf"), 0
    while frechet > aim and step < config.steps:
        began = time.perf_counter()
        state, _ = compiled(state, stream.source, stream.picks(step), np.int32(EVERY))
        jax.block_until_ready(state)
        seconds, step = seconds + time.perf_counter() - began, step + EVERY
        frechet = score(sample(state, FULL))
    return {"seed": seed, "steps": step, "seconds": seconds, "frechet": frechet}


def main() -> None:
    environment.prepare()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--mnist", default="mnist", help="name or path of MNIST")
    parser.add_argument("--epochs", type=int, default=200, help="of the tutorial's training")
    parser.add_argument("--seeds", type=int, default=3, help="of gan_jax's")
    parser.add_argument("--threads", type=int, default=0, help="PyTorch's; 0 = its own choice")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    data = load(arguments.mnist)
    assert isinstance(data.train, Part)
    classifier, accuracy = classifier_of(data, Console(stderr=True))
    real = read(classifier, data.test.samples[:FULL]).features

    def score(images: np.ndarray) -> float:
        return frechet_distance(real, read(classifier, images).features)

    train = score(data.train.samples[:FULL])
    print(f"classifier {accuracy:.2%} right; real training rows {train:.3g}", flush=True)
    peer = tutorial(data.train.samples, arguments.epochs, score, 10)
    aim = peer[-1]["frechet"]
    whole = next(look["seconds"] for look in peer if look["frechet"] <= aim)  # when it got there
    found = [ours(data.train, seed, score, aim) for seed in range(arguments.seeds)]
    for one in found:
        print(f"{one}: 1/{whole / one['seconds']:.0f} of {whole:.0f} s", flush=True)
    if arguments.json:
        facts = {"train": train, "accuracy": accuracy, "tutorial": peer, "gan": found}
        record.write(arguments.json, facts)


if __name__ == "__main__":
    main()
