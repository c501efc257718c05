"""Opens a source by its name, or the caller's own frames, as a FrameSource."""

import os
import threading
from collections.abc import Iterable
from typing import TypeAlias

from mrnn_edge.camera.address import SourceKind, parse_address
from mrnn_edge.camera.capture import Capture, OpenCapture, opener
from mrnn_edge.camera.frames import (
    ALL,
    Frame,
    FrameSource,
    Notice,
    ReconnectPolicy,
    Selection,
    unheard,
)
from mrnn_edge.camera.live import MARGIN_S, LiveSource
from mrnn_edge.camera.pictures import GivenFrames, PictureSequence, list_pictures
from mrnn_edge.camera.video import Video
from mrnn_edge.errors import CameraUnavailableError, OptionError
from mrnn_edge.image.read import Pixels

Source: TypeAlias = "int | str | os.PathLike[str] | Iterable[Pixels | Frame]"


def source_files(source: str) -> list[str]:
    """The files behind a source's name; none for a device or a stream.

    Raises CameraUnavailableError for a sequence without a picture, OptionError as `open_source`.
    """
    address = parse_address(source)
    if address.kind is SourceKind.PICTURES:
        return list_pictures(address.location)
    return [address.location] if address.kind is SourceKind.VIDEO else []


def open_source(
    source: Source,
    *,
    selection: Selection = ALL,
    policy: ReconnectPolicy | None = None,
    notice: Notice = unheard,
) -> FrameSource:
    """A device, stream, file or sequence by its name (address.py), or frames of the caller's own.

    A file is opened at once, a live source with its first frame. An http address, which may be
    either, is opened at once too. For frames of the caller `selection.fps` is their rate. Raises
    CameraUnavailableError, MissingExtraError without OpenCV, OptionError for a selection of live
    frames and for an object that is not a source.
    """
    if not isinstance(source, int | str | os.PathLike):
        if selection.every != 1:
            raise OptionError("every goes with a file; leave out the frames yourself")
        return GivenFrames(source, rate=selection.fps)
    address = parse_address(source)
    policy = policy or ReconnectPolicy()
    if address.kind is SourceKind.PICTURES:
        return PictureSequence(address.location, selection=selection, notice=notice)
    open_capture = opener(address, policy)
    if address.kind is SourceKind.VIDEO:
        return Video(address.name, open_capture, selection=selection, path=address.location)
    margin_s = MARGIN_S if address.kind is SourceKind.STREAM else 0.0
    ahead: OpenedAhead | None = None
    if address.may_end:
        open_capture = ahead = OpenedAhead(
            open_capture, name=address.name, limit_s=policy.open_s + margin_s
        )
        if ahead.length() is not None:
            return Video(address.name, ahead, selection=selection)
        if selection != ALL:
            ahead().release()  # or what it met
    if selection != ALL:
        raise OptionError(f"{address.name}: every and fps go with a file; live, the newest counts")
    return LiveSource(
        address.name,
        open_capture,
        policy=policy,
        margin_s=margin_s,
        notice=notice,
        let_go=None if ahead is None else ahead.release,
    )


class OpenedAhead:
    """An OpenCapture, opened ahead in a thread because the kind of source depends on the capture.

    Opening may hang in C, out of reach of Ctrl-C and timeouts; a thread can be left behind. The
    first call returns the capture or raises the failure; each later call opens again.
    """

    def __init__(self, open_capture: OpenCapture, *, name: str, limit_s: float) -> None:
        """Open, and wait at most `limit_s` seconds."""
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
        """Frames of the capture; None if it has no end or did not open."""
        return None if self._capture is None else self._capture.length()

    def release(self) -> None:
        """Close an unused capture; callable from another thread."""
        with self._done:
            capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def __call__(self) -> Capture:
        """Hand over the capture."""
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
        except Exception as error:  # cv2.error too; raised by the first call
            failure = error
        with self._done:
            if not self._left:
                self._capture, self._failure = capture, failure
                self._done.notify()
                return
        if capture is not None:
            capture.release()
