"""How fast frames come, and when the next frame of a file is due on the screen. Never waits."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_TOO_LATE_S: Final = 0.5
"""A machine too slow for a file shows the rest at its own speed, and does not catch up."""


class Rhythm:
    """Counts the frames that were shown."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: deque[float] = deque(maxlen=31)
        self._start: float | None = None

    @property
    def fps(self) -> float:
        """Frames per second over the last thirty."""
        if len(self._beats) < 2:
            return 0.0
        return (len(self._beats) - 1) / max(self._beats[-1] - self._beats[0], 1e-6)

    def beat(self) -> None:
        """A frame came."""
        self._beats.append(self._clock())

    def until(self, time_s: float) -> float:
        """Seconds until a file's frame of this time is due; 0 if it is late."""
        now = self._clock()
        if self._start is None:
            self._start = now - time_s
        ahead = self._start + time_s - now
        if ahead < -_TOO_LATE_S:
            self._start -= ahead
        return max(ahead, 0.0)

    def paused(self, seconds: float) -> None:
        """No frame was due for this long."""
        if self._start is not None:
            self._start += seconds
        self._beats.clear()
