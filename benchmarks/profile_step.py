"""Where the time of a step goes: its kernels, and the gaps in which none runs.

    python benchmarks/profile_step.py [--recipe concept] [--steps 100] [--json FILE]

Traces steps with JAX's profiler, run as `gan-jax train` runs them, many in a program. On a GPU a
kernel is whatever its streams did, copies included; on a CPU it is an operation of XLA's, and takes
as long as the thread that began it stays with it. Busy is the time in which at least one ran, the
gap the rest of the wall time. The profiler itself takes time and counts as gap, most of all on a
CPU: the wall time without it stands beside.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import record
from jax.profiler import ProfileData

from gan_jax import environment
from gan_jax.benchmark import Run, measure
from gan_jax.data import Part, load
from gan_jax.recipes import recipe


class Kernel(NamedTuple):
    """One execution of one kernel, in nanoseconds."""

    name: str
    start: float
    end: float


def seconds(run: Run, steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


def trace(run: Run, steps: int) -> tuple[Any, float]:
    """A `ProfileData` of these steps, and how many seconds they took."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Python's calls would only take time
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            wall = seconds(run, steps)
        (file,) = Path(folder).rglob("*.xplane.pb")
        return ProfileData.from_file(str(file)), wall


def kernels(data: Any) -> list[Kernel]:
    """All in a `ProfileData` that ran on the first GPU or, without one, on the processor."""
    planes = {plane.name: plane for plane in data.planes}
    if gpu := planes.get("/device:GPU:0"):
        lines = [line for line in gpu.lines if line.name.startswith("Stream")]
        events = [event for line in lines for event in line.events]
    else:
        events = [
            event
            for line in planes["/host:CPU"].lines
            for event in line.events
            # A loop or a branch is no work but the time of what it runs.
            if not event.name.startswith(("while", "conditional"))
            and any(name == "hlo_op" for name, _ in event.stats)
        ]
    return [Kernel(e.name, e.start_ns, e.start_ns + e.duration_ns) for e in events]


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def summary(found: list[Kernel], steps: int, wall: float) -> dict[str, Any]:
    """Figures of one step, given the wall seconds of all; the kernels that take longest first."""
    each: dict[str, list[float]] = {}
    for kernel in found:
        each.setdefault(kernel.name, []).append((kernel.end - kernel.start) / 1e3 / steps)
    wall = 1e6 * wall / steps
    busy = covered((kernel.start, kernel.end) for kernel in found) / 1e3 / steps
    return {
        "kernels": len(found) / steps,
        "microseconds": {
            "all kernels": sum(map(sum, each.values())),
            "busy": busy,
            "gap": wall - busy,
            "wall": wall,
        },
        "by_name": {
            name: {"count": len(times) / steps, "microseconds": sum(times)}
            for name, times in sorted(each.items(), key=lambda item: -sum(item[1]))
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="the kernels of a step, and the gaps between them")
    parser.add_argument("--recipe", default="concept")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    environment.prepare()
    data = load("digits").train
    assert isinstance(data, Part)
    run = measure(recipe(arguments.recipe), data)["in a loop"]
    run(1)  # compiles
    alone = seconds(run, arguments.steps)
    traced, wall = trace(run, arguments.steps)
    found = kernels(traced)
    if not found:
        raise SystemExit("the profiler saw no kernel; on a GPU it needs leave to use CUPTI")
    figures = summary(found, arguments.steps, wall)
    figures["microseconds"]["wall without profiler"] = 1e6 * alone / arguments.steps

    device = jax.devices()[0].device_kind
    print(f"a step of {arguments.recipe} on {device}: {figures['kernels']:.1f} kernels")
    for name, microseconds in figures["microseconds"].items():
        print(f"{name:21}  {microseconds:9,.1f} us")
    print("\n  us a step  count a step  kernel")
    for name, kernel in list(figures["by_name"].items())[:10]:
        print(f"{kernel['microseconds']:11,.1f}  {kernel['count']:12.1f}  {name[:60]}")
    if arguments.json:
        about = {"recipe": arguments.recipe, "device": device, "steps": arguments.steps}
        record.write(arguments.json, about | figures)


if __name__ == "__main__":
    main()
