"""Steps a second of `gan-jax train`, of its parts, and of the same GAN in plain PyTorch.

    pip install ".[bench]"
    python benchmarks/train_throughput.py [--size concept|gan|wide] [--turns 5] [--json FILE]
        [--precision float32|tf32|bfloat16] [--members 16 64]

In turns in one run: the steps of a training in a bare loop; one program call a step; populations
trained as one program; the step's matrix products and nothing else, one after the other (a step
may run two at a time where neither needs the other); and, where PyTorch is installed,
`torch_peer.py` with the optimiser as it is by default, fused, and compiled, on one thread and on
all. On a GPU there are no threads to choose, and a CUDA graph is a further configuration.

Then, in turns again, a whole training with its metrics, pictures and checkpoints, by its own clock,
which starts after the compiler, and about as many seconds each of the rest but populations, of each
kind of PyTorch by its better number of threads: a shared machine has slow seconds, which the median
of short turns would leave out and a whole training cannot. PyTorch's fastest configuration counts.

PyTorch is told to flush denormal numbers to zero, as XLA does. By default it keeps them, and slows
down as soon as the discriminator of `concept` has won: vanishing gradients leave Adam's moments
full of them. `--keep-denormals` leaves it at that.

Sizes: `concept` (784-128-1 against 100-128-784, batch 100) and `gan` are the recipes; `wide` is
`concept` with three hidden layers of 1024 and batches of 256, at a learning rate it can bear.
Populations may have any size that fits into memory, 4096 on a GPU; one by one, a turn takes as many
times longer, so give fewer `--steps` with them. `--precision` is of the matrix products on both
sides; PyTorch's bfloat16 is autocast, which also keeps what lies between layers in bfloat16.
"""

import argparse
import dataclasses
import functools
import io
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
import record
from rich.console import Console
from sizes import SIZES, size

from gan_jax import environment
from gan_jax.benchmark import Run, in_turns, measure, table
from gan_jax.config import Config
from gan_jax.data import Part, load
from gan_jax.data.stream import to_float
from gan_jax.errors import InputError
from gan_jax.train import train

TRAINING, LOOP, BARE = "gan-jax train", "in a loop", "bare products"


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


def peer_runs(config: Config, data: Part, denormals: bool = False) -> dict[str, Run]:
    """PyTorch's configurations, on the device that JAX has; none without PyTorch for that.

    Denormal numbers are flushed to zero, as XLA does, unless they are to be kept: PyTorch keeps
    them by default. Threads start with the choice of the one that starts them, so it is made here,
    before PyTorch has any.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
        from torch_peer import Peer
    except ImportError:
        return {}
    torch.set_flush_denormal(not denormals)
    rows = np.array(to_float(jax.numpy.asarray(data.samples)))
    kinds: dict[str, dict[str, bool]] = {"eager": {}, "fused Adam": {"fused": True}}
    if not config.penalties:  # what torch.compile made has no second derivative
        kinds["compiled"] = {"fused": True, "compiled": True}

    def run(device: str, threads: int, **options: bool) -> Run:
        peer = Peer(config, rows, device=device, precision=config.precision, **options)

        def steps_of_peer(steps: int) -> None:
            torch.set_num_threads(threads)
            for _ in range(steps):
                peer.step(*peer.draw())
            if device == "cuda":
                torch.cuda.synchronize()

        return steps_of_peer

    cores = os.cpu_count() or 1
    backend = jax.default_backend()
    if backend == "cpu":
        return {
            f"PyTorch {kind}, {threads} thread{'s' * (threads > 1)}": run("cpu", threads, **options)
            for kind, options in kinds.items()
            for threads in sorted({1, cores})
        }
    if backend != "gpu" or not torch.cuda.is_available():
        print(f"JAX has a {backend} that PyTorch {torch.__version__} cannot use: PyTorch left out")
        return {}
    # JAX has taken three quarters of the memory: what PyTorch keeps has to fit beside that.
    torch.cuda.set_per_process_memory_fraction(0.2)
    kinds["CUDA graph"] = {"fused": True, "graph": True}
    return {f"PyTorch {kind}": run("cuda", cores, **options) for kind, options in kinds.items()}


def best_of_each_kind(medians: Mapping[str, float]) -> list[str]:
    """PyTorch's configurations, each kind by the number of threads that makes most steps."""
    kinds: dict[str, str] = {}
    for name in sorted((n for n in medians if n.startswith("PyTorch")), key=medians.__getitem__):
        kinds[name.partition(",")[0]] = name
    return list(kinds.values())


def long_turns(
    train_for: Callable[[int], float],
    runs: Mapping[str, Run],
    medians: Mapping[str, float],
    train_steps: int,
    turns: int,
) -> dict[str, list[float]]:
    """Steps a second of trainings, and of each of the runs for about as many seconds, in turns."""
    seconds = train_steps / medians[LOOP]
    rates: dict[str, list[float]] = {TRAINING: [], **{name: [] for name in runs}}
    for turn in range(turns):
        for name in rates if turn % 2 == 0 else reversed(list(rates)):
            if name == TRAINING:
                rates[name].append(train_for(train_steps))
            else:
                steps = math.ceil(seconds * medians[name])
                rates[name] += in_turns({name: runs[name]}, steps, 1)[name]
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description="gan-jax train against plain PyTorch, in turns")
    parser.add_argument("--size", choices=SIZES, default="concept")
    parser.add_argument("--train-steps", type=int, default=10_000, help="of each training")
    parser.add_argument("--steps", type=int, default=1_000, help="of each turn of all else")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="*", default=[], help="sizes of populations")
    parser.add_argument(
        "--precision",
        choices=["float32", "tf32", "bfloat16"],
        default="float32",
        help="of the matrix products on both sides",
    )
    parser.add_argument(
        "--keep-denormals", action="store_true", help="PyTorch keeps denormal numbers, its default"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()

    environment.prepare()  # XLA compiles as for the command
    config = dataclasses.replace(size(arguments.size), precision=arguments.precision)
    data = load("digits").train
    assert isinstance(data, Part)
    runs = measure(config, data)
    for members in arguments.members:
        runs |= measure(config, data, members)
    runs |= peer_runs(config, data, arguments.keep_denormals)
    rates = in_turns(runs, arguments.steps, arguments.turns)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    peers = best_of_each_kind(medians)
    long = long_turns(
        functools.partial(whole_training, config),
        {name: runs[name] for name in (LOOP, "step by step", BARE, *peers)},
        medians,
        arguments.train_steps,
        arguments.turns,
    )
    long_medians = {name: statistics.median(values) for name, values in long.items()}

    print(f"turns of {arguments.steps} steps\n{table(rates)}")
    print(f"turns of {arguments.train_steps} steps, or as many seconds\n{table(long)}")
    ratios = {
        f"{name} / {peer}": long_medians[name] / long_medians[peer]
        for peer in sorted(peers, key=long_medians.__getitem__)[-1:]  # none without PyTorch
        for name in (TRAINING, LOOP, BARE)
    }
    ratios |= {
        f"{name} / {whole}": long_medians[name] / long_medians[whole]
        for name, whole in ((TRAINING, LOOP), (TRAINING, BARE), ("step by step", LOOP))
    }
    ratios |= {
        f"cost of one of {n} {how} / one alone": medians[LOOP] / (n * medians[f"{n} {how}"])
        for n in arguments.members
        for how in ("at once", "one by one")
    }
    ratios |= {
        f"{n} at once / their bare products": medians[f"{n} at once"]
        / medians[f"{n} bare products"]
        for n in arguments.members
    }
    for name, value in ratios.items():
        print(f"{name}: {value:.2f}")
    if arguments.json:
        figures = {
            "size": arguments.size,
            "precision": arguments.precision,
            "denormals": arguments.keep_denormals,
            "device": jax.devices()[0].device_kind,
            "train_steps": arguments.train_steps,
            "steps": arguments.steps,
            "rates": rates,
            "medians": medians,
            "long_rates": long,
            "long_medians": long_medians,
            "ratios": ratios,
        }
        record.write(arguments.json, figures)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"train_throughput.py: {error}", file=sys.stderr)
        sys.exit(2)
