"""Sources that wait: video files, pictures in order, and frames of the caller's own.

Every frame comes, or those of a Selection; none is dropped, however long the taker takes.
"""

import glob
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from mrnn_edge.camera.address import hide_credentials
from mrnn_edge.camera.capture import Capture, OpenCapture
from mrnn_edge.camera.frames import ALL, Frame, Selection
from mrnn_edge.camera.live import Notice, unheard
from mrnn_edge.errors import (
    CameraUnavailableError,
    ImageInputError,
    InputError,
    TruncatedVideoError,
)
from mrnn_edge.formats import SUFFIXES
from mrnn_edge.image import Pixels, load_image

SEQUENCE_RATE: Final = 25.0
"""Frames a second where nothing says it: in a sequence of pictures, and in some videos."""
_MISSING_SHARE: Final = 0.05
"""Of the frames that a header promises; containers without an index only estimate them."""


class VideoFile:
    """The frames of a video file. A FrameSource."""

    live: Final = False

    def __init__(self, name: str, open_capture: OpenCapture, *, selection: Selection = ALL) -> None:
        self.name: Final = name
        self._selection = selection
        self._capture: Capture | None = open_capture()
        self._rate = self._capture.rate() or SEQUENCE_RATE
        self._length = self._capture.length()

    @property
    def rate(self) -> float:
        """Frames a second that come out of here."""
        return self._selection.fps or self._rate / self._selection.every

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The frames that were selected.

        Raises TruncatedVideoError after the last one where the header promised more, and
        CameraUnavailableError where there is none at all.
        """
        del tick
        capture, number, now_s, last_s = self._capture, 0, 0.0, None
        while capture is not None and capture.grab():
            now_s = self._time(capture, number, now_s)
            wanted = self._selection.wants(number=number, time_s=now_s, last_s=last_s)
            pixels = capture.retrieve() if wanted else None
            if pixels is not None:
                last_s = now_s
                yield Frame(number=number, time_s=now_s, captured=time.monotonic(), pixels=pixels)
            number += 1
            capture = self._capture  # None: closed meanwhile
        self._check_whole(number, closed=capture is None)

    def close(self) -> None:
        """Close the file."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _time(self, capture: Capture, number: int, before: float) -> float:
        """The frame's time. What the container says may go backwards; then the rate counts."""
        position = capture.position_s()
        if position is not None and (position > before or number == 0):
            return position
        return max(number / self._rate, before)

    def _check_whole(self, read: int, *, closed: bool) -> None:
        if closed:
            return
        if not read:
            raise CameraUnavailableError(f"{self.name}: holds no frame that can be read")
        promised = self._length or 0
        if promised - read > max(2.0, _MISSING_SHARE * promised):
            raise TruncatedVideoError(
                f"{self.name}: ends after {read} frames, its header says {promised}; "
                "cut off or damaged, get a whole copy"
            )


class PictureSequence:
    """Pictures of a folder, a pattern or one file, in order, as frames. A FrameSource."""

    live: Final = False

    def __init__(self, name: str, *, selection: Selection = ALL, notice: Notice = unheard) -> None:
        self.name: Final = hide_credentials(name)
        self._paths = list_pictures(name)
        self._selection = selection
        self._notice = notice
        self._closed = False

    @property
    def rate(self) -> float:
        """Frames a second that come out of here."""
        return self._selection.fps or SEQUENCE_RATE / self._selection.every

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The pictures that were selected; one that cannot be read is told and left out.

        Raises TruncatedVideoError after the last one if some were left out.
        """
        del tick
        last_s, failed = None, 0
        for number, path in enumerate(self._paths):
            if self._closed:
                return
            now_s = number / SEQUENCE_RATE
            if not self._selection.wants(number=number, time_s=now_s, last_s=last_s):
                continue
            try:
                pixels = np.asarray(load_image(path), dtype=np.uint8)
            except InputError as error:
                failed += 1
                self._notice(str(error))
                continue
            last_s = now_s
            yield Frame(number=number, time_s=now_s, captured=time.monotonic(), pixels=pixels)
        if failed:
            raise TruncatedVideoError(
                f"{self.name}: {failed} of {len(self._paths)} pictures could not be read"
            )

    def close(self) -> None:
        """No picture comes any more."""
        self._closed = True


class GivenFrames:
    """Frames that the caller makes: uint8 RGB arrays [H, W, 3], or Frame objects. A FrameSource.

    They are taken when they are wanted, in the caller's thread. `rate` gives them a time each;
    without one it is the clock's when they come.
    """

    live: Final = False
    name: Final = "frames"

    def __init__(
        self,
        frames: Iterable[Pixels | Frame],
        *,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._frames = frames
        self._clock = clock
        self.rate: Final = rate

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The caller's frames. Raises ImageInputError for what is none."""
        del tick
        start = self._clock()
        for number, given in enumerate(self._frames):
            captured = self._clock()
            if isinstance(given, Frame):
                yield given
                continue
            yield Frame(
                number=number,
                time_s=captured - start if self.rate is None else number / self.rate,
                captured=captured,
                pixels=_checked(given, number),
            )

    def close(self) -> None:
        """Nothing is held."""


def list_pictures(name: str) -> list[str]:
    """The pictures that a folder, a pattern (`frame_%04d.png`) or a path names, in order.

    A folder gives those with a picture's suffix in byte order. Raises CameraUnavailableError where
    there is none.
    """
    if os.path.isdir(name):
        try:
            names = sorted(os.listdir(name), key=os.fsencode)
        except OSError as error:
            raise CameraUnavailableError(
                f"{name}: cannot be listed ({error.strerror}); check its owner and mode"
            ) from None
        paths = [
            os.path.join(name, each)
            for each in names
            if os.path.splitext(each)[1].lower() in SUFFIXES
        ]
    elif os.path.exists(name):
        paths = [name]
    else:
        paths = _by_number(name)
    if not paths:
        raise CameraUnavailableError(
            f"{hide_credentials(name)}: no picture there; expected a video, a folder of pictures "
            "or a pattern such as frame_%04d.png"
        )
    return paths


def _by_number(pattern: str) -> list[str]:
    """The files that a printf pattern names, by their number."""
    start, number, end = (
        re.split(r"(%0?\d*d)", pattern, maxsplit=1) if "%" in pattern else (pattern, "", "")
    )
    if not number:
        return []
    width = int(number.strip("%d") or 0)
    found = {}
    for path in glob.glob(f"{glob.escape(start)}*{glob.escape(end)}"):
        digits = path[len(start) : len(path) - len(end)]
        if digits.isascii() and digits.isdigit() and len(digits) >= width:
            found[int(digits)] = path
    return [found[key] for key in sorted(found)]


def _checked(given: object, number: int) -> Pixels:
    if (
        not isinstance(given, np.ndarray)
        or given.ndim != 3
        or given.shape[2] != 3
        or given.dtype != np.uint8
        or not given.size
    ):
        what = (
            f"an array of shape {list(given.shape)} and type {given.dtype}"
            if isinstance(given, np.ndarray)
            else type(given).__name__
        )
        raise ImageInputError(
            f"frame {number} is {what}; expected a uint8 array [H, W, 3] in RGB order"
        )
    return given
