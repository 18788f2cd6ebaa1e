"""A config and its data brought together: what the data decide, and what a run keeps to its end."""

import dataclasses
import os
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from rich.console import Console

import gan_jax
from gan_jax.config import Config
from gan_jax.data import Dataset, Mixture, Part, load, location
from gan_jax.environment import cores
from gan_jax.errors import InputError
from gan_jax.evaluation.verdict import LEAST_ROWS
from gan_jax.progress import say
from gan_jax.runs import Run

__all__ = [
    "compiler_facts",
    "data_facts",
    "fit_config",
    "game_facts",
    "load_dataset",
    "refuse_other_game",
    "steps_of",
]

# Where to stop and look, and where the data lie; all else is part of the game and stays.
_FREE = (
    "recipe",
    "steps",
    "dataset",
    "data_dir",
    "log_interval",
    "picture_interval",
    "checkpoint_interval",
    "evaluation_interval",
    "best_by",
    "stop_when",
)


def game_facts(config: Config) -> dict[str, str]:
    """By nested name, every value of a config that a run keeps to its end."""

    def flatten(values: dict[str, Any], prefix: str) -> dict[str, str]:
        flat: dict[str, str] = {}
        for name, value in values.items():
            if isinstance(value, dict):
                flat |= flatten(value, f"{prefix}{name}.")
            elif prefix or name not in _FREE:
                flat[prefix + name] = repr(value)
        return flat

    return flatten(config.to_dict(), "")


def refuse_other_game(config: Config, began: dict[str, str] | None, run: Run) -> None:
    """See that a run goes on with the game it began with.

    Most of these values live on in the checkpoint, where a change of the file is not seen.

    Raises:
        InputError: another value than the run began with.
    """
    found = game_facts(config)
    for name, before in (began or {}).items():
        now = found.get(name, before)  # a field that a later version dropped says nothing
        if before != now:
            raise InputError(
                f"{run.config_path}: {name} is {now}, but the run began with {before}; put that "
                "back, or start a new run with: gan-jax train --config"
            )


def compiler_facts() -> dict[str, str]:
    """What else decides about the last bits of a step."""
    device = jax.devices()[0]
    return {
        "gan_jax": gan_jax.__version__,
        **{name: version(name) for name in ("jax", "jaxlib", "flax", "optax")},
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "device": device.device_kind if device.platform != "cpu" else f"cpu of {cores()} cores",
    }


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """What a run is trained on, which must not change, and how many rows that are (0 = endless)."""
    rows = len(dataset.train.samples) if isinstance(dataset.train, Part) else 0
    return {"data": dataset.fingerprint, "rows": rows}


def load_dataset(config: Config, console: Console) -> Dataset:
    """What the config names, told in a line."""
    dataset = load(
        config.dataset,
        data_dir=config.data_dir,
        validation=config.validation,
        tell=partial(say, console),
    )
    shape = "x".join(map(str, dataset.sample_shape))
    rows = (
        "endless rows"
        if isinstance(dataset.train, Mixture)
        else f"{len(dataset.train.samples):,} rows"
    )
    classes = f", {dataset.classes} classes" if dataset.classes else ""
    notes = [dataset.note] if dataset.note else []
    if isinstance(dataset.train, Part) and dataset.train.labels is not None:
        unlabelled = int((dataset.train.labels < 0).sum())
        notes += [f"{unlabelled:,} of the {rows} have no label (-1)"] if unlabelled else []
    if isinstance(dataset.train, Part):
        notes += _what_is_odd(dataset, dataset.train)
    if (number := len(dataset.test.samples)) < LEAST_ROWS:
        notes.append(
            f"{number} test rows are too few for gan-jax evaluate, {LEAST_ROWS} are needed"
        )
    note = "".join(f"; {note}" for note in notes)
    say(console, f"{dataset.name}: {rows} of {shape}{classes}{note}")
    return dataset


def _what_is_odd(dataset: Dataset, train: Part) -> list[str]:
    """Of data that can be trained on, and are seldom meant to be so."""
    notes = []
    if dataset.is_image and train.samples.max() <= 1:
        notes.append(
            "all pixels are 0 or 1 of 255, which is black; were they meant to be 0 or 255?"
        )
    if not dataset.is_image and (largest := float(np.abs(train.samples).max())) > 1e3:
        notes.append(f"values reach {largest:.2g}; networks learn best from about 1: scale them")
    if dataset.classes and train.labels is not None:
        counts = np.bincount(train.labels[train.labels >= 0], minlength=dataset.classes)
        if empty := int((counts == 0).sum()):
            notes.append(f"{empty:,} of the {dataset.classes:,} classes have no row to train on")
    return notes


def steps_of(epochs: int, config: Config, dataset: Dataset) -> int:
    """The first step by which every row has come that many times.

    Raises:
        InputError: no such number, or data without end.
    """
    if isinstance(dataset.train, Mixture):
        raise InputError(f"epochs: {dataset.name} has no end; say where to stop in steps")
    if epochs < 1:
        raise InputError(f"epochs: {epochs} is out of range; at least 1 is allowed")
    return -(
        -epochs * len(dataset.train.samples) // (config.batch_size * config.discriminator_steps)
    )


def fit_config(config: Config, dataset: Dataset) -> Config:
    """The config with all that comes from the data written into it.

    Raises:
        InputError: a name of data that TOML cannot hold.
    """
    path = location(config.dataset)
    name = os.path.realpath(path) if path else config.dataset
    data_dir = config.data_dir or ("" if path else os.environ.get("TFDS_DATA_DIR", ""))
    if not name.isprintable():
        raise InputError(f"dataset: {name!a} cannot be written into a config; rename it")
    return dataclasses.replace(
        config,
        # Absolute, so that the run finds its data again from another working directory.
        dataset=name,
        data_dir=os.path.realpath(os.path.expanduser(data_dir)) if data_dir else "",
        sample_shape=dataset.sample_shape,
        classes=dataset.classes,
        generator=dataclasses.replace(
            config.generator, last_activation="tanh" if dataset.is_image else "identity"
        ),
    )
