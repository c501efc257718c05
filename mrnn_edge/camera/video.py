"""A video that has an end, in a file or at an http address: every frame, or those of a Selection.

No frame is dropped, however slow the reader is. FrameTimes corrects the times of a container, which
may go backwards, restart where two recordings were joined, or be far off for single frames.

`bytes_missing` compares a file with the sizes that its container declares. Frame counts of headers
prove nothing: FFmpeg computes that of Matroska from duration and rate, also where the sound is
longer or the rate varies, and that of an MP4 counts frames that an edit list leaves out. Only
headers are read, of MP4 and QuickTime, AVI, Matroska and WebM.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import IO, Final

from mrnn_edge.camera.capture import Capture, OpenCapture
from mrnn_edge.camera.frames import ALL, USUAL_RATE, Frame, Selection
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
        """`path` is the file, whose size shows whether it is complete; without one, at an http
        address, only the number of frames in the header can show it."""
        self.name: Final = name
        self._path = path
        self._selection = selection
        self._capture: Capture | None = open_capture()
        self._rate = self._capture.rate() or USUAL_RATE
        self._length = self._capture.length()

    @property
    def rate(self) -> float:
        """Selected frames a second."""
        return self._selection.fps or self._rate / self._selection.every

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The selected frames.

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
        except OSError:  # the file is gone; all its frames were read
            return
        if missing:
            raise TruncatedVideoError(
                f"{self.name}: ends after {read} frames, {missing:,} bytes before the end that its "
                "header says; cut off, get a whole copy"
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


_BOXES: Final = frozenset(
    b"ftyp styp moov moof mdat mfra sidx ssix pdin meta uuid udta free skip wide pnot".split()
)
"""Of the top level (ISO/IEC 14496-12, QuickTime). Sizes of other boxes are ignored."""
_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"


def bytes_declared(path: str) -> int | None:
    """The size in bytes, or a lower bound, that the container declares for its file.

    None if unknown: another container, or one written to a pipe or never finished. Raises OSError.
    """
    with open(path, "rb") as file:
        head = file.read(12)
        reached: Callable[[IO[bytes]], int | None]
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            reached = _riff
        elif head[:4] == _EBML:
            reached = _matroska
        elif head[4:8] in _BOXES:
            reached = _boxes
        else:
            return None
        file.seek(0)
        return reached(file)


def bytes_missing(path: str) -> int:
    """How many of the declared bytes the file lacks. Raises OSError."""
    return max((bytes_declared(path) or 0) - os.path.getsize(path), 0)


def _boxes(file: IO[bytes]) -> int | None:
    """ISO/IEC 14496-12, 4.2: size and name; size 1 has 64 bits more, size 0 goes to the end."""
    end, there = 0, os.fstat(file.fileno()).st_size
    while len(head := file.read(8)) == 8 and head[4:] in _BOXES:
        size, least = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, least = int.from_bytes(file.read(8), "big"), 16
        if size < least:
            break
        end += size
        if end >= there:  # not every offset beyond can be sought
            break
        file.seek(end)
    return end or None


def _riff(file: IO[bytes]) -> int | None:
    """One RIFF chunk, and in a large file (OpenDML) more of them behind it."""
    end = 0
    while len(head := file.read(8)) == 8 and head[:4] == b"RIFF":
        size = int.from_bytes(head[4:], "little")
        if size in (0, 0xFFFFFFFF):  # not finished
            break
        end = file.tell() + size
        file.seek(size + size % 2, os.SEEK_CUR)  # the next begins at an even place
    return end or None


def _matroska(file: IO[bytes]) -> int | None:
    """RFC 8794 and 9559: the header's element, then the segment, each with its size."""
    file.read(4)
    size = _vint(file)
    if size is None:
        return None
    if size > os.fstat(file.fileno()).st_size:
        return file.tell() + size
    file.seek(size, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return None
    size = _vint(file)
    return None if size is None else file.tell() + size


def _vint(file: IO[bytes]) -> int | None:
    """An element's size (RFC 8794, 4); its length is 1 + the leading zero bits of the first byte.

    None if all other bits are ones: unknown.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(first + file.read(more), "big")
    ones = (1 << 7 * (more + 1)) - 1
    return None if value & ones == ones else value & ones
