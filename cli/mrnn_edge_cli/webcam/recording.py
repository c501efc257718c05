"""Frames into a video file, in a thread of its own: encoding takes longer than drawing.

OpenCV tells nobody of a disk that is full. So free space is watched, and the file closed while it
can still be finished; a file that does not grow, or cannot be opened afterwards, is told too.
"""

import math
import os
import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Final

from mrnn_edge.camera.opencv import import_cv2, takes_path
from mrnn_edge.errors import OptionError
from mrnn_edge.image import Pixels
from mrnn_edge_cli.output import say

CODECS: Final = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "XVID"}
RESERVE_BYTES: Final = 32 << 20
"""Free space at which a recording ends; its own end takes less than one of them."""
WAITING: Final = 8
"""Frames between the loop and the encoder, 22 MB of 1280 x 720. A loop that is faster waits."""
_MAX_FILL_S: Final = 1.0
"""A longer gap, while a stream was lost, is left out of the film."""
_UNGROWN: Final = 300
"""Frames after which a file that has not grown will not."""


class Recording:
    """A video file that frames are added to, each shown until the next one's time."""

    def __init__(self, path: Path, *, rate: float) -> None:
        """Raises OptionError as `check_name` does, OSError without a folder."""
        check_name(path)
        path.open("ab").close()  # now, with the reason, rather than later without
        self._path = path
        self._rate = rate
        self._cv2 = import_cv2()
        self._writer: Any = None
        self._size = (0, 0)
        self._written = 0
        self._start_s = 0.0
        self._checked = (-math.inf, 0, 0)  # when, at which frame, how many bytes
        self.failed = False
        self._frames: queue.Queue[tuple[Pixels, float] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="mrnn-edge recording", daemon=True)
        self._thread.start()

    def show(self, bgr: Pixels, time_s: float) -> None:
        """Add a frame, uint8 [H, W, 3] in OpenCV's order; it must not be changed after."""
        if not self.failed:
            self._frames.put((bgr, time_s))

    def close(self) -> None:
        """Write what waits and finish the file."""
        if self._thread.is_alive():
            self._frames.put(None)
            self._thread.join()
        if self._written and not self.failed and not self._can_be_opened():
            self._fail("cannot be opened now that it is finished; is the disk full?")

    def _run(self) -> None:
        while (item := self._frames.get()) is not None:
            if self.failed:
                continue  # the loop must not wait for a full queue
            try:
                self._add(*item)
            except Exception as error:  # a loop that waits for this thread must not wait for ever
                self._fail(f"the recording ends here ({error})")
        if self._writer is not None:
            self._writer.release()

    def _add(self, bgr: Pixels, time_s: float) -> None:
        height, width = bgr.shape[:2]
        if self._writer is None:
            self._open(width, height, time_s)
        if (width, height) != self._size:
            bgr = self._cv2.resize(bgr, self._size)
        due = round((time_s - self._start_s) * self._rate) + 1
        if due - self._written > _MAX_FILL_S * self._rate + 1 or due < self._written:
            # A stream was lost, or a clock was set: go on from here.
            self._start_s = time_s - self._written / self._rate
            due = self._written + 1
        for _ in range(due - self._written):
            self._writer.write(bgr)
        self._written = max(due, self._written)
        self._check()

    def _open(self, width: int, height: int, time_s: float) -> None:
        codec = self._cv2.VideoWriter_fourcc(*CODECS[self._path.suffix.lower()])
        # MPEG-4 halves the colours' sides; an odd row or column would be lost.
        self._size = (width - width % 2 or 2, height - height % 2 or 2)
        self._start_s = time_s
        self._writer = self._cv2.VideoWriter(str(self._path), codec, self._rate, self._size)
        if not self._writer.isOpened():
            raise OSError("OpenCV cannot write a video there")

    def _check(self) -> None:
        """Once a second: is there room, does the file grow. Raises OSError."""
        when, frame, size = self._checked
        now = time.monotonic()
        if now - when < 1.0:
            return
        if shutil.disk_usage(self._path.parent).free < RESERVE_BYTES:
            raise OSError(f"less than {RESERVE_BYTES >> 20} MiB are free on the disk")
        grown = os.path.getsize(self._path)
        if grown == size and self._written - frame >= _UNGROWN:
            raise OSError("the file does not grow any more; a limit of its size, or a full disk")
        self._checked = (now, self._written if grown != size else frame, grown)

    def _fail(self, reason: str) -> None:
        self.failed = True
        say(f"{self._path}: {reason}; captions go on")
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _can_be_opened(self) -> bool:
        capture = self._cv2.VideoCapture(str(self._path))
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
