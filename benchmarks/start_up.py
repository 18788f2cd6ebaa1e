"""Seconds from the start of a process to its first training step, and where they go.

    python benchmarks/start_up.py [--turns 5] [--dataset NAME|PATH] [--json FILE]

Each stage is a process of its own that does what the one before does and one thing more, in turns:
Python alone, its `import jax`, the import of all that a training needs, the loading of the data.
Then `gan-jax train` until the line of its first step is written, `cold` with no compiled program
kept from earlier (the data may be cached) and `warm` with all of them; and `gan-jax --help`.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import record

_LOAD = "import gan_jax.train; from gan_jax.data import load; load({!r})"


def until_exit(command: Sequence[str], env: dict[str, str]) -> float:
    """Seconds until the process has ended."""
    start = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def until_first_step(dataset: str, env: dict[str, str]) -> float:
    """Seconds until a training has written its first line of metrics.jsonl."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "run" / "metrics.jsonl"
        command = [sys.executable, "-m", "gan_jax", "train", "--dataset", dataset, "--steps", "1"]
        command += ["--log-interval", "1", "--run-dir", str(lines.parent)]
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        while not (lines.exists() and lines.stat().st_size):
            time.sleep(0.002)
            if process.poll():
                raise SystemExit(f"gan-jax train ended with status {process.returncode}")
        seconds = time.perf_counter() - start
        process.wait()
    return seconds


def measure(dataset: str, turns: int, cache: Path) -> dict[str, list[float]]:
    """Seconds of each stage, a figure a turn."""
    env = {**os.environ, "GAN_JAX_CACHE": str(cache)}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    python = [sys.executable, "-c"]
    stages = {
        "python": lambda: until_exit([*python, "pass"], env),
        "import jax": lambda: until_exit([*python, "import jax"], env),
        "import all": lambda: until_exit([*python, "import gan_jax.train"], env),
        "load data": lambda: until_exit([*python, _LOAD.format(dataset)], env),
        "first step, cold": lambda: until_first_step(dataset, env),
        "first step, warm": lambda: until_first_step(dataset, env),
        "--help": lambda: until_exit([sys.executable, "-m", "gan_jax", "--help"], env),
    }
    stages["load data"]()  # so that what can be kept of the data is
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(turns):
        shutil.rmtree(cache / "programs", ignore_errors=True)
        for name, stage in stages.items():  # cold comes before warm
            seconds[name].append(stage())
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="seconds from process start to the first step")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        seconds = measure(arguments.dataset, arguments.turns, Path(cache))
    for name, values in seconds.items():
        print(
            f"{name:18}  {statistics.median(values):5.2f} s  "
            f"({min(values):.2f} to {max(values):.2f})"
        )
    if arguments.json:
        record.write(arguments.json, {"dataset": arguments.dataset, "seconds": seconds})


if __name__ == "__main__":
    main()
