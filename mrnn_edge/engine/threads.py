"""A call in a thread of its own; its result or exception is collected by waiting for it.

Not concurrent.futures: a pool would import logging, 6 ms of a start that has 100 of them.
"""

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Started(Generic[T]):
    """A running call."""

    def __init__(self, call: Callable[[], T], *, name: str) -> None:
        self._call = call
        self._results: list[T] = []
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name=name)
        self._thread.start()

    def join(self) -> None:
        """Wait until the call has returned or raised."""
        self._thread.join()

    def wait(self) -> T:
        """Return the call's result, or raise its exception."""
        self.join()
        if self._failure is not None:
            raise self._failure
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._failure = error
