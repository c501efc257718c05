"""Frames, where they come from, which of a file are selected, and when to retry. Knows no model."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from mrnn_edge.errors import OptionError
from mrnn_edge.image.read import Pixels

USUAL_RATE: Final = 25.0
"""Frames a second where the rate is unknown: pictures in sequence, and some videos."""
_EARLY_S: Final = 0.0007
"""Tolerance: containers round times to a millisecond, and sums of times are inexact. Not half a
millisecond, so that no rounded time lies on an edge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of a source, and when it was taken."""

    number: int
    """Counted from 0 over all frames of the source, dropped ones included."""
    time_s: float
    """The source's time: position in a file, seconds since the start on a live source."""
    captured: float
    """When it was captured, by time.monotonic; of a file, when it was read."""
    pixels: Pixels
    """uint8 [H, W, 3], RGB."""
    at: datetime | None = None
    """When a live one was captured, by the clock on the wall, with its time zone."""
    dropped: int = 0
    """Frames since the start that a newer one replaced before they were read."""
    connection: int = 0
    """How often the source had been reopened before this frame."""


class FrameSource(Protocol):
    """Frames, one at a time, on demand."""

    @property
    def name(self) -> str:
        """For people and records; holds no password."""

    @property
    def live(self) -> bool:
        """Frames come by the clock and the newest one counts, rather than every one."""

    @property
    def lost(self) -> bool:
        """No frame comes at present, and the source is being reopened; only live ones are."""

    @property
    def rate(self) -> float | None:
        """Frames a second, where that is known."""

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """Frames until the source ends; a live one yields None after `tick` seconds without one.

        Raises a CameraError where the source cannot be opened or is lost.
        """

    def close(self) -> None:
        """Close the device, file or stream. May be called twice."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which frames of a file are read: all, every n-th, or the first of each 1 / fps seconds."""

    every: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise OptionError(f"every is {self.every}, expected 1 or more")
        if self.fps is not None and not 0.0 < self.fps <= 1000.0:
            raise OptionError(f"fps is {self.fps}, expected above 0, at most 1000")
        if self.fps is not None and self.every != 1:
            raise OptionError("every and fps both select frames; give one of them")

    def wants(self, *, number: int, time_s: float, last_s: float | None) -> bool:
        """Whether the frame is wanted; `last_s` is the time of the last one that was."""
        if self.fps is None:
            return number % self.every == 0
        return last_s is None or _slot(time_s, self.fps) > _slot(last_s, self.fps)


def _slot(time_s: float, fps: float) -> int:
    """The number of a time's interval of 1 / fps seconds, on a fixed grid: delays do not add up."""
    return math.floor((time_s + _EARLY_S) * fps)


ALL = Selection()


Notice: TypeAlias = Callable[[str], None]
"""Receives one-line status messages for people; they hold no password."""


def unheard(_: str) -> None:
    """Discard a status message."""


@dataclass(frozen=True, kw_only=True)
class ReconnectPolicy:
    """Time limits, in seconds."""

    open_s: float = 15.0
    """For the first frame after opening, whatever the backend does with its own limits."""
    stall_s: float = 5.0
    """For each further frame; after it the read counts as blocked."""
    budget_s: float = 60.0
    """From when the loss was noticed until giving up, after at least one retry."""
    pauses_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
    """Before each retry; the last one repeats. They restart after a connection that gave frames for
    as long as the pause before it, so a connection that fails at once is not retried twice a
    second."""

    def __post_init__(self) -> None:
        for name in ("open_s", "stall_s", "budget_s"):
            value = getattr(self, name)
            if not 0.0 < value < float("inf"):
                raise OptionError(f"{name} is {value}, expected a number of seconds above 0")
        if not self.pauses_s:
            raise OptionError("pauses_s is empty, expected one pause at least")
