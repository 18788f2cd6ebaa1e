"""Every block of the README does what the README says."""

import itertools
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import jax.numpy as jnp
import optax
import pytest
from test_imports import ROOMS

from gan_jax.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_tour_in_order(tmp_path, monkeypatch):
    """The shell blocks, then all Python blocks one after the other, in one folder."""
    monkeypatch.chdir(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell, python = blocks("sh"), blocks("python")
    assert len(shell) >= 1 and len(python) >= 6
    for block in shell:
        # The first in a shell, as it stands; others here, where all learn for a few steps.
        if block is not shell[0]:
            few = re.sub(r"--steps \d+", "--steps 20", block)
            assert all(main(line.split()[1:]) == 0 for line in few.splitlines())
            continue
        done = subprocess.run(
            ["bash", "-euc", block],
            env={**os.environ, "PATH": path, "XLA_FLAGS": os.environ["COMMANDS_XLA_FLAGS"]},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "digits.png").stat().st_size > 1000
    names: dict = {}
    for number, block in enumerate(python):
        exec(compile(block, f"README.md, Python block {number}", "exec"), names)
    assert names["images"].shape == (64, 28, 28, 1)
    assert names["metrics"].generator_loss.shape == (3, 4)
    assert float(names["slope"]) == pytest.approx(-0.00127721785, rel=1e-4)  # in float64


def test_the_first_python_block_is_the_promise():
    first = blocks("python")[0]
    for line in (
        "import gan_jax as gj",
        'gan = gj.from_config(gj.recipe("concept"))',
        "state = gan.init(jax.random.key(0))",
        "state, metrics = jax.jit(gan.train_step)(state, gj.Batch(samples, None))",
        "images = gan.sample(state, jax.random.key(1), 64)",
    ):
        assert line in first.splitlines()


def test_an_optimiser_of_your_own_keeps_its_rate_in_the_state():
    (text,) = re.findall(r"`(optax\.inject_hyperparams.*?)` in place of", README)
    optimizer = eval(text, {"optax": optax})
    rate = optax.tree.get(optimizer.init(jnp.zeros(2)), "learning_rate")
    assert float(rate) == pytest.approx(1e-3)


def test_a_program_can_compile_as_the_commands_do(tmp_path):
    (block,) = re.findall(r"before jax is imported:\n\n((?: {4}.*\n)+)", README)
    program = textwrap.dedent(block) + (
        "import os, sys\n"
        "assert 'jax' not in sys.modules\n"
        "print(os.environ['XLA_FLAGS'], os.environ['JAX_COMPILATION_CACHE_DIR'])"
    )
    unset = ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "GAN_JAX_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "xla_cpu" in done.stdout and f" {tmp_path}" in done.stdout, done.stderr


def test_every_room_is_in_the_table():
    rooms = re.search(r"^## Rooms\n(.*?)^### ", README, re.MULTILINE | re.DOTALL)
    assert rooms is not None
    named = {
        name.strip("/").removesuffix(".py")
        for name in re.findall(r"`([\w/]+(?:\.py)?)`(?=[ ,])", rooms[1])
    }
    package = Path(__file__).parents[1] / "gan_jax"
    there = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert there - {"__init__", "__main__"} <= named
    # Nor does one import what stands in a row below its own.
    rows = re.findall(r"^\| (`.*?) \|", rooms[1], re.MULTILINE)
    places = [
        [ROOMS.index(name) for name in re.findall(r"`(\w+)", row) if name in ROOMS] for row in rows
    ]
    assert all(max(above) < min(below) for above, below in itertools.pairwise(places))


@pytest.mark.parametrize("name", re.findall(r"`(test_\w+\.py)`", README))
def test_tests_named_are_there(name):
    assert (Path(__file__).parent / name).is_file()


def test_relative_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
