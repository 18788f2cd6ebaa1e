"""Planted runs: healthy GANs and every way of failing, and which verdict each gets.

``python benchmarks/quality/planted.py DIR`` trains in DIR and writes one line a run to
``planted.jsonl`` beside this file, leaving out runs that are there already; ``--again`` judges the
runs in DIR once more without training them. Every other run of a kind is for choosing thresholds,
the rest is for reporting how often they are right; a table of each is printed at the end.
"""

import argparse
import collections
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from gan_jax import environment
from gan_jax.config import Config, DecayConfig
from gan_jax.data import Part, load
from gan_jax.evaluate import evaluate
from gan_jax.evaluation.verdict import VERDICTS
from gan_jax.recipes import recipe
from gan_jax.train import train

RESULTS = Path(__file__).parent / "planted.jsonl"


class Planted(NamedTuple):
    """A run, and what has to be said of it."""

    name: str
    expected: str
    config: Config
    against: str | None  # None: what it was trained on
    half: str  # "chosen by" or "reported"


def planted(mnist: str, folder: Path) -> list[Planted]:
    """All of them, the kinds in turns, so that a part of the list is a fair part."""
    gan = recipe("gan")
    as_trained = dataclasses.replace(gan.generator, temperature=1.0)  # copies are seen as they are
    base = dataclasses.replace(gan, generator=as_trained, dataset=mnist, steps=6_000)
    concept = dataclasses.replace(recipe("concept"), dataset=mnist)

    def change(config: Config, rate: tuple[float, float] | None = None, **changes: Any) -> Config:
        if rate is not None:
            for player, value in zip(("generator", "discriminator"), rate, strict=True):
                optimizer = getattr(config, f"{player}_optimizer")
                changes[f"{player}_optimizer"] = dataclasses.replace(optimizer, learning_rate=value)
        return dataclasses.replace(config, **changes)

    kinds: dict[str, list[Planted]] = collections.defaultdict(list)

    def plant(expected: str, name: str, config: Config, against: str | None = None) -> None:
        half = ("chosen by", "reported")[len(kinds[expected]) % 2]
        kinds[expected].append(Planted(name, expected, config, against, half))

    for seed in range(8):
        plant("healthy", f"gan, seed {seed}", change(base, seed=seed))
    for loss in ("minimax", "hinge", "least_squares", "relativistic"):
        for seed in (0, 1):
            plant("healthy", f"{loss}, seed {seed}", change(base, loss=loss, seed=seed))
    for rate in (1e-3, 3e-3):
        for seed in (0, 1):
            plant("healthy", f"rates {rate}, seed {seed}", change(base, (rate, rate), seed=seed))
    for seed in range(5):
        plant("discriminator-won", f"concept, seed {seed}", change(concept, seed=seed))
    for seed in range(3):
        frozen = change(base, (0.0, 2e-3), penalties={}, seed=seed, steps=1_500)
        plant("discriminator-won", f"frozen generator, seed {seed}", frozen)
        slow = change(base, (1e-6, 1e-2), penalties={}, seed=seed, steps=1_500)
        plant("discriminator-won", f"generator 10,000 times slower, seed {seed}", slow)
    for dropped in ((0,), (3,), (7,), (1, 2), (4, 9), (0, 1, 2, 3, 4), (5, 6, 7), (8,), (2,), (6,)):
        path = subset(mnist, folder, f"without-{''.join(map(str, dropped))}", dropped=dropped)
        name = f"trained without {', '.join(map(str, dropped))}"
        plant("collapsed", name, change(base, dataset=str(path)), mnist)
    for rows in (100, 150, 200):
        path = subset(mnist, folder, f"first-{rows}", rows=rows)
        for seed in (0, 1):
            plant(
                "memorising",
                f"{rows} rows, seed {seed}",
                change(base, dataset=str(path), seed=seed, steps=10_000),
            )
    for steps in (50, 100, 200):
        for seed in (0, 1):
            plant(
                "underfitting", f"{steps} steps, seed {seed}", change(base, steps=steps, seed=seed)
            )
    for seed in (0, 1):
        tiny = change(base, (1e-6, 1e-6), steps=2_000, seed=seed)
        plant("underfitting", f"rates 1e-6, seed {seed}", tiny)
    points = change(recipe("points"), dataset="ring", penalties={}, average_decay=0.0)
    points = change(points, steps=6_000, decay=DecayConfig(), evaluation_interval=250)
    for seed in range(4):
        plant("cycling", f"points without penalties, seed {seed}", change(points, seed=seed))
        watched = change(base, steps=800, evaluation_interval=100, seed=seed)
        plant("improving", f"gan in its first 800 steps, seed {seed}", watched)
    for loss in ("hinge", "non_saturating", "least_squares"):
        for rate in (300.0, 1_000.0):
            exploding = change(base, (rate, rate), loss=loss, steps=1_500)
            plant("diverged", f"{loss}, rates {rate:g}", exploding)
    turns = max(map(len, kinds.values()))
    return [kind[turn] for turn in range(turns) for kind in kinds.values() if turn < len(kind)]


def subset(mnist: str, folder: Path, name: str, *, rows: int = 0, dropped: tuple = ()) -> Path:
    """A part of the training rows with all test rows, as a file."""
    path = folder / f"{name}.npz"
    if not path.exists():
        data = load(mnist)
        assert isinstance(data.train, Part) and data.train.labels is not None
        assert data.test.labels is not None
        kept = np.flatnonzero(~np.isin(data.train.labels, dropped))
        kept = kept[:rows] if rows else kept
        np.savez(
            path,
            images=data.train.samples[kept],
            labels=data.train.labels[kept],
            test_images=data.test.samples,
            test_labels=data.test.labels,
        )
    return path


def main() -> None:
    environment.prepare()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="where runs go; kept from one call to the next")
    parser.add_argument("--mnist", default="mnist", help="name or path of MNIST")
    parser.add_argument("--again", action="store_true", help="judge the runs there are once more")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.again:
        RESULTS.unlink(missing_ok=True)
    records = (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )
    known = {record["name"] for record in records}
    console = Console(stderr=True, quiet=True)
    for number, run in enumerate(planted(arguments.mnist, folder)):
        path = folder / f"run-{number}"
        finished = path / "finished"  # a file, written when the training is over
        if run.name in known or (arguments.again and not finished.exists()):
            continue
        if not finished.exists():
            shutil.rmtree(path, ignore_errors=True)  # cut off the last time
            train(run.config, path, console=console)
            finished.touch()
        report = evaluate(path, against=run.against, console=console)
        record = {
            "name": run.name,
            "half": run.half,
            "expected": run.expected,
            "verdict": report.verdict,
            "reasons": report.reasons,
            "metrics": report.metrics,
        }
        records.append(record)
        with RESULTS.open("a") as file:
            file.write(json.dumps(record) + "\n")
        right = "" if run.expected == report.verdict else "   <-- wrong"
        print(f"{run.expected:18} {report.verdict:18} {run.name}{right}", flush=True)
    for half in ("chosen by", "reported"):
        print(f"\n{half}:")
        show([record for record in records if record["half"] == half])


def show(records: list[dict[str, Any]]) -> None:
    """Rows: what was planted. Columns: what was said."""
    said = collections.Counter((r["expected"], r["verdict"]) for r in records)
    planted_words = [word for word in VERDICTS if any(r["expected"] == word for r in records)]
    print("| planted | " + " | ".join(VERDICTS) + " |")
    print("| --- " * (len(VERDICTS) + 1) + "|")
    for word in planted_words:
        counts = [str(said[word, other] or "") for other in VERDICTS]
        print(f"| {word} | " + " | ".join(counts) + " |")
    right = sum(r["expected"] == r["verdict"] for r in records)
    print(f"{right} of {len(records)} right")


if __name__ == "__main__":
    main()
