"""Frames in, captions out when the scene changes: the loop, here or in a thread beside another.

Takes a FrameSource and a Scene; knows neither how frames are had nor how they are described.
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
"""How long a loop waits for a frame before it looks whether anything else is to be done."""
_FAREWELL_S: Final = 2.0
_EARLY_S: Final = 1e-4
"""The sum of intervals is not exact, and times are not."""


class Watch:
    """Looks at the frames that are due, in the mean an interval apart whatever their rate: a look
    that comes late does not put the next one off."""

    def __init__(self, scene: Scene, *, interval_s: float, notice: Notice = unheard) -> None:
        self._scene = scene
        self._interval_s = interval_s
        self._notice = notice
        self._due_s = -math.inf
        self._latest_s = 0.0
        self._connection = 0
        self._unread = ""

    @property
    def latest_s(self) -> float:
        """The time of the last frame that came, looked at or not."""
        return self._latest_s

    def see(self, frame: Frame) -> CaptionEvent | None:
        """The caption of a frame that is due and shows something else than before."""
        self._latest_s = frame.time_s
        if frame.connection != self._connection:
            # Who was told that the source was lost is told what it shows now, changed or not.
            self._connection = frame.connection
            self._scene.forget()
            self._due_s = -math.inf
        elif frame.time_s < self._due_s - _EARLY_S:
            return None
        self._due_s += self._interval_s
        if self._due_s <= frame.time_s + _EARLY_S:  # the first, or one after a silence
            self._due_s = frame.time_s + self._interval_s
        try:
            event = self._scene.look(frame)
        except InputError as error:
            if str(error) != self._unread:  # not the same line for hours
                self._unread = str(error)
                self._notice(f"frame {frame.number}: {error}")
            return None
        if event is not None:
            self._unread = ""
        return event

    def over(self, frames: Iterable[Frame | None]) -> Iterator[CaptionEvent]:
        """The captions of a source's frames, one when the scene has changed."""
        for frame in frames:
            event = None if frame is None else self.see(frame)
            if event is not None:
                yield event


def watch(source: FrameSource, watching: Watch) -> Iterator[CaptionEvent]:
    """The captions of a source until it ends; it is closed then, or when nobody takes any more.

    Raises what the source raises: CameraUnavailableError, CameraLostError, TruncatedVideoError.
    """
    try:
        yield from watching.over(source.frames(tick=TICK_S))
    finally:
        source.close()


class WatchBeside:
    """A Watch in a thread of its own, for a loop that shows every frame and must not wait.

    It takes the newest frame that was offered; those that came while it decoded count as dropped.
    """

    def __init__(self, watching: Watch) -> None:
        self._watching = watching
        self._slot = Slot()
        self._events: deque[CaptionEvent] = deque()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mrnn-edge watch", daemon=True)
        self._thread.start()

    def see(self, frame: Frame) -> CaptionEvent | None:
        """Offer a frame; the next caption that is ready, if there is one, of an earlier frame.

        Raises what the thread met.
        """
        self._slot.put(frame)
        return self.ready()

    def ready(self) -> CaptionEvent | None:
        """The next caption that is ready. Raises what the thread met after the last one."""
        if self._events:
            return self._events.popleft()
        if self._failure is not None:
            raise self._failure
        return None

    def close(self) -> None:
        """Finish the caption at hand and end the thread."""
        self._slot.close()
        self._thread.join(_FAREWELL_S)

    def _run(self) -> None:
        try:
            while not self._slot.closed:
                frame = self._slot.take(TICK_S)
                event = None if frame is None else self._watching.see(frame)
                if event is not None:
                    self._events.append(event)
        except BaseException as error:  # goes to the thread that shows; nothing else would see it
            self._failure = error
