"""How good a recipe gets: trained and judged by the command line, seed after seed.

``python benchmarks/recipe_quality.py FOLDER --recipe cgan --dataset mnist --steps 40000 --seeds 2``
leaves the runs in the folder. Seconds are of the whole training command, from start to end;
everything else is what ``gan-jax evaluate --full --json`` says, the Fréchet distance also as a
multiple of training rows'.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import record

from gan_jax import cli, environment


def train_and_judge(
    run: Path, recipe: str, dataset: str, steps: int, seed: int, further: list[str]
) -> dict[str, Any]:
    """One seed's figures."""
    command = [sys.executable, "-m", "gan_jax"]
    chosen = ["--recipe", recipe, "--dataset", dataset, "--steps", str(steps)]
    seeds = ["--seed", str(seed), "--data-seed", str(seed)]
    began = time.perf_counter()
    subprocess.run(
        [*command, "train", *chosen, *seeds, "--run-dir", str(run), *further],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    with contextlib.redirect_stdout(io.StringIO()) as judged:
        assert cli.main(["evaluate", str(run), "--full", "--json"]) == 0
    found = json.loads(judged.getvalue())
    metrics, training_rows = found["metrics"], found["anchors"]["train"]
    return {
        "seed": seed,
        "steps": steps,
        "seconds": seconds,
        "samples": found["samples"],
        "verdict": found["verdict"],
        "times_training_rows": metrics["frechet_distance"] / training_rows["frechet_distance"],
        "metrics": metrics,
        "training_rows": training_rows,
    }


def main() -> None:
    environment.prepare()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="where the runs go")
    parser.add_argument("--recipe", default="gan", help="which recipe")
    parser.add_argument("--dataset", default="mnist", help="name or path of the data")
    parser.add_argument("--steps", type=int, default=40_000, help="of each training")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 on")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments, further = parser.parse_known_args()
    rows = []
    for seed in range(arguments.seeds):
        rows.append(
            train_and_judge(
                arguments.folder / f"{arguments.recipe}-{seed}",
                arguments.recipe,
                arguments.dataset,
                arguments.steps,
                seed,
                further,
            )
        )
        told = {name: rows[-1][name] for name in ("seed", "seconds", "times_training_rows")}
        print(told, flush=True)
    if arguments.json:
        name = Path(arguments.dataset).name
        record.write(arguments.json, {"recipe": arguments.recipe, "data": name, "rows": rows})


if __name__ == "__main__":
    main()
