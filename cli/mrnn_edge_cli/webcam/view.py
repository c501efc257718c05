"""Every frame with its caption, shown and recorded.

A live source is captioned in another thread, so that the picture does not freeze while a sentence
is decoded. A file is captioned frame by frame, and shown in a window at its own speed.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from mrnn_edge.camera.capture import import_cv2
from mrnn_edge.camera.frames import Frame, FrameSource
from mrnn_edge.camera.scene import CaptionEvent
from mrnn_edge.camera.watch import Watch, WatchBeside
from mrnn_edge.image.read import Pixels
from mrnn_edge_cli.output import say
from mrnn_edge_cli.webcam.overlay import Overlay
from mrnn_edge_cli.webcam.recording import Recording
from mrnn_edge_cli.webcam.window import PAINT_S, Key, Window, WindowLostError

_TICK_S: Final = 0.05
"""The window is drawn and takes keys only when it is asked for one: at least this often."""
_STATUS_S: Final = 0.25
"""Between two changes of the status; figures that change faster cannot be read."""

_TOO_LATE_S: Final = 0.5
"""A machine too slow for a file shows the rest at its own speed, and does not catch up."""


class View:
    """A window, a recording, or both, over one source.

    A window that fails is closed, `window_lost` gets the reason, and captions continue.
    """

    def __init__(
        self,
        source: FrameSource,
        watching: Watch,
        *,
        device: str,
        explain: bool,
        window: Window | None,
        recording: Recording | None,
        window_lost: Callable[[WindowLostError], None],
        stop: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._watching = watching
        self._device = device
        self._overlay = Overlay(explain=explain)
        self._window = window
        self._recording = recording
        self._window_lost = window_lost
        self._stop = stop
        self._clock = clock
        self._rhythm = Rhythm(clock)
        self._age_ms: float | None = None
        self._status_due = 0.0
        self._painted = -math.inf
        self._mirrored = False
        self._paused = False
        self._quit = False
        self._last: Frame | None = None
        self._picture: Pixels | None = None

    def events(self) -> Iterator[CaptionEvent]:
        """Show and record until the source ends, the user quits or `stop()` is true.

        Raises what the source raises.
        """
        beside = WatchBeside(self._watching) if self._source.live else None
        look = beside or self._watching
        try:
            for frame in self._source.frames(tick=_TICK_S):
                event = beside.ready() if beside and not frame else None
                if frame is not None:
                    event = look.see(frame)
                if event is not None:
                    self._overlay.caption(event)
                    self._age_ms = event.age_ms
                    yield event
                self._show(frame)
                if self._ends():
                    return
        finally:
            self._source.close()
            if beside is not None:
                beside.close()

    def _ends(self) -> bool:
        return self._quit or self._stop()

    def _show(self, frame: Frame | None) -> None:
        if self._window is None and self._recording is None:  # it had a window
            return
        if frame is not None:
            self._rhythm.beat()
            self._last = frame
        self._draw(changed=frame is not None)
        if frame is not None and self._recording is not None and self._picture is not None:
            self._recording.show(self._picture, frame.time_s)
        if self._window is not None and self._picture is not None:
            try:
                self._in_window(self._window, frame)
            except WindowLostError as error:
                self._window.close()
                self._window = None
                self._window_lost(error)

    def _draw(self, *, changed: bool) -> None:
        """Draw the last frame if it has `changed`, or its overlay."""
        now = self._clock()
        if now >= self._status_due:
            self._status_due = now + _STATUS_S
            self._overlay.status(self._status())
            changed = True  # on a source that is lost the last frame says so
        if changed and self._last is not None:
            self._picture = self._drawn(self._last)

    def _in_window(self, window: Window, frame: Frame | None) -> None:
        """Show the picture and obey keys; of a file, until its next frame is due.

        If the frames of a file come faster than they can be painted, late ones are skipped.
        """
        while True:
            due_s = 0.0
            if frame is not None and not self._source.live:
                due_s = self._rhythm.until(frame.time_s)
                if not due_s and self._clock() - self._painted < PAINT_S:
                    return
            if self._picture is not None:
                window.show(self._picture)
            self._obey(window.key(min(due_s, _TICK_S)))
            self._painted = self._clock()
            if self._paused:
                self._pause(window)
            if self._ends() or due_s <= _TICK_S:
                return
            self._draw(changed=False)

    def _pause(self, window: Window) -> None:
        since = self._clock()
        while self._paused and not self._ends():
            if self._picture is not None:
                window.show(self._picture)
            self._obey(window.key(_TICK_S))
        self._rhythm.paused(self._clock() - since)

    def _drawn(self, frame: Frame) -> Pixels:
        """A copy of the frame in OpenCV's order with the overlay on it."""
        cv2, rgb = import_cv2(), frame.pixels
        # Frames of OpenCV are reversed views of BGR, copied as they are. Numpy would reverse those
        # that are RGB in memory in 5 ms (1280 x 720), OpenCV does in 0.2.
        own = rgb.flags.c_contiguous
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if own else rgb[..., ::-1].copy()
        if self._mirrored:
            bgr = cv2.flip(bgr, 1)
        self._overlay.draw(bgr)
        return bgr

    def _status(self) -> str:
        if self._source.lost:
            return "no picture: trying again"
        fps = self._rhythm.fps
        parts = [f"{fps:.0f} fps" if fps >= 9.5 else f"{fps:.1f} fps"] if fps else []
        if self._age_ms is not None:
            parts.append(f"caption {self._age_ms:.0f} ms old")
        return "   ".join([*parts, self._device])

    def _obey(self, key: Key | None) -> None:
        if key is Key.QUIT:
            self._quit = True
        elif key is Key.PAUSE:
            self._paused = not self._paused
        elif key is Key.MIRROR:
            self._mirrored = not self._mirrored
            self._draw(changed=True)  # at once: no other frame may come for long
        elif key is Key.SNAPSHOT and self._picture is not None:
            snapshot(self._picture)


class Rhythm:
    """How fast frames come, and when the next one of a file is due on the screen. Never waits."""

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


def snapshot(bgr: Pixels) -> None:
    """Save the picture as it is shown as a PNG in the working folder, named by the time."""
    path = Path(f"mrnn-edge-{datetime.now():%Y%m%d-%H%M%S-%f}.png")
    try:
        Image.fromarray(np.ascontiguousarray(bgr[..., ::-1])).save(path)
        say(f"snapshot {path}")
    except OSError as error:
        say(f"{path}: cannot be written ({error}); go to another folder")
