"""One function in a thread of its own, and its result or its exception where it is waited for.

Not concurrent.futures: a pool would import logging, 6 ms of a start that has 100 of them.
"""

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Started(Generic[T]):
    """A call that has begun."""

    def __init__(self, call: Callable[[], T], *, name: str) -> None:
        self._call = call
        self._results: list[T] = []
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name=name)
        self._thread.start()

    def join(self) -> None:
        """Wait until the call has ended, however it did."""
        self._thread.join()

    def wait(self) -> T:
        """What the call gave; raises what it raised."""
        self.join()
        if self._failure is not None:
            raise self._failure
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._failure = error
