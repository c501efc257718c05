"""The one importer of cv2: found or named as missing, and kept from writing to standard error."""

import os
from types import ModuleType

from mrnn_edge.errors import MissingExtraError

_QUIET = {
    # OpenCV, FFmpeg (AV_LOG_QUIET) and Qt write to standard error past Python. Whoever debugs them
    # sets the variables, and then these do not.
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_VIDEOIO_DEBUG": "0",
    "QT_LOGGING_RULES": "*=false",
}
_STREAMS = "rtsp_transport;tcp"
"""Over UDP, FFmpeg's first choice, a busy network gives torn pictures."""


def import_cv2() -> ModuleType:
    """OpenCV. Raises MissingExtraError where it is not installed or cannot be imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _STREAMS)
    try:
        import cv2

        cv2.VideoCapture  # noqa: B018  # absent where one of two wheels was uninstalled
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(
            f"OpenCV ({error}; without a display take the extra camera-headless)", "camera"
        ) from None
    module: ModuleType = cv2
    return module


def takes_path(path: str) -> bool:
    """Whether cv2 can be given a path: one that is not UTF-8 ends the process (SIGSEGV, 5.0)."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
