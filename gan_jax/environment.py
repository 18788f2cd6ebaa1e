"""What a process takes from its surroundings: where caches go, how XLA compiles. No jax here."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_dir", "cores", "many_steps", "prepare", "run_once", "with_options"]

_FLAG = "--xla_backend_extra_options"
_OPTIONS = (
    "xla_cpu_use_multi_output_fusion",  # Adam's three results in one pass
    # While loops on fewer bytes than this become one function each, not a dozen: the rounds of a
    # random draw. Not larger loops, where it would take a matrix product from its fast kernels.
    "xla_cpu_small_while_loop_byte_threshold=1000000",
    "xla_cpu_disable_loop_unrolling",  # costs no speed and saves compile time
    "xla_cpu_disable_tiled_emitter",  # a tenth of the time to compile; dcgan is 3 % slower
)
_LOOPS: Mapping[str, dict[str, str]] = {
    "cpu": {
        "xla_backend_optimization_level": "1",  # the bits and speed of 3, ready a little sooner
    },
    "gpu": {
        "xla_gpu_enable_command_buffer": (  # all on one device; WHILE is no default
            "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,WHILE,CONDITIONAL"
        ),
        "xla_gpu_command_buffer_scheduling_mode": "CONCURRENT",
    },
}
_PROGRAMS_BYTES = 2**28  # some five hundred programs; jax drops those unused for longest


def cache_dir() -> Path:
    """``$GAN_JAX_CACHE``, or gan_jax in the user's cache folder."""
    chosen = os.environ.get("GAN_JAX_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(chosen or os.path.join(base, "gan_jax")))


def prepare() -> None:
    """Have XLA compile as the commands of gan-jax do.

    Call it before jax is imported, or at least (the cache is not used then) before its first array.
    Adds options of XLA's CPU compiler to ``XLA_FLAGS`` (on 2 cores, steps take 10 to 15 % less
    time), and keeps compiled programs under `cache_dir`, so that a second start does not compile.
    What the user has set of these stays as it is.
    """
    os.environ["XLA_FLAGS"] = with_options(os.environ.get("XLA_FLAGS", ""))
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    programs = cache_dir() / "programs" / _machine()
    try:
        programs.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a cache is a convenience
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(programs)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_PROGRAMS_BYTES))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")


def run_once(jax_version: tuple[int, ...]) -> dict[str, bool | int]:
    """``jax.jit(compiler_options=...)`` for programs that run seldom and are waited for."""
    options: dict[str, bool | int] = {"xla_backend_optimization_level": 0}
    if jax_version[:2] == (0, 10):
        # The newer emitters of fused loops make a step a third faster, and take longer to compile
        # than all else. Later compilers know no such option, and refuse.
        options["xla_cpu_use_fusion_emitters"] = False
    return options


def many_steps(backend: str) -> dict[str, str]:
    """``jax.jit(compiler_options=...)`` for programs of many small steps on that backend of jax.

    On a CPU: fewer of LLVM's passes. On a GPU: the whole loop as one CUDA graph, in which kernels
    that do not need each other run side by side. What ``XLA_FLAGS`` says of these stays as it is.
    """
    options = _LOOPS.get(backend, {})
    flags = os.environ.get("XLA_FLAGS", "")
    return {name: value for name, value in options.items() if name not in flags}


def with_options(flags: str) -> str:
    """``XLA_FLAGS`` with this package's options added, unless it has such options already."""
    return flags if _FLAG in flags else f"{flags} {_FLAG}={','.join(_OPTIONS)}".strip()


def cores() -> int:
    """How many this process may use, among which XLA splits its work."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine() -> str:
    """Programs fit one kind of processor and number of cores; a home folder may serve several."""
    features = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        pass
    return f"{platform.machine()}-{cores()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
