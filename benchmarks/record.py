"""What a file of figures says about where they come from."""

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_COMMIT = subprocess.run(  # of the code that runs, whatever is committed before it ends
    ["git", "describe", "--always", "--dirty"],
    cwd=Path(__file__).parent,
    capture_output=True,
    text=True,
).stdout.strip()


def write(path: Path, figures: dict[str, Any]) -> None:
    """Write figures beside the commit, the machine and the versions they were measured with."""
    installed = {d.name: d.version for d in importlib.metadata.distributions()}
    facts = {
        "commit": _COMMIT,
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{n: installed[n] for n in ("jax", "flax", "optax", "torch") if n in installed},
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts | figures, indent=1) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()
