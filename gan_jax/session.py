"""The host's loop over a run: compile once, then steps, pictures, checkpoints until it stops."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from gan_jax.assembly import from_config
from gan_jax.checkpoints import Checkpoints
from gan_jax.config import Config
from gan_jax.data import Dataset
from gan_jax.data.stream import make_stream
from gan_jax.environment import many_steps, run_once
from gan_jax.errors import InputError
from gan_jax.evaluation.verdict import LEAST_ROWS, Verdict
from gan_jax.files import replacing
from gan_jax.fitting import compiler_facts, data_facts, game_facts
from gan_jax.loops import advance
from gan_jax.losses import LOSSES, losses_at_equilibrium
from gan_jax.progress import Progress, say
from gan_jax.report import animate, draw_curves, draw_images, draw_points, to_uint8
from gan_jax.runs import Run
from gan_jax.sampling import by_class, labels_in_turn
from gan_jax.signals import caught_signals
from gan_jax.state import GANState, Metrics
from gan_jax.types import Samples
from gan_jax.watch import Watch

__all__ = ["Outcome", "Session"]

_RUN_ONCE = run_once(jax.__version_info__)
_PICTURE_IMAGES = 100  # samples on a picture of images
_PICTURE_POINTS = 2_500  # on a picture of points
_PICTURE_FOLD = 0x91C7  # sets the fixed latents' key apart from the other draws under the seed
_CHUNK_SECONDS = 0.5  # how long a signal may wait for the steps under way
_CHUNK_STEPS = 1_000  # the most steps planned at a time


class Outcome(NamedTuple):
    """How a training ended."""

    run: Run
    step: int
    signal: int | None  # the signal that ended it early
    diverged: bool  # the metrics of the last step are not finite
    verdict: Verdict | None = None  # what ended it early, an alarm, or by the newest evaluation
    stopped: bool = False  # by a verdict it was asked to end at
    judgeable: bool = True  # there are test rows enough to evaluate it by


class _Stopped(Exception):
    """A signal came while samples were judged."""


class Session:
    """What one process needs to take a run from one step to another."""

    def __init__(self, config: Config, dataset: Dataset, console: Console):
        self.config, self.dataset, self.console = config, dataset, console
        self.gan = from_config(config)
        self.rows = config.batch_size * config.discriminator_steps
        if config.decay.shape != "constant" and config.steps > config.decay.horizon:
            say(console, f"the learning rate is zero from step {config.decay.horizon:,} on")
        if config.evaluation_interval > config.steps:
            say(console, f"no evaluation: the first is due at step {config.evaluation_interval:,}")
        # How many steps are planned at a time changes nothing but how often the host looks.
        self.length = min(config.log_interval, _CHUNK_STEPS)
        with self._memory():
            self.stream = make_stream(
                dataset.train,
                self.rows,
                config.data_seed,
                self.length,
                name=dataset.name,
                note=dataset.note,
            )
        self.begin = jax.jit(self._begin, compiler_options=_RUN_ONCE)
        self.draw = jax.jit(self._draw, compiler_options=_RUN_ONCE)
        self.watch = Watch(config, self.gan, dataset, console)

    def play(self, run: Run, saved: GANState | None = None, *, fresh: bool = False) -> Outcome:
        """Steps until the config's last one, or until a signal or a non-finite metric ends it.

        A fresh run begins, by its config, when its first steps are done: what could not take them
        leaves nothing behind.
        """
        self.watch.open(run)
        kind = "images" if self.dataset.is_image else "rows"
        progress = Progress(self.console, self.config.steps, self.rows, kind)
        with progress, self._memory():
            executor = ThreadPoolExecutor(1)
            compiling = executor.submit(self._lower().compile)  # while all else gets ready
            executor.shutdown(wait=False)  # once that is done
            state = self.begin() if saved is None else saved
            jax.block_until_ready(state)  # what went wrong shows here, or waits for ever
            program = compiling.result()
            # Until here there is nothing that a signal has to wait for.
            with caught_signals() as caught:
                return self._steps(run, state, program, caught, progress, fresh)

    @contextmanager
    def _memory(self) -> Iterator[None]:
        """What a device has no room for, in one line."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise InputError(
                "memory: the device has too little for these data, these networks and "
                f"{self.rows:,} rows a step ({str(error).splitlines()[0]})"
            ) from error

    def _steps(
        self,
        run: Run,
        state: GANState,
        program: jax.stages.Compiled,
        caught: list[int],
        progress: Progress,
        fresh: bool,
    ) -> Outcome:
        stop, watch, halt = self.config.steps, self.watch, None
        step, finite, sound = int(state.step), True, True
        leftover = [*run.last_paths()]
        chunk = 1  # to learn how fast steps are; the clock starts after it
        if 0 < step < stop and watch.due(step) and not watch.judged(step):  # a signal ended it
            if self._evaluate(run, step, state, caught, progress):
                halt = watch.stops()
        while step < stop and not caught and finite and halt is None:
            count = min(chunk, self._steps_to_event(step))
            picks = self.stream.picks(step)
            state, metrics = program(state, self.stream.source, picks, np.int32(count))
            numbers = _numbers(metrics)  # waits for the device
            if fresh:
                run.begin(self.config)
                fresh = False
            while leftover:  # of an earlier end, which is no more
                leftover.pop().unlink(missing_ok=True)
            step, sound = step + count, numbers["finite"]
            progress.count(step)
            chunk = max(1, min(self.length, int(progress.rate * _CHUNK_SECONDS)))
            # Where it is looked at must not depend on the clock, by which chunks are cut.
            logged = step % self.config.log_interval == 0
            if logged or step == stop:
                finite = sound
            if logged or not finite:
                run.append_metrics({"step": step, **numbers})
                watch.record({"step": step, **numbers})
                run.append_timing({"step": step, **progress.timing()})
            if not run.sample_path(0).exists():  # not before the first step: it is waited for
                began = time.perf_counter()
                self._picture(self.begin(), run.sample_path(0))
                progress.skip(time.perf_counter() - began)
            if step % self.config.picture_interval == 0:
                self._picture(state, run.sample_path(step))
            judged = True
            if watch.due(step) and sound:
                judged = self._evaluate(run, step, state, caught, progress)
            # After the evaluation: who goes on from this checkpoint does not repeat it.
            if step % self.config.checkpoint_interval == 0 and sound and _finite(state):
                self._save(run.checkpoints, state)
            halt = watch.stops() if judged else None  # an evaluation takes an alarm back
            if progress.due() or step == stop or halt is not None:
                progress.show(step, numbers, watch.note())
        if fresh:  # a signal came before the first step
            run.begin(self.config)
        if caught:  # what follows takes seconds; Ctrl-C is to be seen as heard
            say(self.console, f"{'stopping' if step < stop else 'ending'} at step {step:,} ...")
        sound = sound and _finite(state)
        if sound:
            self._save(run.checkpoints, state)
        finite = finite and sound  # where a signal came before the step that is looked at
        self._picture(state, run.final_path)
        self._summarise(run)
        early = caught[0] if caught and step < stop and halt is None else None
        verdict = halt or watch.alarm or watch.verdict
        judgeable = len(self.dataset.test.samples) >= LEAST_ROWS
        return Outcome(run, step, early, not finite, verdict, halt is not None, judgeable)

    def _evaluate(
        self, run: Run, step: int, state: GANState, caught: list[int], progress: Progress
    ) -> bool:
        """Judge samples; False where a signal came before it was done: who resumes does it anew."""

        def pause() -> None:
            if caught and step < self.config.steps:
                raise _Stopped

        began = time.perf_counter()
        try:
            if self.watch.evaluate(run, step, state, pause):
                self._save(run.best, state)
        except _Stopped:
            return False
        progress.skip(time.perf_counter() - began)
        return True

    def _lower(self) -> jax.stages.Lowered:
        """The program of the steps, yet to be compiled."""
        program = jax.jit(
            advance(self.gan.train_step, self.stream.take),
            donate_argnums=0,
            compiler_options=many_steps(jax.default_backend()),
        )
        state = self.begin.eval_shape()
        return program.lower(state, self.stream.source, self.stream.shape, np.int32(1))

    def _steps_to_event(self, step: int) -> int:
        """How far it is to the next step at which the host has something to do."""
        config = self.config
        intervals = (
            config.log_interval,
            config.picture_interval,
            config.checkpoint_interval,
            config.evaluation_interval or config.steps,
        )
        return min(config.steps - step, *(interval - step % interval for interval in intervals))

    def _save(self, checkpoints: Checkpoints, state: GANState) -> None:
        facts = {
            **data_facts(self.dataset),
            "game": game_facts(self.config),
            **compiler_facts(),
        }
        checkpoints.save(state, facts)

    def _begin(self) -> GANState:
        """The state of step 0."""
        return self.gan.init(jax.random.key(self.config.seed))

    def _draw(self, state: GANState) -> Samples:
        """Samples from latents and labels that are the same at every step of the run."""
        key = jax.random.fold_in(jax.random.key(self.config.seed), _PICTURE_FOLD)
        count = _PICTURE_IMAGES if self.dataset.is_image else _PICTURE_POINTS
        return self.gan.sample(state, key, count, labels_in_turn(self.config, count))

    def _picture(self, state: GANState, path: Path) -> None:
        samples = np.asarray(self.draw(state))
        if self.dataset.is_image:
            labels = labels_in_turn(self.config, len(samples))
            picture = draw_images(*by_class(to_uint8(samples), labels))
        else:
            picture = draw_points(samples, self.dataset.test.samples[:_PICTURE_POINTS])
        with replacing(path) as partial:
            # Fast, for the next steps wait: the usual level takes several times as long on noise.
            picture.save(partial, format="PNG", compress_level=1)

    def _summarise(self, run: Run) -> None:
        with replacing(run.animation_path) as partial:
            animate([*run.sample_paths(), run.final_path], partial)
        config = self.config
        with replacing(run.curves_path) as partial:
            draw_curves(
                run.read_metrics(),
                partial,
                title=f"{config.recipe} on {self.dataset.name}",
                equilibrium=losses_at_equilibrium(LOSSES[config.loss]),
            )


def _finite(state: GANState) -> bool:
    """What is saved is gone on from: metrics tell what a step began with, not what it led to."""
    leaves = jax.tree.leaves(state)
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return all(np.isfinite(leaf).all() for leaf in floats)


def _numbers(metrics: Metrics) -> dict[str, Any]:
    """Plain numbers by name; the device has finished when this returns."""
    return {
        name: np.asarray(leaf).item() for name, leaf in jax.device_get(metrics).flatten().items()
    }
