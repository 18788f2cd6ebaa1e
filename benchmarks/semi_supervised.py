"""A classifier from 100 labels a class: with a generator beside it (SGAN), and without.

Recipe ``sgan`` on MNIST's 60,000 training images, of which 100 a class keep their label; then the
same network, from the same initial parameters, by cross-entropy on the labelled ones alone, as many
steps of as many rows. Accuracy is that on the 10,000 test images.

``python benchmarks/semi_supervised.py DIR --mnist mnist`` trains in DIR.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import record
from rich.console import Console

from gan_jax import environment
from gan_jax.assembly import from_config
from gan_jax.config import Config
from gan_jax.data import Part, load
from gan_jax.data.stream import make_stream, to_float
from gan_jax.gan import GAN
from gan_jax.loops import advance
from gan_jax.optimizers import make_optimizer
from gan_jax.recipes import recipe
from gan_jax.runs import load as load_run
from gan_jax.train import train
from gan_jax.types import Batch

LABELS = 100  # of each class


def main() -> None:
    environment.prepare()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="where runs go")
    parser.add_argument("--mnist", default="mnist", help="name or path of MNIST")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    data, found = load(arguments.mnist), []
    assert isinstance(data.train, Part) and data.train.labels is not None
    images, all_labels = data.train.samples, data.train.labels
    test_labels = data.test.labels
    assert test_labels is not None
    for seed in range(arguments.seeds):
        labels = few_labels(all_labels, seed)
        path = folder / f"labels-{seed}.npz"
        np.savez(
            path,
            images=images,
            labels=labels,
            test_images=data.test.samples,
            test_labels=test_labels,
        )
        config = dataclasses.replace(
            recipe("sgan"), dataset=str(path), seed=seed, steps=arguments.steps
        )
        run = train(config, folder / f"seed-{seed}", console=Console(quiet=True)).run
        gan, state = load_run(run.path)
        with_generator = accuracy(gan, state.discriminator.params, data.test.samples, test_labels)
        config = run.read_config()
        figures = {
            "seed": seed,
            "with a generator": with_generator,
            "without": alone(
                config, images[labels >= 0], labels[labels >= 0], data.test.samples, test_labels
            ),
        }
        found.append(figures)
        print(figures, flush=True)
    if arguments.json:
        record.write(arguments.json, {"semi_supervised": found})


def few_labels(all_labels: np.ndarray, seed: int) -> np.ndarray:
    """So many of each class keep their label, the others get -1."""
    order = np.random.default_rng(seed).permutation(len(all_labels))
    labels = np.full(len(order), -1, np.int32)
    for label in range(10):
        labels[order[all_labels[order] == label][:LABELS]] = label
    return labels


def alone(
    config: Config,
    images: np.ndarray,
    labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """Accuracy of the discriminator's network, trained on the labelled rows by cross-entropy."""
    gan = from_config(config)
    stream = make_stream(Part(images, labels), config.batch_size, config.data_seed, 500)
    optimizer = make_optimizer("discriminator", config.discriminator_optimizer, config.decay)
    key = jax.random.key(config.seed)

    def step(state: Any, batch: Batch) -> Any:
        params, memory = state

        def loss(params):
            logits = gan.game.judge(params, batch.samples, None, key).heads["classes"]
            wanted = jax.nn.one_hot(batch.labels, config.classes)
            return optax.softmax_cross_entropy(logits, wanted).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, memory = optimizer.update(gradient, memory, params)
        return (optax.apply_updates(params, updates), memory), value

    params = gan.init(key).discriminator.params
    state, program = (params, optimizer.init(params)), jax.jit(advance(step, stream.take))
    for start in range(0, config.steps, 500):
        count = np.int32(min(500, config.steps - start))
        state, _ = program(state, stream.source, stream.picks(start), count)
    return accuracy(gan, state[0], test_images, test_labels)


def accuracy(gan: GAN, params: Any, images: np.ndarray, labels: np.ndarray) -> float:
    """How often the discriminator's classes are right."""
    rows = to_float(jnp.asarray(images))
    told = gan.game.judge(params, rows, None, jax.random.key(0)).heads["classes"]
    return float((np.asarray(told).argmax(1) == labels).mean())


if __name__ == "__main__":
    main()
