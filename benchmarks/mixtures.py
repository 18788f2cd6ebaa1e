"""Mixtures in the plane by every objective: modes found, how well, and how evenly.

``ring`` and ``grid`` by PacGAN's protocol (arXiv:1712.04086): its mixtures, though drawn afresh at
every step and not 100,000 rows of them; 2,500 samples, those within
three standard deviations of a centre are of high quality, a mode is found where there is one of
them. Network and budget are ours: every row is the game of a recipe (its loss, penalties, terms,
dynamics, steps of the discriminator) by the networks, latents, batch and rates of `points`. The
seeds of a row are one program, each with batches of its own; a CPU's cores share them.

``python benchmarks/mixtures.py --json FILE`` makes all rows, ``--recipes points`` one of them.
"""

import argparse
import dataclasses
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_jax import environment

CORES = environment.cores()
environment.prepare()
os.environ["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={CORES}"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import record  # noqa: E402
from jax.sharding import AxisType, PartitionSpec  # noqa: E402

from gan_jax.assembly import from_config  # noqa: E402
from gan_jax.config import Config  # noqa: E402
from gan_jax.data import Mixture, load  # noqa: E402
from gan_jax.evaluation.mixtures import MixtureReport, judge_mixture  # noqa: E402
from gan_jax.fitting import fit_config  # noqa: E402
from gan_jax.recipes import RECIPES, recipe  # noqa: E402

SAMPLES = 2_500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--recipes", nargs="+", default=names(), choices=names(), metavar="NAME")
    parser.add_argument("--datasets", nargs="+", default=["ring", "grid"], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="of every row, in place of its own")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    points = recipe("points")
    print(
        f"{arguments.seeds} seeds on {CORES} cores; {points.batch_size} rows a step; "
        f"generator {points.generator.latent_size}-{points.generator.widths}-2, "
        f"discriminator 2-{points.discriminator.widths}-1"
    )
    columns = "data | recipe | steps | modes | high quality, % | reverse KL | covariance ratios"
    print(f"| {columns} | seconds |\n{'| --- ' * 8}|")
    found = []
    for name in arguments.recipes:
        for dataset in arguments.datasets:
            steps = arguments.steps or budget(name)
            reports, seconds = members(name, dataset, steps, arguments.seeds)
            row = {"recipe": name, "data": dataset, "steps": steps, "seconds": seconds}
            row |= figures(reports)
            found.append(row)
            print(line(row), flush=True)
    if arguments.json:
        facts = {"seeds": arguments.seeds, "cores": CORES, "points": points.to_dict()}
        record.write(arguments.json, facts | {"rows": found})


def names() -> list[str]:
    """All but `dcgan`, `points` first; in the plane `gan` is `points`, and `gan-large` is `cgan`.

    Then those that are told which mode a row is of: what they find is not what others have to.
    """
    apply = [name for name in RECIPES if name not in ("gan", "gan-large", "dcgan")]
    return sorted(apply, key=lambda name: (name != "points", recipe(name).classes > 0))


def budget(name: str) -> int:
    """Steps of a row: so many that it is done in minutes; those of `points` are its own."""
    return {"points": recipe("points").steps, "unrolled": 2_500}.get(name, 10_000)


def in_the_plane(name: str, steps: int) -> Config:
    """The game of a recipe, by the networks, latents, batch and rates of `points`."""
    config, points = recipe(name), recipe("points")
    changes: dict[str, Any] = {
        "steps": steps,
        "decay": dataclasses.replace(points.decay, horizon=steps),
        "batch_size": points.batch_size * config.discriminator.pack,
        "average_decay": points.average_decay,
        "generator": dataclasses.replace(points.generator, condition=config.generator.condition),
        "discriminator": dataclasses.replace(
            config.discriminator,
            widths=points.discriminator.widths,
            activation=points.discriminator.activation,
            center=0.0,
        ),
        "penalties": {n: points.penalties.get(n, weight) for n, weight in config.penalties.items()},
    }
    if config.discriminator.head == "codes":  # which tells the categories it is given
        categories = config.generator.categories
        changes["generator"] = dataclasses.replace(changes["generator"], categories=categories)
    for player in ("generator_optimizer", "discriminator_optimizer"):
        optimizer = getattr(config, player)
        if name != "concept" and optimizer.name == "adam":  # whose rate is the lesson
            rate = getattr(points, player).learning_rate
            changes[player] = dataclasses.replace(optimizer, learning_rate=rate)
    return dataclasses.replace(config, **changes)


def members(name: str, dataset: str, steps: int, seeds: int) -> tuple[list[MixtureReport], float]:
    """So many trainings as one program, each judged; and how long they took, compiled."""
    data = load(dataset)
    mixture = data.train
    assert isinstance(mixture, Mixture)
    config = fit_config(dataclasses.replace(in_the_plane(name, steps), dataset=dataset), data)
    gan, rows = from_config(config), config.batch_size * config.discriminator_steps

    def one(key: jax.Array) -> jax.Array:
        start, draws, end = jax.random.split(key, 3)

        def step(index: jax.Array, state: Any) -> Any:
            batch = mixture.draw(jax.random.fold_in(draws, index), rows)
            told = batch.labels if recipe(name).classes else None
            return gan.train_step(state, batch._replace(labels=told))[0]

        state = jax.lax.fori_loop(0, steps, step, gan.init(start))
        return gan.sample(state, end, SAMPLES)

    keys = jax.random.split(jax.random.key(0), seeds)
    if jax.default_backend() == "cpu":  # one after the other on each core
        shares = math.gcd(seeds, jax.device_count())
        mesh = jax.make_mesh((shares,), ("members",), axis_types=(AxisType.Auto,))
        spec = PartitionSpec("members")
        all_of_them = jax.shard_map(
            lambda keys: jax.lax.map(one, keys),
            mesh=mesh,
            in_specs=spec,
            out_specs=spec,
            check_vma=False,
        )
    else:
        all_of_them = jax.vmap(one)
    program = jax.jit(all_of_them).lower(keys).compile()
    began = time.perf_counter()
    samples = np.asarray(program(keys))
    seconds = time.perf_counter() - began
    return [judge_mixture(rows, mixture.centers, mixture.std) for rows in samples], seconds


def figures(reports: Sequence[MixtureReport]) -> dict[str, Any]:
    """Every seed's figures, by name; None where it has no such figure."""

    def known(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {
        "modes": [report.modes for report in reports],
        "high_quality": [report.quality for report in reports],
        "reverse_kl": [known(report.reverse_kl) for report in reports],
        "covariance_ratios": [[known(r) for r in report.covariance_ratios] for report in reports],
        "over_concentrated": sum(report.over_concentrated for report in reports),
    }


def line(row: dict[str, Any]) -> str:
    """Mean and standard error over seeds, as a row of a table; a dash where a seed has none."""

    def spread(values: list[Any], factor: float, digits: int) -> str:
        if None in values:
            return "-"
        error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return f"{factor * np.mean(values):.{digits}f} ± {factor * error:.{digits}f}"

    ratios = [ratio for pair in row["covariance_ratios"] for ratio in pair]
    low, high = ratios[::2], ratios[1::2]
    cells = [
        row["data"],
        f"`{row['recipe']}`",
        f"{row['steps']:,}",
        spread(row["modes"], 1, 1),
        spread(row["high_quality"], 100, 1),
        spread(row["reverse_kl"], 1, 4),
        "-" if None in ratios else f"{np.mean(low):.2f} to {np.mean(high):.2f}",
        f"{row['seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
