"""The one importer of cv2: found or named as missing, and kept from writing to standard error."""

import glob
import math
import os
import socket
import stat
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import numpy as np

from mrnn_edge.camera.address import HIDDEN, Address, SourceKind, hide_credentials
from mrnn_edge.camera.frames import ReconnectPolicy
from mrnn_edge.errors import CameraUnavailableError, MissingExtraError
from mrnn_edge.image.read import Pixels

_QUIET = {
    # OpenCV, FFmpeg (AV_LOG_QUIET) and Qt write to standard error past Python. Variables that the
    # user has set stay.
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


_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
_KNOCK_S: Final = 2.0


class Capture:
    """An open device, stream or file. `grab` and `retrieve` block; one thread calls them."""

    def __init__(self, capture: Any) -> None:
        """`capture` is an open cv2.VideoCapture."""
        self._cv2 = import_cv2()
        self._capture = capture

    def grab(self) -> bool:
        """Wait for the next frame; False if none comes, whatever the reason."""
        return bool(self._capture.grab())

    def retrieve(self) -> Pixels | None:
        """The grabbed frame, uint8 [H, W, 3] RGB, a view of OpenCV's BGR; None if unusable."""
        done, image = self._capture.retrieve()
        return bgr_to_rgb(image) if done and image is not None else None

    def rate(self) -> float | None:
        """Frames a second; OpenCV returns 0, 180000 and the like for an unknown rate."""
        rate = float(self._capture.get(self._cv2.CAP_PROP_FPS))
        return rate if math.isfinite(rate) and 0.01 <= rate <= 1000.0 else None

    def length(self) -> int | None:
        """Frames by the header; OpenCV returns negative or absurd numbers without one."""
        count = float(self._capture.get(self._cv2.CAP_PROP_FRAME_COUNT))
        return int(count) if math.isfinite(count) and 0.0 < count < 1e9 else None

    def position_s(self) -> float | None:
        """Time of the grabbed frame, in seconds from the start of the file."""
        position = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000.0
        return position if math.isfinite(position) and position >= 0.0 else None

    def release(self) -> None:
        """Close it."""
        self._capture.release()


OpenCapture: TypeAlias = Callable[[], Capture]
"""Opens a capture; may block. Raises CameraUnavailableError."""


def opener(address: Address, policy: ReconnectPolicy) -> OpenCapture:
    """A function that opens a device, a stream or a video file.

    Raises MissingExtraError at once where there is no OpenCV.
    """
    cv2 = import_cv2()
    location = address.location

    def open_capture() -> Capture:
        if not takes_path(location):
            raise CameraUnavailableError(
                f"{address.name}: the name is not UTF-8, which OpenCV cannot open; rename it"
            )
        if address.kind is SourceKind.DEVICE:
            backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
            where = int(location) if location.isdigit() else location
            capture = cv2.VideoCapture(where, backend)
        elif address.kind is SourceKind.STREAM:
            # The limits apply only where the backend is named (opencv#23207).
            limits = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                int(policy.open_s * 1000),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                int(policy.stall_s * 1000),
            ]
            capture = cv2.VideoCapture(location, cv2.CAP_FFMPEG, limits)
        else:
            check_file(location)
            # FFmpeg takes what stands before a colon for a protocol, but after no slash.
            capture = cv2.VideoCapture(os.path.abspath(location))
        if not capture.isOpened():
            capture.release()
            raise CameraUnavailableError(f"{address.name}: {_why_closed(address)}")
        return Capture(capture)

    return open_capture


def bgr_to_rgb(image: Any) -> Pixels | None:
    """OpenCV's uint8 or uint16 [H, W] or [H, W, 1, 3 or 4] as uint8 [H, W, 3] RGB, else None.

    Grey becomes three equal channels, a fourth channel is dropped, 16 bits become 8.
    """
    if not isinstance(image, np.ndarray) or image.size == 0:
        return None
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        return None
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        return None
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    rgb: Pixels = image[..., 2::-1]
    return rgb


def check_file(path: str) -> None:
    """Raise CameraUnavailableError unless a regular file can be read there."""
    shown = hide_credentials(path)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise CameraUnavailableError(f"{shown}: is not a regular file; expected a video")
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise CameraUnavailableError(
            f"{shown}: no such file; expected a video, a device such as 0 or a URL"
        ) from None
    except PermissionError:
        raise CameraUnavailableError(
            f"{shown}: no permission to read it; check its owner and mode"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error  # without the path
        raise CameraUnavailableError(f"{shown}: cannot be read ({reason})") from None


def _why_closed(address: Address) -> str:
    if address.kind is SourceKind.DEVICE:
        return _why_no_device(address.location)
    if address.kind is SourceKind.STREAM:
        return _why_no_stream(address.name)
    return _why_no_video(address.location)


def _why_no_device(location: str) -> str:
    if sys.platform != "linux":
        return "no camera there, or another program has it; try 0, 1 or 2, or close the program"
    path = f"/dev/video{location}" if location.isdigit() else location
    if not os.path.exists(path):
        there = ", ".join(sorted(glob.glob("/dev/video*"))) or "no camera at all"
        return f"no camera there ({path} does not exist; found: {there}); see `mrnn-edge doctor`"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"no permission for {path}; add yourself to its group, mostly `video`"
    return (
        f"{path} does not open as a camera: another program has it (see `fuser -v {path}`), "
        "or it is one of the nodes of a camera that give no picture; try the next number"
    )


def _why_no_stream(shown: str) -> str:
    """By the URL without its password: nothing of that is to be quoted."""
    try:
        parts = urlsplit(shown)
        usual = _PORTS.get(parts.scheme.lower())
        port = parts.port or usual
    except ValueError:
        return "is no URL with a host and a port; check it"
    if parts.hostname == HIDDEN:
        return "gives no video; check address, user and password"
    # Some of the others are UDP and answer no connection.
    if not parts.hostname or port is None or usual is None:
        return "gives no video; check that it is being sent"
    try:
        socket.create_connection((parts.hostname, port), timeout=_KNOCK_S).close()
    except socket.gaierror:
        return f"the host {parts.hostname} is not known; check the name and the network"
    except ConnectionRefusedError:
        return f"nothing listens at {parts.hostname}:{port}; check address and port"
    except OSError as error:
        return f"{parts.hostname}:{port} does not answer ({error}); check address and network"
    return (
        f"{parts.hostname}:{port} answers, but gives no video; "
        "check the path, the user and the password"
    )


def _why_no_video(path: str) -> str:
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        return "is empty; expected a video"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "looks like text; expected a video"
    return "does not open as a video: no video, cut off, or of a kind that OpenCV cannot read here"
