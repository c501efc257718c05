"""Frames, where they come from, which of a file are selected, and when to retry. Knows no model."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from mrnn_edge.errors import OptionError
from mrnn_edge.image.read import Pixels

USUAL_RATE: Final = 25.0
"""Frames a second where nothing says it: in a sequence of pictures, and in some videos."""
_EARLY_S: Final = 0.0007
"""Containers round times to a millisecond, and sums of times are not exact: a frame so much before
its stretch belongs to it. No half, so that a rounded time does not come to lie on an edge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of a source, and when it was taken."""

    number: int
    """Counted from 0 over all frames of the source, those that nobody took included."""
    time_s: float
    """The source's time: position in a file, seconds since the start on a live source."""
    captured: float
    """When it was captured, by time.monotonic; of a file, when it was read."""
    pixels: Pixels
    """uint8 [H, W, 3], RGB."""
    at: datetime | None = None
    """When a live one was captured, by the clock on the wall, with its time zone."""
    dropped: int = 0
    """Frames since the start that a newer one replaced before they were taken."""
    connection: int = 0
    """How often the source had been opened anew before this frame."""


class FrameSource(Protocol):
    """Frames, one at a time, on demand."""

    @property
    def name(self) -> str:
        """For people and records; holds no password."""
        ...

    @property
    def live(self) -> bool:
        """Frames come by the clock and the newest one counts, rather than every one."""
        ...

    @property
    def lost(self) -> bool:
        """No frame comes at present, and it is being opened again; only a live one ever is."""
        ...

    @property
    def rate(self) -> float | None:
        """Frames a second, where that is known."""
        ...

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """Frames until the source ends; on a live one None for each `tick` seconds without.

        Raises a CameraError where the source cannot be opened or is lost.
        """
        ...

    def close(self) -> None:
        """Let the device, file or stream go. May be called twice."""
        ...


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which frames of a file are wanted: all, every n-th, or so many a second of its time, of each
    1 / fps seconds the first."""

    every: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise OptionError(f"every is {self.every}, expected 1 or more")
        if self.fps is not None and not 0.0 < self.fps <= 1000.0:
            raise OptionError(f"fps is {self.fps}, expected above 0, at most 1000")
        if self.fps is not None and self.every != 1:
            raise OptionError("every and fps both thin out the frames; give one of them")

    def wants(self, *, number: int, time_s: float, last_s: float | None) -> bool:
        """Whether the frame is wanted; `last_s` is the time of the last one that was."""
        if self.fps is None:
            return number % self.every == 0
        return last_s is None or _slot(time_s, self.fps) > _slot(last_s, self.fps)


def _slot(time_s: float, fps: float) -> int:
    """Which of the stretches of 1 / fps seconds a time falls into: a grid, so that what one frame
    comes late is not added to the next."""
    return math.floor((time_s + _EARLY_S) * fps)


ALL = Selection()


Notice: TypeAlias = Callable[[str], None]
"""Told in one line, for people, what happens to a source; it holds no password."""


def unheard(_: str) -> None:
    """The notice that nobody gets."""


@dataclass(frozen=True, kw_only=True)
class ReconnectPolicy:
    """Limits of patience, in seconds."""

    open_s: float = 15.0
    """For the first frame after a source was opened. With it a first open that fails ends in time
    whatever the backend does with limits of its own."""
    stall_s: float = 5.0
    """For the next frame of a source that gave one; then the read counts as blocked for good."""
    budget_s: float = 60.0
    """From when the loss was seen until the source is given up, after one try at least."""
    pauses_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
    """Before each try; the last one stands for all later ones. They start anew after a connection
    that gave frames for as long as the pause before it: one that dies with its first frame, again
    and again, is not to be opened twice a second for ever."""

    def __post_init__(self) -> None:
        for name in ("open_s", "stall_s", "budget_s"):
            value = getattr(self, name)
            if not 0.0 < value < float("inf"):
                raise OptionError(f"{name} is {value}, expected a number of seconds above 0")
        if not self.pauses_s:
            raise OptionError("pauses_s is empty, expected one pause at least")
