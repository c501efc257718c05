"""Opens a source by its name, or the caller's own frames, as a FrameSource."""

import os
from collections.abc import Iterable
from typing import TypeAlias

from mrnn_edge.camera.address import SourceKind, parse_address
from mrnn_edge.camera.capture import opener
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
from mrnn_edge.errors import OptionError
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

    A file is opened at once, as is a video at an http address; a live source with its first frame.
    For frames of the caller `selection.fps` is their rate. Raises CameraUnavailableError,
    MissingExtraError without OpenCV, OptionError for a selection of live frames and for an object
    that is not a source.
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
        return Video(address.name, open_capture, selection=selection)
    if address.ends:
        return Video(address.name, open_capture, selection=selection, downloaded=True)
    if selection != ALL:
        raise OptionError(f"{address.name}: every and fps go with a file; live, the newest counts")
    return LiveSource(
        address.name,
        open_capture,
        policy=policy,
        margin_s=MARGIN_S if address.kind is SourceKind.STREAM else 0.0,
        notice=notice,
    )
