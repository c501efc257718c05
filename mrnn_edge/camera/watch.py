"""Frames in, captions out when the scene changes: the loop, here or in a thread beside another.

Takes a FrameSource and a Scene; knows neither where frames come from nor how they are captioned.
"""

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from mrnn_edge.camera.frames import Frame, FrameSource, Notice, unheard
from mrnn_edge.camera.live import Slot
from mrnn_edge.camera.scene import CaptionEvent, Scene
from mrnn_edge.errors import InputError

TICK_S: Final = 0.1
"""How long a loop waits for a frame before it does other work."""
_FAREWELL_S: Final = 2.0
_EARLY_S: Final = 1e-4
"""Tolerance: times and sums of intervals are inexact."""


class Watch:
    """Checks the frames that are due, on average one interval apart at any frame rate.

    A late check does not delay the next one.
    """

    def __init__(self, scene: Scene, *, interval_s: float, notice: Notice = unheard) -> None:
        self._scene = scene
        self._interval_s = interval_s
        self._notice = notice
        self._due_s = -math.inf
        self.latest_s = 0.0
        """The time of the last frame, checked or not."""
        self._connection = 0
        self._unread = ""

    def see(self, frame: Frame) -> CaptionEvent | None:
        """The caption of a frame, if it is due and the scene has changed."""
        self.latest_s = frame.time_s
        if frame.connection != self._connection:
            # After a loss the scene is captioned in any case.
            self._connection = frame.connection
            self._scene.forget()
            self._due_s = -math.inf
        elif frame.time_s < self._due_s - _EARLY_S:
            return None
        self._due_s += self._interval_s
        if self._due_s <= frame.time_s + _EARLY_S:  # the first, or after a pause
            self._due_s = frame.time_s + self._interval_s
        try:
            event = self._scene.look(frame)
        except InputError as error:
            if str(error) != self._unread:  # report the same error once
                self._unread = str(error)
                self._notice(f"frame {frame.number}: {error}")
            return None
        if event is not None:
            self._unread = ""
        return event

    def captions(self, frames: Iterable[Frame | None]) -> Iterator[CaptionEvent]:
        """The captions of a source's frames, one each time the scene changes."""
        for frame in frames:
            event = None if frame is None else self.see(frame)
            if event is not None:
                yield event


def watch(source: FrameSource, watching: Watch) -> Iterator[CaptionEvent]:
    """The captions of a source until it ends. The source is closed then, and with the generator.

    Raises what the source raises: CameraUnavailableError, CameraLostError, TruncatedVideoError.
    """
    try:
        yield from watching.captions(source.frames(tick=TICK_S))
    finally:
        source.close()


class WatchBeside:
    """A Watch in its own thread, for a loop that shows every frame and must not wait.

    It reads the newest offered frame; those offered while it decodes count as dropped.
    """

    def __init__(self, watching: Watch) -> None:
        self._watching = watching
        self._slot = Slot()
        self._events: deque[CaptionEvent] = deque()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mrnn-edge watch", daemon=True)
        self._thread.start()

    def see(self, frame: Frame) -> CaptionEvent | None:
        """Offer a frame; return the next finished caption, if any, of an earlier frame.

        Raises the exception of the thread.
        """
        self._slot.put(frame)
        return self.ready()

    def ready(self) -> CaptionEvent | None:
        """The next finished caption, if any. After the last one raises the thread's exception."""
        if self._events:
            return self._events.popleft()
        if self._failure is not None:
            raise self._failure
        return None

    def close(self) -> None:
        """Finish the current caption and end the thread."""
        self._slot.close()
        self._thread.join(_FAREWELL_S)

    def _run(self) -> None:
        try:
            while not self._slot.closed:
                frame = self._slot.take(TICK_S)
                event = None if frame is None else self._watching.see(frame)
                if event is not None:
                    self._events.append(event)
        except BaseException as error:  # raised in the thread that calls ready()
            self._failure = error
