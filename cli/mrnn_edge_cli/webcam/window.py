"""A window that shows frames and takes keys; and whether one can be opened here at all.

Only the thread that opened it may call it. Knows no captions.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from mrnn_edge.camera.capture import import_cv2
from mrnn_edge.image.read import Pixels
from mrnn_edge_cli.doctor.child import ask

_TITLE: Final = "mrnn-edge"
_PROBE_S: Final = 20.0
PAINT_S: Final = 0.020
"""Qt paints while it waits for a key. On two cores under five busy processes a window stayed black
with waits of 1 ms, sometimes with 15, and was drawn with 20."""


class WindowLostError(Exception):
    """The window system failed while the window was open; the view continues without one."""


class Key(StrEnum):
    """The command of a key."""

    QUIT = "quit"
    PAUSE = "pause"
    SNAPSHOT = "snapshot"
    MIRROR = "mirror"


_ESCAPE: Final = "\x1b"
_CHARACTERS = {Key.QUIT: f"q{_ESCAPE}", Key.PAUSE: " p", Key.SNAPSHOT: "s", Key.MIRROR: "m"}
KEYS: Final = {ord(each): key for key, characters in _CHARACTERS.items() for each in characters}


def why_no_window() -> str | None:
    """Why no window can be opened here; None where one can."""
    cv2 = import_cv2()
    if not cv2.currentUIFramework():
        return "this OpenCV has no windows; the extra camera, in place of camera-headless, has"
    if sys.platform == "linux" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        return "there is no display"
    # Qt ends the whole process where a display is named and does not answer: another process tries.
    display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or ""
    failed = "failure" in ask("window", seconds=_PROBE_S)
    return f"the display {display} cannot be opened" if failed else None


class Window:
    """One window, opened with the first picture."""

    def __init__(self) -> None:
        self._cv2 = import_cv2()
        self._open = False

    def show(self, bgr: Pixels) -> None:
        """Show a picture, uint8 [H, W, 3] in OpenCV's order. Raises WindowLostError."""
        cv2 = self._cv2
        with self._errors():
            if not self._open:
                self._open = True
                # GUI_NORMAL: no tool bar of Qt over the picture.
                flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
                cv2.namedWindow(_TITLE, flags)
                cv2.resizeWindow(_TITLE, bgr.shape[1], bgr.shape[0])
            cv2.imshow(_TITLE, bgr)

    def key(self, wait_s: float) -> Key | None:
        """The key pressed within this time, at least 0.02 s; QUIT if the window was closed.

        The window is drawn here: call it after every picture, and at least ten times a second.
        Raises WindowLostError.
        """
        with self._errors():
            pressed = self._cv2.waitKey(round(max(wait_s, PAINT_S) * 1000.0))
            visible = self._cv2.WND_PROP_VISIBLE
            if self._open and self._cv2.getWindowProperty(_TITLE, visible) < 1.0:
                return Key.QUIT
        return KEYS.get(pressed & 0xFF) if pressed >= 0 else None

    def close(self) -> None:
        """Close it; one that cannot be closed is left to the system."""
        if self._open:
            self._open = False
            with contextlib.suppress(self._cv2.error):
                self._cv2.destroyAllWindows()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._cv2.error as error:
            raise WindowLostError(" ".join(str(error).split())) from None
