"""Frames into a video file, in a thread of its own: encoding takes longer than drawing.

OpenCV does not report a full disk. So free space is watched, and the file is closed while it can
still be finished; a file that cannot be opened afterwards is reported too.
"""

import contextlib
import math
import os
import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from mrnn_edge.camera.capture import import_cv2, takes_path
from mrnn_edge.camera.frames import FrameSource, Notice
from mrnn_edge.errors import OptionError
from mrnn_edge.image.read import Pixels
from mrnn_edge_cli.output import say

CODECS: Final = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "XVID"}
RESERVE_BYTES: Final = 32 << 20
"""Free space at which a recording ends; finishing the file takes less than 1 MiB."""
WAITING: Final = 8
"""Frames between the loop and the encoder, 22 MB of 1280 x 720."""
MAX_FILL_S: Final = 10.0
"""A longer gap of a live source, while it was lost, is left out of the film."""
_USUAL_RATE: Final = 30.0
"""Frames per second of a camera that does not report its rate."""
_HIGHEST_RATE: Final = 60.0
"""Of the film of a live source: streams announce rates that they never reach."""
_FAREWELL_S: Final = 30.0
"""For the next frame and the end of the file; a disk that takes longer does not answer."""


class _Shown(NamedTuple):
    bgr: Pixels
    time_s: float
    follows: bool
    """No frame was left out before it."""


class Recording:
    """A video file that frames are added to, each shown until the next one's time.

    Frames of a file wait for a slow encoder; frames of a live source are left out.
    """

    def __init__(
        self, source: FrameSource, path: Path, *, notice: Notice, force: bool = True
    ) -> None:
        """The film has the rate of the source.

        Without `force` a file that has appeared meanwhile stays. Raises OptionError as `check_name`
        does, OSError for that file and without a folder.
        """
        check_name(path)
        self._is_new = not path.exists()
        mode = "ab" if force or (path.exists() and not path.is_file()) else "xb"
        path.open(mode).close()  # now, with the reason, rather than later without
        self._source = source
        self._path = path
        self._notice = notice
        self._cv2 = import_cv2()
        self._writer: Any = None
        self._rate = 0.0
        self._size = (0, 0)
        self._before: Pixels | None = None
        self._written = 0
        self._start_s = 0.0
        self._checked = -math.inf
        self._came = 0
        self._left_out = 0
        self._follows = True
        self.failed = False
        self._frames: queue.Queue[_Shown | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="mrnn-edge recording", daemon=True)
        self._thread.start()

    def show(self, bgr: Pixels, time_s: float) -> None:
        """Add a frame, uint8 [H, W, 3] in OpenCV's order; it must not be changed after."""
        if self.failed:
            return
        self._came += 1
        shown = _Shown(bgr, time_s, self._follows)
        try:
            self._frames.put(shown, block=not self._source.live)
            self._follows = True
        except queue.Full:
            self._left_out += 1
            self._follows = False

    def close(self) -> None:
        """Write the waiting frames and finish the file; without a frame there is none."""
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
        """Wait for it while it writes: one frame of a file may stand for hours of film."""
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
        fill_s = MAX_FILL_S if self._source.live else math.inf
        longest = self._written + fill_s * self._rate + 1
        if not shown.follows or not self._written <= due <= longest:
            # Frames were left out, a stream was lost, or a clock was set: continue from here.
            self._start_s = shown.time_s - self._written / self._rate
            due = self._written + 1
        while self._written < due - 1:  # the gap of a file may be hours
            self._write(self._before)
        if due > self._written:
            self._write(bgr)
        self._before = bgr

    def _open(self, width: int, height: int, time_s: float) -> None:
        codec = self._cv2.VideoWriter_fourcc(*CODECS[self._path.suffix.lower()])
        # MPEG-4 halves the colours' sides; an odd row or column would be lost.
        self._size = (width - width % 2 or 2, height - height % 2 or 2)
        self._start_s = time_s
        # A live source knows its rate when its first frame has come.
        announced = self._source.rate or _USUAL_RATE
        self._rate = min(announced, _HIGHEST_RATE) if self._source.live else announced
        # Absolute: FFmpeg takes what stands before a colon for a protocol, but after no slash.
        path = os.path.abspath(self._path)
        self._writer = self._cv2.VideoWriter(path, codec, self._rate, self._size)
        if not self._writer.isOpened():
            if self._is_new:
                self._path.unlink(missing_ok=True)
            raise OSError("OpenCV cannot write a video there")

    def _write(self, bgr: Pixels | None) -> None:
        """Write a frame; once a second, raise OSError if the disk is nearly full."""
        self._writer.write(bgr)
        self._written += 1
        now = time.monotonic()
        if now - self._checked < 1.0:
            return
        self._checked = now
        if shutil.disk_usage(self._path.parent).free < RESERVE_BYTES:
            raise OSError(f"less than {RESERVE_BYTES >> 20} MiB are free on the disk")

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
