"""Parzen-window log-likelihood of MNIST by the protocol of 2014, and why it misleads.

The protocol (arXiv:1406.2661 and its published code): train on the first 50,000 training rows; draw
10,000 samples, pixels in [0, 1]; a Gaussian at each, its width of ten between 0.1 and 1 chosen by
the first 1,000 of the last 10,000 training rows; mean log-likelihood of the 10,000 test rows in
nats, with its standard error. The same for 10,000 real training rows, and for as many centres
that k-means finds among them, which beat them: a centre is a blurred average, nearer to everything.

``python benchmarks/parzen.py DIR --mnist mnist`` trains in DIR.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import record
from rich.console import Console
from sklearn.cluster import MiniBatchKMeans

from gan_jax import environment
from gan_jax.config import DecayConfig
from gan_jax.data import Part, load
from gan_jax.evaluation.density import parzen_log_likelihood, parzen_width
from gan_jax.recipes import recipe
from gan_jax.sampling import sample_run
from gan_jax.train import train

SAMPLES, TRAINED_ON, CHOSEN_BY = 10_000, 50_000, 1_000


def main() -> None:
    environment.prepare()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="where runs go")
    parser.add_argument("--mnist", default="mnist", help="name or path of MNIST")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    data = load(arguments.mnist)
    assert isinstance(data.train, Part)
    images, test = data.train.samples, flat(data.test.samples)
    validation = flat(images[TRAINED_ON : TRAINED_ON + CHOSEN_BY])
    part = folder / "first-50000.npz"
    np.savez(part, images=images[:TRAINED_ON], test_images=data.test.samples)
    found = []

    def judge(name: str, samples: np.ndarray) -> None:
        width = parzen_width(samples, validation)
        value, error = parzen_log_likelihood(samples, test, width)
        found.append({"name": name, "nats": value, "error": error, "width": width})
        print(f"{name:40} {value:6.1f} +- {error:.1f} nats, width {width:.3f}", flush=True)

    real = flat(images[:TRAINED_ON])
    judge("10,000 training images", real[np.random.RandomState(0).permutation(len(real))[:SAMPLES]])
    centres = MiniBatchKMeans(SAMPLES, max_iter=3, random_state=0).fit(real)
    judge("10,000 centres of k-means", np.asarray(centres.cluster_centers_, np.float64))
    for seed in range(arguments.seeds):
        base = recipe("gan")
        config = dataclasses.replace(
            base,
            dataset=str(part),
            seed=seed,
            steps=arguments.steps,
            penalties={"r1": 3.0, "r2": 3.0},  # smoother samples do better by it
            decay=DecayConfig(shape="linear", horizon=arguments.steps),
            generator=dataclasses.replace(
                base.generator,
                latent_size=100,
                categories=0,
                temperature=1.0,
                widths=(1200, 1200),
            ),
        )
        path = folder / f"seed-{seed}"
        train(config, path, console=Console(quiet=True))
        judge(f"generator 100-1200-1200-784, seed {seed}", flat(sample_run(path, SAMPLES)))
    if arguments.json:
        record.write(arguments.json, {"parzen": found})


def flat(images: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1]."""
    return images.reshape(len(images), -1).astype(np.float64) / 255.0


if __name__ == "__main__":
    main()
