"""What a command says while it runs: where, then a live line on a terminal, else plain ones."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import flax
import jax
import optax
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

import gan_jax
from gan_jax.environment import cores

__all__ = ["Progress", "describe_device", "say", "stage"]

_LIVE_SECONDS = 0.2  # between two looks of the live line
_PLAIN_SECONDS = 5.0  # between two plain lines: a log file must not fill up
_STAGE_SECONDS = 15.0  # between two of what takes minutes


def describe_device(precision: str) -> str:
    """Device, precision of matrix products, versions, in a line."""
    device = jax.devices()[0]
    kind = f"{jax.device_count()} x {device.device_kind}"
    if device.platform == "cpu":
        kind = f"cpu, {cores()} cores"
    return (
        f"gan_jax {gan_jax.__version__} on {kind}; {precision}; "
        f"jax {jax.__version__}, flax {flax.__version__}, optax {optax.__version__}"
    )


def say(console: Console, line: str) -> None:
    """One line, as it is."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)


@contextmanager
def stage(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Say what takes long: a live line on a terminal, which may be changed, else now and then."""
    if _lively(console):
        with console.status(escape(text)) as status:
            yield lambda changed: status.update(escape(changed))
        return
    say(console, text)
    due = time.perf_counter() + _STAGE_SECONDS

    def change(changed: str) -> None:
        nonlocal due
        if time.perf_counter() >= due:
            say(console, changed)
            due = time.perf_counter() + _STAGE_SECONDS

    yield change


def _lively(console: Console) -> bool:
    """Whether lines can be written over; where TERM is dumb they cannot."""
    return console.is_terminal and not console.is_dumb_terminal


class Progress:
    """Use as a context; call `count` after every chunk of steps."""

    def __init__(self, console: Console, stop: int, rows: int, kind: str = "images"):
        """A progress line.

        Args:
            console: where to write; a terminal gets the live line.
            stop: the step that it will stop at.
            rows: real rows that one step sees.
            kind: what these are.
        """
        self._kind = kind
        self._console, self._stop, self._rows = console, stop, rows
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._lively = _lively(console)
        self._interval = _LIVE_SECONDS if self._lively else _PLAIN_SECONDS
        self._marked: tuple[float, int] | None = None  # when and where the clock was started
        self._seconds = 0.0  # of steps, since then
        self._skipped = 0.0  # of other work, since then
        self._shown = -math.inf
        self.rate = 0.0  # steps a second since then

    def __enter__(self) -> "Progress":
        """Start the live line, on a terminal."""
        if self._lively:
            self._live.start()
            self._live.update(Text("compiling the step ..."), refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        """Take the live line away."""
        self._live.stop()

    def count(self, step: int) -> None:
        """Take note of a step reached; the first call, after the compiler, starts the clock."""
        now = time.perf_counter()
        if self._marked is None:
            self._marked = (now, step)
        self._seconds = now - self._marked[0]
        if step > self._marked[1]:
            self.rate = (step - self._marked[1]) / self._seconds

    def skip(self, seconds: float) -> None:
        """Leave out of the rate, not of the time left, what was spent on other work than steps."""
        if self._marked is not None:
            self._marked = (self._marked[0] + seconds, self._marked[1])
            self._skipped += seconds

    def timing(self) -> dict[str, float]:
        """What the clock says, for timing.jsonl."""
        return {"seconds": round(self._seconds, 4), "steps_per_second": round(self.rate, 3)}

    def due(self) -> bool:
        """Whether it is time for another look."""
        return time.perf_counter() - self._shown >= self._interval

    def show(self, step: int, numbers: Mapping[str, Any], note: str = "") -> None:
        """Show where the training is, given one step's metrics by name, and a word on it."""
        self._shown = time.perf_counter()
        line = self._line(step, numbers, note)
        if self._lively:
            # The terminal's own "^C" must not make two rows of it, of which one would stay.
            while len(line) > self._console.width - 2 and " · " in line:
                line = line.rpartition(" · ")[0]
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            self._console.print(line, highlight=False, soft_wrap=True)

    def _line(self, step: int, numbers: Mapping[str, Any], note: str) -> str:
        rate = self.rate
        parts = [f"step {step:,}/{self._stop:,}"]
        if rate > 0:  # what fits into 80 columns comes first
            slower = 1.0 + self._skipped / self._seconds
            parts.append(f"{_duration((self._stop - step) / rate * slower)} left")
        if note:
            parts.append(note)
        share = float(numbers["real_above_fake"])
        parts.append(f"told apart {100 * share:.0f}%")
        if rate > 0:
            steps = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
            parts.append(f"{steps} steps/s, {rate * self._rows:,.0f} {self._kind}/s")
        losses = (float(numbers["discriminator_loss"]), float(numbers["generator_loss"]))
        parts.append("losses D {} G {}".format(*map(_loss, losses)))
        return " · ".join(parts)


def _loss(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e4 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
