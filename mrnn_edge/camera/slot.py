"""The one place between a thread that captures and one that looks: it holds the newest frame."""

import threading
from dataclasses import replace

from mrnn_edge.camera.frames import Frame


class Slot:
    """Holds one frame. A new one takes the place of the one that nobody took, which is counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._dropped = 0
        self._closed = False

    @property
    def dropped(self) -> int:
        """Frames that were replaced before they were taken."""
        return self._dropped

    @property
    def closed(self) -> bool:
        """No frame comes any more; one may still be in here."""
        return self._closed

    def put(self, frame: Frame) -> None:
        """Leave a frame; one that is here is dropped for it."""
        with self._changed:
            self._dropped += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def take(self, timeout: float) -> Frame | None:
        """The newest frame, as soon as there is one; None after `timeout` seconds or at the end.

        Its `dropped` counts what was dropped here too.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout)
            frame, self._frame = self._frame, None
            if frame is None:
                return None
            return replace(frame, dropped=frame.dropped + self._dropped)

    def close(self) -> None:
        """Wake whoever waits: no frame comes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
