"""Ctrl-C, SIGTERM and SIGHUP as a request to stop: work in progress is finished, a second exits."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""SIGHUP is a terminal that was closed, a connection that was lost; Windows has none."""


class Stop:
    """True once a signal has come."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int | None:
        """128 and the signal's number, as shells count; None if none has come."""
        return None if self.signal is None else 128 + self.signal

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)  # even if a thread still waits
        self.signal = number
        # Not print: the signal may have come in the midst of one.
        with suppress(OSError):
            os.write(
                2, b"\nmrnn-edge: finishing the work in progress; interrupt again to exit at once\n"
            )


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Within it signals set the Stop; an ignored one (a script's background job) stays ignored."""
    stop = Stop()
    before = heeded()
    for number in before:
        signal.signal(number, stop._receive)
    try:
        yield stop
    finally:
        restore(before)


def heeded() -> dict[int, Any]:
    """The signals that request a stop and are not ignored, each with its present handler."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    return {number: old for number, old in before.items() if old is not signal.SIG_IGN}


def restore(before: Mapping[int, Any]) -> None:
    """Give each signal the handler that it had."""
    for number, old in before.items():
        signal.signal(number, old)
