"""A video that has an end, in a file or at an http address: every frame, or those of a Selection.

No frame is dropped, however slow the reader is. FrameTimes corrects the times of a container, which
may go backwards, restart where two recordings were joined, or be far off for single frames.
"""

import time
from collections.abc import Iterator
from typing import Final

from mrnn_edge.camera.capture import Capture, OpenCapture
from mrnn_edge.camera.frames import ALL, USUAL_RATE, Frame, Selection
from mrnn_edge.errors import CameraUnavailableError, TruncatedVideoError

_MISSING_SHARE: Final = 0.05
"""Of the frames that a header promises; many containers only estimate them, so that for a file,
whose container may say anything, they prove nothing."""


class Video:
    """The frames of a video. A FrameSource."""

    live: Final = False
    lost: Final = False

    def __init__(
        self,
        name: str,
        open_capture: OpenCapture,
        *,
        selection: Selection = ALL,
        downloaded: bool = False,
    ) -> None:
        """With `downloaded` the connection may break, which the header's number of frames shows."""
        self.name: Final = name
        self._selection = selection
        self._capture: Capture | None = open_capture()
        self._rate = self._capture.rate() or USUAL_RATE
        self._promised = (self._capture.length() or 0) if downloaded else 0

    @property
    def rate(self) -> float:
        """Selected frames a second."""
        return self._selection.fps or self._rate / self._selection.every

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The selected frames.

        Raises TruncatedVideoError after the last one where a part of a download is missing, and
        CameraUnavailableError where no frame can be read.
        """
        del tick
        capture, number, last_s = self._capture, 0, None
        times = FrameTimes(self._rate)
        while capture is not None and capture.grab():
            now_s = times.next(capture.position_s())
            wanted = self._selection.wants(number=number, time_s=now_s, last_s=last_s)
            pixels = capture.retrieve() if wanted else None
            if pixels is not None:
                last_s = now_s
                yield Frame(number=number, time_s=now_s, captured=time.monotonic(), pixels=pixels)
            number += 1
            capture = self._capture  # None: closed meanwhile
        if capture is not None:
            self._check(read=number, usable=last_s is not None)

    def close(self) -> None:
        """Close it."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _check(self, *, read: int, usable: bool) -> None:
        if not usable:
            raise CameraUnavailableError(f"{self.name}: holds no frame that can be read")
        if self._promised - read > max(2.0, _MISSING_SHARE * self._promised):
            raise TruncatedVideoError(
                f"{self.name}: ends after {read} frames, its header says {self._promised}; "
                "cut off or damaged, get a whole copy"
            )


_GAP_S: Final = 10.0
"""The longest step between frames that is accepted without confirmation."""
_GAP_FRAMES: Final = 10
"""The same in frames, for slide shows, whose frames are far apart."""


class FrameTimes:
    """Increasing times of the frames, from the positions that the container declares."""

    def __init__(self, rate: float) -> None:
        self._step_s = 1.0 / rate
        self._gap_s = max(_GAP_S, _GAP_FRAMES * self._step_s)
        self._last_s: float | None = None
        self._position_s: float | None = None
        self._jumped = False

    def next(self, position_s: float | None) -> float:
        """The time in seconds of the next frame, from its position, if the container has one.

        A position is accepted if it is ahead of the last time by at most the gap. After a jump
        farther ahead the first frame is placed by the rate, and a second position beyond it
        confirms the jump, which a single bad position never does; slide shows have several in a
        row. If a position continues the previous one but is behind the last time, only its step is
        added; otherwise one frame period.
        """
        before, self._position_s = self._position_s, position_s
        jumped, self._jumped = self._jumped, False
        last = self._last_s
        if last is None:
            first = position_s is not None and position_s <= self._gap_s
            self._last_s = position_s if first and position_s is not None else 0.0
            return self._last_s
        step = None if position_s is None or before is None else position_s - before
        goes_on = step is not None and 0.0 < step <= self._gap_s
        if position_s is not None and last < position_s:
            self._jumped = not goes_on and position_s - last > self._gap_s
            rises = jumped and step is not None and step > 0.0
            if rises or not self._jumped:
                self._last_s = position_s
                return position_s
        self._last_s = last + (step if goes_on and step is not None else self._step_s)
        return self._last_s
