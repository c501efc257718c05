"""Frames into a video file, in a thread of its own: encoding takes longer than drawing.

OpenCV does not report a full disk. So free space is watched, and the file is closed while it can
still be finished; a file that does not grow, or cannot be opened afterwards, is reported too.
"""

import contextlib
import math
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final, NamedTuple

from mrnn_edge.camera.capture import import_cv2, takes_path
from mrnn_edge.camera.frames import FrameSource, Notice
from mrnn_edge.errors import OptionError
from mrnn_edge.image.read import Pixels
from mrnn_edge_cli.output import say

CODECS: Final = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "XVID"}
RESERVE_BYTES: Final = 32 << 20
"""Free space at which a recording ends; its own end takes less than one of them."""
WAITING: Final = 8
"""Frames between the loop and the encoder, 22 MB of 1280 x 720."""
MAX_FILL_S: Final = 10.0
"""Of a live source a longer gap, while it was lost, is left out of the film."""
_USUAL_RATE: Final = 30.0
"""Frames a second of a camera that does not say."""
_HIGHEST_RATE: Final = 60.0
"""Of the film of a live source: streams announce rates that they never reach."""
_UNGROWN: Final = 300
"""Frames after which a file that has not grown will not."""
_REPEATED: Final = 0.01
"""What one counts of these that repeats the one before; FFmpeg may hold back a thousand."""
_FAREWELL_S: Final = 30.0
"""For the next frame, and the end of the file; a disk that takes longer does not answer."""


class Busy(Enum):
    """What becomes of a frame that finds the encoder behind."""

    WAIT = auto()
    """The loop waits: of a file every frame is in the film."""
    LEAVE_OUT = auto()
    """The loop continues: a live source does not wait."""


class _Shown(NamedTuple):
    bgr: Pixels
    time_s: float
    follows: bool
    """No frame was left out before it."""


class Recording:
    """A video file that frames are added to, each shown until the next one's time."""

    def __init__(
        self,
        path: Path,
        *,
        rate: Callable[[], float],
        busy: Busy,
        notice: Notice,
        force: bool = True,
    ) -> None:
        """`rate`, in frames a second, is asked with the first frame: a live source knows it then.

        Without `force` a file that has appeared meanwhile stays. Raises OptionError as `check_name`
        does, OSError for that file and without a folder.
        """
        check_name(path)
        self._is_new = not path.exists()
        mode = "ab" if force or (path.exists() and not path.is_file()) else "xb"
        path.open(mode).close()  # now, with the reason, rather than later without
        self._path = path
        self._asked_rate = rate
        self._rate = 0.0
        self._busy = busy
        self._notice = notice
        self._cv2 = import_cv2()
        self._writer: Any = None
        self._size = (0, 0)
        self._before: Pixels | None = None
        self._written = 0
        self._start_s = 0.0
        self._content = 0.0
        self._checked = (-math.inf, 0.0, 0)  # when, at which content, how many bytes
        self._came = 0
        self._left_out = 0
        self._follows = True
        self.failed = False
        self._frames: queue.Queue[_Shown | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="mrnn-edge recording", daemon=True)
        self._thread.start()

    @classmethod
    def of(
        cls, source: FrameSource, path: Path, *, notice: Notice, force: bool = True
    ) -> "Recording":
        """The film of a source, at its rate. Raises as the constructor does."""

        def rate() -> float:
            announced = source.rate or _USUAL_RATE
            return min(announced, _HIGHEST_RATE) if source.live else announced

        busy = Busy.LEAVE_OUT if source.live else Busy.WAIT
        return cls(path, rate=rate, busy=busy, notice=notice, force=force)

    def show(self, bgr: Pixels, time_s: float) -> None:
        """Add a frame, uint8 [H, W, 3] in OpenCV's order; it must not be changed after."""
        if self.failed:
            return
        self._came += 1
        shown = _Shown(bgr, time_s, self._follows)
        try:
            self._frames.put(shown, block=self._busy is Busy.WAIT)
            self._follows = True
        except queue.Full:
            self._left_out += 1
            self._follows = False

    def close(self) -> None:
        """Write what waits and finish the file; without a frame there is none."""
        if self._left_out and not self.failed:
            self._notice(
                f"{self._path}: {self._left_out:,} of {self._came:,} frames were left out; they "
                "came faster than this machine encodes"
            )
        self._end_thread()
        if self.failed:
            return
        if self._is_new and not self._came:
            self._path.unlink(missing_ok=True)
        elif self._thread.is_alive():
            self._fail(
                f"the video is incomplete: it got no frame for {_FAREWELL_S:g} s; "
                "does the disk answer?"
            )
        elif self._written and not self._can_be_opened():
            self._fail("the finished video cannot be opened; is the disk full?")

    def _end_thread(self) -> None:
        """Wait for it while it writes: of a file one frame may stand for hours of film."""
        asked, written = False, -1
        while self._thread.is_alive() and written != self._written:
            written = self._written
            with contextlib.suppress(queue.Full):
                if not asked:
                    self._frames.put(None, timeout=_FAREWELL_S)
                    asked = True
                self._thread.join(_FAREWELL_S)

    def _run(self) -> None:
        while (shown := self._frames.get()) is not None:
            if self.failed:
                continue  # the loop must not wait for a full queue
            try:
                self._add(shown)
            except Exception as error:  # a loop that waits for this thread must not wait for ever
                self._release()
                self._fail(f"the recording ends here ({error})")
        self._release()

    def _add(self, shown: _Shown) -> None:
        height, width = shown.bgr.shape[:2]
        if self._writer is None:
            self._open(width, height, shown.time_s)
        bgr = shown.bgr
        if (width, height) != self._size:
            bgr = self._cv2.resize(bgr, self._size)
        due = round((shown.time_s - self._start_s) * self._rate) + 1
        fill_s = MAX_FILL_S if self._busy is Busy.LEAVE_OUT else math.inf
        longest = self._written + fill_s * self._rate + 1
        if not shown.follows or not self._written <= due <= longest:
            # Frames were left out, a stream was lost, or a clock was set: continue from here.
            self._start_s = shown.time_s - self._written / self._rate
            due = self._written + 1
        while self._written < due - 1:
            self._writer.write(self._before)
            self._written += 1
            self._content += _REPEATED
            self._check()  # of a file the gap may be hours
        if due > self._written:
            self._writer.write(bgr)
            self._written += 1
            self._content += 1.0
        self._before = bgr
        self._check()

    def _open(self, width: int, height: int, time_s: float) -> None:
        codec = self._cv2.VideoWriter_fourcc(*CODECS[self._path.suffix.lower()])
        # MPEG-4 halves the colours' sides; an odd row or column would be lost.
        self._size = (width - width % 2 or 2, height - height % 2 or 2)
        self._start_s = time_s
        self._rate = self._asked_rate()
        # Absolute: FFmpeg takes what stands before a colon for a protocol, but after no slash.
        path = os.path.abspath(self._path)
        self._writer = self._cv2.VideoWriter(path, codec, self._rate, self._size)
        if not self._writer.isOpened():
            if self._is_new:
                self._path.unlink(missing_ok=True)
            raise OSError("OpenCV cannot write a video there")

    def _check(self) -> None:
        """Once a second: is there room, does the file grow. Raises OSError."""
        when, content, size = self._checked
        now = time.monotonic()
        if now - when < 1.0:
            return
        if shutil.disk_usage(self._path.parent).free < RESERVE_BYTES:
            raise OSError(f"less than {RESERVE_BYTES >> 20} MiB are free on the disk")
        grown = os.path.getsize(self._path)
        if grown == size and self._content - content >= _UNGROWN:
            raise OSError("the file does not grow any more; a limit of its size, or a full disk")
        self._checked = (now, self._content if grown != size else content, grown)

    def _release(self) -> None:
        """Finish the file; whether that worked is seen when it is opened."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(self._cv2.error):
                writer.release()

    def _fail(self, reason: str) -> None:
        self.failed = True
        say(f"{self._path}: {reason}; captions continue")

    def _can_be_opened(self) -> bool:
        capture = self._cv2.VideoCapture(os.path.abspath(self._path))
        opens = bool(capture.isOpened())
        capture.release()
        return opens


def check_name(path: Path) -> None:
    """Raise OptionError for a suffix without a codec, and for a name that OpenCV cannot open."""
    if path.suffix.lower() not in CODECS:
        known = ", ".join(CODECS)
        raise OptionError(f"--record {path}: the suffix is none of {known}; take one of these")
    if not takes_path(str(path)):
        raise OptionError(
            f"--record {path}: the name is not UTF-8, which OpenCV cannot open; take another"
        )
