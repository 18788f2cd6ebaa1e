"""What a process takes from its surroundings, and what of the user's choices it leaves alone."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from gan_jax.environment import many_steps, prepare, run_once, with_options

NAMES = (
    "XLA_FLAGS",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_COMPILATION_CACHE_MAX_SIZE",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """An environment in which nothing has been chosen but where caches go."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that the end of the test takes away what it sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    return monkeypatch


def test_options_are_added_once():
    once = with_options("--xla_dump_to=/tmp/x")
    assert once.startswith("--xla_dump_to=/tmp/x --xla_backend_extra_options=xla_cpu_use_multi")
    assert with_options(once) == once
    assert with_options("").startswith("--xla_backend_extra_options=")


def test_what_the_user_chose_stays(bare):
    chosen = {name: "9" for name in NAMES} | {"XLA_FLAGS": "--xla_backend_extra_options=mine"}
    for name, value in chosen.items():
        bare.setenv(name, value)
    prepare()
    assert {name: os.environ[name] for name in NAMES} == chosen


def test_no_cache_where_none_can_be(bare, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    prepare()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    assert "xla_cpu_use_multi_output_fusion" in os.environ["XLA_FLAGS"]


def test_a_second_process_compiles_nothing(bare, tmp_path):
    code = """
from gan_jax import environment
environment.prepare()
import jax
from jax import monitoring
seen = []
monitoring.register_event_listener(lambda event, **_: seen.append(event))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.jit(lambda x: jax.random.normal(x, (300,)))(jax.random.key(0))
print(seen.count("/jax/compilation_cache/cache_hits"), "hits",
      seen.count("/jax/compilation_cache/cache_misses"), "misses")
"""

    def told() -> list[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    first, second = told(), told()
    assert int(first[0]) == 0 and int(first[2]) > 0
    assert int(second[0]) == int(first[2]) and int(second[2]) == 0
    assert list((tmp_path / "cache" / "programs").glob("*/*-cache"))


def test_a_loop_on_a_gpu_is_one_graph_unless_the_user_chose(bare):
    assert many_steps("tpu") == {}
    assert "WHILE" in many_steps("gpu")["xla_gpu_enable_command_buffer"]
    bare.setenv("XLA_FLAGS", "--xla_gpu_enable_command_buffer=")
    assert many_steps("gpu") == {"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_many_steps_is_what_this_compiler_knows(bare, backend):
    assert many_steps(backend)
    doubled = jax.jit(lambda x: 2.0 * x, compiler_options=many_steps(backend))
    assert doubled(1.5) == 3.0  # refused, if it did not know one of them


def test_run_once_is_what_this_compiler_knows(key):
    # A later compiler refuses an option it has lost, and no training would start.
    drawn = jax.jit(
        lambda key: jax.random.normal(key, (8,)), compiler_options=run_once(jax.__version_info__)
    )
    np.testing.assert_allclose(drawn(key), jax.random.normal(key, (8,)), rtol=1e-6)
