"""Every frame with its caption, shown and recorded; captions come out of it as they do of a watch.

On a live source captions are found in a thread beside, so that the picture does not stand still
while a sentence is decoded. A file is described frame by frame, and in a window shown at its speed.
"""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from mrnn_edge.camera.events import CaptionEvent
from mrnn_edge.camera.frames import Frame, FrameSource
from mrnn_edge.camera.opencv import import_cv2
from mrnn_edge.camera.watch import Watch, WatchBeside
from mrnn_edge.image import Pixels
from mrnn_edge_cli.output import say
from mrnn_edge_cli.webcam.overlay import Overlay
from mrnn_edge_cli.webcam.recording import Recording
from mrnn_edge_cli.webcam.rhythm import Rhythm
from mrnn_edge_cli.webcam.window import Key, Window

_TICK_S: Final = 0.05
_STATUS_S: Final = 0.25
"""Between two changes of the status; figures that change faster cannot be read."""


class View:
    """A window, a recording, or both, over one source."""

    def __init__(
        self,
        source: FrameSource,
        watching: Watch,
        *,
        device: str,
        explain: bool,
        window: Window | None,
        recording: Recording | None,
    ) -> None:
        self._source = source
        self._watching = watching
        self._device = device
        self._overlay = Overlay(explain=explain)
        self._window = window
        self._recording = recording
        self._rhythm = Rhythm()
        self._age_ms: float | None = None
        self._status_due = 0.0
        self._mirrored = False
        self._paused = False
        self._quit = False
        self._last: Frame | None = None
        self._picture: Pixels | None = None

    def events(self) -> Iterator[CaptionEvent]:
        """Show and record until the source ends or somebody quits; raises what the source does."""
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
                if self._quit:
                    return
        finally:
            self._source.close()
            if beside is not None:
                beside.close()

    def _show(self, frame: Frame | None) -> None:
        now = time.monotonic()
        if frame is not None:
            self._rhythm.beat()
            self._last = frame
        redraw = frame is not None
        if now >= self._status_due:
            self._status_due = now + _STATUS_S
            self._overlay.status(self._status())
            redraw = True  # on a source that is lost the last frame says so
        if redraw and self._last is not None:
            self._picture = self._drawn(self._last)
        if frame is not None and self._recording is not None and self._picture is not None:
            self._recording.show(self._picture, frame.time_s)
        if self._window is not None and self._picture is not None:
            self._window.show(self._picture)
            self._keys(self._window, frame)

    def _drawn(self, frame: Frame) -> Pixels:
        """The frame in OpenCV's order, a copy, with everything on it."""
        bgr = np.ascontiguousarray(frame.pixels[..., ::-1])
        bgr = import_cv2().flip(bgr, 1) if self._mirrored else bgr.copy()
        self._overlay.draw(bgr)
        return bgr

    def _status(self) -> str:
        if self._source.lost:
            return "no picture: trying again"
        parts = [f"{self._rhythm.fps:.0f} fps"] if self._rhythm.fps else []
        if self._age_ms is not None:
            parts.append(f"caption {self._age_ms:.0f} ms old")
        return "   ".join([*parts, self._device])

    def _keys(self, window: Window, frame: Frame | None) -> None:
        wait_s = 0.0
        if frame is not None and not self._source.live:
            wait_s = self._rhythm.until(frame.time_s)
        self._obey(window.key(wait_s))
        if not self._paused:
            return
        since = time.monotonic()
        while self._paused and not self._quit:
            self._obey(window.key(_TICK_S))
        self._rhythm.stood_still(time.monotonic() - since)

    def _obey(self, key: Key | None) -> None:
        if key is Key.QUIT:
            self._quit = True
        elif key is Key.PAUSE:
            self._paused = not self._paused
        elif key is Key.MIRROR:
            self._mirrored = not self._mirrored
        elif key is Key.SNAPSHOT and self._picture is not None:
            snapshot(self._picture)


def snapshot(bgr: Pixels) -> None:
    """The picture as it is shown, into a PNG of the working folder named by the time."""
    path = Path(f"mrnn-edge-{datetime.now():%Y%m%d-%H%M%S-%f}.png")
    try:
        Image.fromarray(np.ascontiguousarray(bgr[..., ::-1])).save(path)
        say(f"snapshot {path}")
    except OSError as error:
        say(f"{path}: cannot be written ({error}); go to another folder")
