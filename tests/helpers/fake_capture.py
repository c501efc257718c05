"""Captures without a camera: each follows a script, and a `Camera` hands out one a connection."""

import threading
import time
from collections.abc import Iterable, Sequence

import numpy as np

from mrnn_edge.errors import CameraUnavailableError, MrnnEdgeError


def colour(red: int, green: int, blue: int, *, height: int = 12, width: int = 16) -> np.ndarray:
    """A picture of one colour, RGB."""
    return np.full((height, width, 3), (red, green, blue), np.uint8)


class FakeCapture:
    """Gives its frames in order, `interval_s` apart, then ends, or blocks in `grab`."""

    def __init__(
        self,
        frames: Sequence[np.ndarray | None],
        *,
        interval_s: float = 0.0,
        blocks: threading.Event | None = None,
        rate: float | None = None,
        length: int | None = None,
        times: Sequence[float] | None = None,
    ) -> None:
        self._frames = frames
        self._interval_s = interval_s
        self._blocks = blocks
        self._rate = rate
        self._length = length
        self._times = times
        self._at = -1
        self.retrieved: list[int] = []
        self.released = threading.Event()

    def grab(self) -> bool:
        self._at += 1
        if self._at >= len(self._frames):
            if self._blocks is not None:
                self._blocks.wait(60)
            return False
        time.sleep(self._interval_s)
        return True

    def retrieve(self):
        self.retrieved.append(self._at)
        return self._frames[self._at]

    def rate(self):
        return self._rate

    def length(self):
        return self._length

    def position_s(self):
        return None if self._times is None else self._times[self._at]

    def release(self) -> None:
        self.released.set()


class Camera:
    """Opens its captures one after the other; where a failure stands, the open fails with it."""

    def __init__(self, *connections: FakeCapture | str) -> None:
        self.connections = connections
        self.opened = 0

    def __call__(self) -> FakeCapture:
        self.opened += 1
        if self.opened > len(self.connections):
            raise CameraUnavailableError("the fake: nothing there any more")
        connection = self.connections[self.opened - 1]
        if isinstance(connection, str):
            raise CameraUnavailableError(connection)
        return connection


def until_error(items: Iterable) -> tuple[list, MrnnEdgeError]:
    """What came before the error that ended it, and the error."""
    came = []
    try:
        for item in items:
            came.append(item)
    except MrnnEdgeError as error:
        return came, error
    raise AssertionError("ended without an error")
