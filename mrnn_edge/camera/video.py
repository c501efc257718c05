"""A video that has an end, in a file or at an http address: every frame, or those of a Selection.

None is dropped, however long the taker takes.
"""

import time
from collections.abc import Iterator
from typing import Final

from mrnn_edge.camera.capture import Capture, OpenCapture
from mrnn_edge.camera.frames import ALL, USUAL_RATE, Frame, Selection
from mrnn_edge.camera.times import FrameTimes
from mrnn_edge.camera.whole import bytes_missing
from mrnn_edge.errors import CameraUnavailableError, TruncatedVideoError

_MISSING_SHARE: Final = 0.05
"""Of the frames that a header promises; many containers only estimate them."""


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
        path: str | None = None,
    ) -> None:
        """`path` is the file's, whose bytes tell at the end whether it was whole; without one, at
        an http address, the number of frames in the header is all there is to go by."""
        self.name: Final = name
        self._path = path
        self._selection = selection
        self._capture: Capture | None = open_capture()
        self._rate = self._capture.rate() or USUAL_RATE
        self._length = self._capture.length()

    @property
    def rate(self) -> float:
        """Frames a second that come out of here."""
        return self._selection.fps or self._rate / self._selection.every

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The frames that were selected.

        Raises TruncatedVideoError after the last one where a part of the video is missing, and
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
        if self._path is None:
            promised = self._length or 0
            if promised - read > max(2.0, _MISSING_SHARE * promised):
                raise TruncatedVideoError(
                    f"{self.name}: ends after {read} frames, its header says {promised}; "
                    "cut off or damaged, get a whole copy"
                )
            return
        try:
            missing = bytes_missing(self._path)
        except OSError:  # the file has gone meanwhile; all that came of it was read
            return
        if missing:
            raise TruncatedVideoError(
                f"{self.name}: ends after {read} frames, {missing:,} bytes before the end that its "
                "header says; cut off, get a whole copy"
            )
