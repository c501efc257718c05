"""Whatever the caller calls a source, as a FrameSource."""

import os
from collections.abc import Iterable
from typing import TypeAlias

from mrnn_edge.camera.address import SourceKind, parse_address
from mrnn_edge.camera.capture import opener
from mrnn_edge.camera.files import GivenFrames, PictureSequence, VideoFile
from mrnn_edge.camera.frames import ALL, Frame, FrameSource, Selection
from mrnn_edge.camera.live import LiveSource, Notice, unheard
from mrnn_edge.camera.reconnect import ReconnectPolicy
from mrnn_edge.errors import OptionError
from mrnn_edge.image import Pixels

Source: TypeAlias = "int | str | os.PathLike[str] | Iterable[Pixels | Frame]"


def open_source(
    source: Source,
    *,
    selection: Selection = ALL,
    policy: ReconnectPolicy | None = None,
    notice: Notice = unheard,
) -> FrameSource:
    """A device, stream, file or sequence by its name (address.py), or frames of the caller's own.

    A file is opened here, a live source with its first frame. For frames of the caller `selection`
    can hold a rate, `fps`, which gives them their times. Raises CameraUnavailableError,
    MissingExtraError without OpenCV, OptionError for a selection of live frames.
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
        return VideoFile(address.name, open_capture, selection=selection)
    if selection != ALL:
        raise OptionError(f"{address.name}: every and fps go with a file; live, the newest counts")
    return LiveSource(address.name, open_capture, policy=policy, notice=notice)
