"""Ctrl-C and SIGTERM end a command, or are a request that a training looks at between chunks."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gan_jax.files import remove_unfinished

__all__ = ["caught_signals", "stopped_at_once"]

# `timeout` and wrappers that forward Ctrl-C send the same request twice within milliseconds;
# a person who means "at once" takes longer.
_SAME_REQUEST_SECONDS = 2.0


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM is put into the list; a later one acts as if uncaught."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield caught
        return
    before = _heeded()
    first = 0.0

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def catch(number: int, frame: Any) -> None:
        nonlocal first
        del frame
        if not caught:
            first = time.monotonic()
            caught.append(number)
        elif time.monotonic() - first > _SAME_REQUEST_SECONDS:
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, catch)
    try:
        yield caught
    finally:
        restore()


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the process, where a training does not catch them to save first.

    Not by an exception: raised while jax is imported, or from one of its callbacks, it would be
    lost or crash the interpreter.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield
        return

    def stop(number: int, frame: Any) -> None:
        del frame
        remove_unfinished()
        os.write(2, b"gan-jax: stopped\n")
        os._exit(128 + number)

    before = _heeded()
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> dict[int, Any]:
    """The handlers of both, but not where they are ignored, as under nohup or for `command &`."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    return {n: handler for n, handler in before.items() if callable(handler) or handler == 0}
