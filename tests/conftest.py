"""What all tests share: strict JAX flags, a cache of their own, tiny GANs."""

import ctypes
import dataclasses
import functools
import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gan_jax import environment

# Where tests run in the background it is ignored, as it would be by what they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A core for each process: sharing two, their pools of threads wait for one another.
if (_worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_worker.removeprefix("gw")) % len(_cores)]})

# As the commands do, but compiled to be ready soon, which takes half of the suite's time. The tour
# of test_readme.py has the commands' own options alone: those of the process that started all.
os.environ.setdefault("COMMANDS_XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
os.environ["XLA_FLAGS"] = " ".join(
    [environment.with_options(os.environ["COMMANDS_XLA_FLAGS"])]
    + ["--xla_cpu_parallel_codegen_split_count=1"]  # for one core
    + [
        f"--{name}={str(value).lower()}"
        for name, value in environment.run_once(
            tuple(map(int, version("jax").split(".")[:2]))
        ).items()
    ]
)

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.core import Tracer
from rich.console import Console

try:
    from jax._src.interpreters import mlir
except ImportError:
    mlir = None
from gan_jax import session
from gan_jax.assembly import from_config
from gan_jax.config import Config, DiscriminatorConfig, GeneratorConfig
from gan_jax.data import Dataset, Mixture
from gan_jax.data.mixtures import load_mixture
from gan_jax.fitting import game_facts
from gan_jax.gan import GAN, build
from gan_jax.losses import LOSSES
from gan_jax.networks import Network, spectral_norm
from gan_jax.penalties import PENALTIES
from gan_jax.recipes import recipe
from gan_jax.state import GANState
from gan_jax.types import Batch

# For programs of thousands of steps, whose running takes longer than compiling them well.
MANY_STEPS = {
    name: 3 if name == "xla_backend_optimization_level" else True
    for name in environment.run_once(jax.__version_info__)
}

# Imports and traces make many objects and hardly any garbage: a 25th of the suite's time.
gc.set_threshold(100_000, 20, 100)

# [batch, 1] against [batch] is the field's classic silent bug.
jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = Path(__file__).parents[2] / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason="needs the data folder beside the checkout"
)


@pytest.fixture(autouse=True, scope="session")
def own_caches(tmp_path_factory, worker_id):
    """Decoded data, classifiers and compiled programs of the tests, kept apart from the user's.

    The same programs are compiled over and over here; keeping them halves the time of the suite.
    Its processes share them, hence the bound: with one, jax locks what it reads and writes.
    """
    base = tmp_path_factory.getbasetemp()
    caches = (base if worker_id == "master" else base.parent) / "caches"
    programs, kept = caches / "programs", caches / "gan_jax"
    jax.config.update("jax_compilation_cache_dir", str(programs))
    jax.config.update("jax_compilation_cache_max_size", 2**30)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_JAX_CACHE", str(kept))
        # And for commands in processes of their own.
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))
        patch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        # Their held-out rows would be compiled anew in each file.
        patch.setattr("gan_jax.data.loading.load_mixture", functools.cache(load_mixture))
        yield


@pytest.fixture(autouse=True, scope="module")
def programs_of_one_file_at_a_time():
    """Hundreds of compiled programs would otherwise fill gigabytes by the end of the suite."""
    with pytest.MonkeyPatch.context() as patch:
        # Lowering makes a context of MLIR's for every program, which keeps it: a tenth of the
        # suite's time and half its memory. One serves all programs of a file.
        if make := getattr(mlir, "make_ir_context", None):
            patch.setattr(mlir, "make_ir_context", functools.cache(make))
        yield
    KEPT.clear()
    jax.clear_caches()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what is free goes back: the C library keeps most of it


@pytest.fixture(autouse=True)
def runs_alike_share_a_program(request, monkeypatch):
    """Tracing a step takes a third of a tiny run's time, so runs of one game trace it once."""
    if request.node.get_closest_marker("long"):
        return
    make, lower, start = session.from_config, session.Session._lower, session.Session.__init__

    def shared(facts: tuple, value: Callable[[], Any]) -> Any:
        if (key := repr(facts)) not in KEPT:
            KEPT[key] = value()
        return KEPT[key]

    def gan_of(config: Config) -> GAN:
        return shared((game_facts(config),), lambda: make(config))

    def program_of(this: session.Session) -> Any:
        # Which mixture it is is part of the program; other rows are what it is given.
        rows = this.dataset.train if isinstance(this.dataset.train, Mixture) else None
        source = jax.tree.map(jax.typeof, this.stream.source)
        facts = game_facts(this.config), rows, this.stream.shape, source
        # With whatever a test has put in the place of these two.
        replaced = session.advance, session.many_steps
        return shared((*facts, *replaced), lambda: Once(lower(this)))

    def started(this: session.Session, config: Config, dataset: Dataset, console: Console) -> None:
        start(this, config, dataset, console)
        facts = game_facts(config), dataset.is_image
        this.begin, this.draw = shared(facts, lambda: (this.begin, this.draw))

    for room in ("session", "train", "runs"):
        monkeypatch.setattr(f"gan_jax.{room}.from_config", gan_of)
    monkeypatch.setattr(session.Session, "_lower", program_of)
    monkeypatch.setattr(session.Session, "__init__", started)


class Once:
    """A lowered program that is compiled when first asked for, and then is."""

    def __init__(self, lowered: jax.stages.Lowered):
        self.compile = functools.cache(lowered.compile)


KEPT: dict[str, Any] = {}  # by the test file that is being run


@pytest.fixture(autouse=True)
def classifiers_of_few_steps(request, monkeypatch):
    """Stripes are told apart after 150 steps by few channels; long tests train as users do."""
    if not request.node.get_closest_marker("long"):
        monkeypatch.setattr("gan_jax.evaluation.features._LEAST_STEPS", 150)
        monkeypatch.setattr("gan_jax.evaluation.features._EPOCHS", 8)
        monkeypatch.setattr("gan_jax.evaluation.features._WIDTHS", (8, 16))


@pytest.fixture(autouse=True)
def pairs_of_few_points(request, monkeypatch):
    """The best pairing is cubic in them: 1,000 take up to half a second for each set of rows."""
    if not request.node.get_closest_marker("long"):
        monkeypatch.setattr("gan_jax.judges._PAIRED", 500)


@pytest.fixture(autouse=True)
def summaries_of_few_runs(request, monkeypatch):
    """Drawing them takes a third of a tiny run's time; runs that tests share have theirs."""
    if not request.node.get_closest_marker("long"):
        for name in ("draw_curves", "animate"):
            monkeypatch.setattr(
                f"gan_jax.session.{name}", lambda given, path, **_: path.write_bytes(b"")
            )


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


def start_as_users_do(command: list[str], **settings: Any) -> subprocess.Popen[str]:
    """A process by the commands' own options of XLA, on every core."""
    env = {**os.environ, "XLA_FLAGS": os.environ["COMMANDS_XLA_FLAGS"]}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    if not hasattr(os, "sched_setaffinity"):
        return subprocess.Popen(command, env=env, **pipes, **settings)
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # of this thread, whose the process takes
    try:
        return subprocess.Popen(command, env=env, **pipes, **settings)
    finally:
        os.sched_setaffinity(0, own)


def tiny_config(**changes) -> Config:
    """A GAN of 2-D points that steps in microseconds; every part of the default recipe in it.

    But for its interval of penalties, which `test_penalty_interval.py` is about.
    """
    base = dataclasses.replace(
        recipe("gan"),
        dataset="ring",
        sample_shape=(2,),
        batch_size=8,
        penalty_interval=1,
        generator=GeneratorConfig(latent_size=3, widths=(8,), last_activation="identity"),
        discriminator=DiscriminatorConfig(widths=(8,)),
    )
    return dataclasses.replace(base, **changes)


def tiny_gan(**changes) -> GAN:
    return from_config(tiny_config(**changes))


def spectral(psi: jax.Array) -> jax.Array:
    """A weight over its spectral norm: its sign."""
    return psi / spectral_norm(psi.reshape(1, 1))


def dirac(
    loss="wasserstein",
    penalties=None,
    rates: Any = 0.1,
    start=0.0,
    optimizer=optax.sgd,
    normal=lambda psi: psi,
    **parts,
) -> GAN:
    """One parameter each (arXiv:1801.04406 section 2): data at 0, G = theta, D(x) = psi * x.

    To which D adds the logit of one that cannot tell: 0, but 1/2 of least squares.
    ``rates``: of both players, or the generator's and the discriminator's. ``normal``: what psi is
    normalised by.
    """
    first, second = rates if isinstance(rates, tuple) else (rates, rates)
    gan = build(
        generator=Network(
            init=lambda key: jnp.full((), start),
            apply=lambda theta, latents, labels, key: jnp.broadcast_to(theta, (len(latents), 1)),
        ),
        discriminator=Network(
            init=lambda key: jnp.full((), start),
            apply=lambda psi, samples, labels, key: (
                normal(psi) * samples[:, 0] + LOSSES[loss].equilibrium
            ),
        ),
        loss=LOSSES[loss],
        penalties={name: (PENALTIES[name], gamma) for name, gamma in (penalties or {}).items()},
        generator_optimizer=optimizer(first),
        discriminator_optimizer=optimizer(second),
        draw_latents=1,
        **parts,
    )

    def init(key: jax.Array) -> GANState:
        """Of two numbers it is made sooner than compiled, which takes a tenth of a second each."""
        if isinstance(key, Tracer):
            return gan.init(key)
        with jax.disable_jit():
            return gan.init(key)

    return gan._replace(init=init)


def quiet() -> Console:
    """A console that prints nothing, and remembers it: see `said`."""
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    """All that was printed on a `quiet` one."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def linear(**parts: Any) -> GAN:
    """A generator that moves its two latents, a discriminator that is linear; but for `parts`."""
    usual = {
        "generator": Network(lambda key: jnp.zeros(2), lambda p, z, labels, key: z + p[None]),
        "discriminator": Network(lambda key: jnp.ones(2), lambda p, x, labels, key: x @ p),
        "loss": LOSSES["minimax"],
        "generator_optimizer": optax.sgd(0.1),
        "discriminator_optimizer": optax.sgd(0.1),
        "draw_latents": 2,
    }
    return build(**usual | parts)


def random_batch(seed: int, rows: int = 8, shape: tuple[int, ...] = (2,)) -> Batch:
    return Batch(jax.random.normal(jax.random.key(1000 + seed), (rows, *shape)), None)


def stack(batches: list[Batch]) -> Batch:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)


def plain(tree):
    """Leaves as NumPy arrays, typed keys as their data."""

    def leaf(x):
        x = jnp.asarray(x)
        return np.asarray(
            jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        )

    return [leaf(x) for x in jax.tree.leaves(tree)]


def assert_same_bits(found, expected) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(plain(found), plain(expected), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def assert_close(found, expected, rtol=1e-5, atol=1e-6) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(plain(found), plain(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def striped_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """8x8 uint8 images of two classes: rows or columns of stripes, each of its own contrast."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, count).astype(np.int32)
    phase, tone = draw.uniform(0, 2 * np.pi, (count, 1, 1)), draw.uniform(0.3, 1.0, (count, 1, 1))
    along = np.sin(np.arange(8)[None, :, None] * 1.3 + phase) * tone
    waves = np.where(labels[:, None, None] == 0, along, along.transpose(0, 2, 1))
    grey = 128 + 90 * waves + draw.normal(0, 8, (count, 8, 8))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], labels
