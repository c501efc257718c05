"""A capture that is opened ahead, in a thread: what it is decides what kind of source it makes.

Opening may hang in C, where neither Ctrl-C nor a limit of time reaches; a thread can be left
behind. Knows no cv2.
"""

import threading

from mrnn_edge.camera.capture import Capture, OpenCapture
from mrnn_edge.errors import CameraUnavailableError


class OpenedAhead:
    """An OpenCapture: the first call gives what was opened ahead, or raises what that met; each
    later one opens anew."""

    def __init__(self, open_capture: OpenCapture, *, name: str, limit_s: float) -> None:
        """Open, and wait for it for so many seconds."""
        self._open = open_capture
        self._done = threading.Condition()
        self._capture: Capture | None = None
        self._failure: Exception | None = None
        self._left = False
        threading.Thread(target=self._run, name="mrnn-edge open", daemon=True).start()
        with self._done:
            if not self._done.wait_for(lambda: self._capture or self._failure, limit_s):
                self._left = True
                self._failure = CameraUnavailableError(
                    f"{name}: does not open within {limit_s:g} s; check that it is on, and the "
                    "address"
                )

    def length(self) -> int | None:
        """Frames of what was opened; None where that has no end, or where it did not open."""
        return None if self._capture is None else self._capture.length()

    def release(self) -> None:
        """Close what nobody has taken; from another thread too."""
        with self._done:
            capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def __call__(self) -> Capture:
        """Give the capture away."""
        with self._done:
            capture, self._capture = self._capture, None
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return self._open() if capture is None else capture

    def _run(self) -> None:
        capture: Capture | None = None
        failure: Exception | None = None
        try:
            capture = self._open()
        except Exception as error:  # cv2.error too; raised where the capture is taken
            failure = error
        with self._done:
            if not self._left:
                self._capture, self._failure = capture, failure
                self._done.notify()
                return
        if capture is not None:
            capture.release()
