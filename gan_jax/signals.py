"""Ctrl-C and SIGTERM as a request that the host's loop looks at between two chunks of steps."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["caught_signals"]

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
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
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
