"""Whether a video's file is all there, by the sizes that its container declares.

How many frames a header promises tells nothing: FFmpeg makes the number of Matroska from duration
and rate, also where the sound is longer or the rate varies, and that of an MP4 counts what an edit
list leaves out. What a container says of its own bytes is evidence. Reads headers alone; knows
MP4 and QuickTime, AVI, Matroska and WebM, and nothing of what is in them.
"""

import os
from collections.abc import Callable
from typing import IO, Final

_BOXES: Final = frozenset(
    b"ftyp styp moov moof mdat mfra sidx ssix pdin meta uuid udta free skip wide pnot".split()
)
"""Of the top level (ISO/IEC 14496-12, QuickTime). After another name no size is believed."""
_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"


def bytes_declared(path: str) -> int | None:
    """The size in bytes that the container says its file has, or that it has reached at least.

    None where it does not say: another container, or one that was written to a pipe or never
    finished. Raises OSError.
    """
    with open(path, "rb") as file:
        head = file.read(12)
        reached: Callable[[IO[bytes]], int | None]
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            reached = _riff
        elif head[:4] == _EBML:
            reached = _matroska
        elif head[4:8] in _BOXES:
            reached = _boxes
        else:
            return None
        file.seek(0)
        return reached(file)


def bytes_missing(path: str) -> int:
    """How many bytes of the file its container declares and the disk lacks. Raises OSError."""
    return max((bytes_declared(path) or 0) - os.path.getsize(path), 0)


def _boxes(file: IO[bytes]) -> int | None:
    """ISO/IEC 14496-12, 4.2: size and name; size 1 has 64 bits more, size 0 goes to the end."""
    end, there = 0, os.fstat(file.fileno()).st_size
    while len(head := file.read(8)) == 8 and head[4:] in _BOXES:
        size, least = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, least = int.from_bytes(file.read(8), "big"), 16
        if size < least:
            break
        end += size
        if end >= there:  # nor can every place beyond be sought
            break
        file.seek(end)
    return end or None


def _riff(file: IO[bytes]) -> int | None:
    """One RIFF chunk, and in a large file (OpenDML) more of them behind it."""
    end = 0
    while len(head := file.read(8)) == 8 and head[:4] == b"RIFF":
        size = int.from_bytes(head[4:], "little")
        if size in (0, 0xFFFFFFFF):  # not finished
            break
        end = file.tell() + size
        file.seek(size + size % 2, os.SEEK_CUR)  # the next begins at an even place
    return end or None


def _matroska(file: IO[bytes]) -> int | None:
    """RFC 8794 and 9559: the header's element, then the segment, each with its size."""
    file.read(4)
    size = _vint(file)
    if size is None:
        return None
    if size > os.fstat(file.fileno()).st_size:
        return file.tell() + size
    file.seek(size, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return None
    size = _vint(file)
    return None if size is None else file.tell() + size


def _vint(file: IO[bytes]) -> int | None:
    """An element's size (RFC 8794, 4): as many bytes as the first one has zeros before its one,
    and one more; None for one that is unknown, all ones."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(first + file.read(more), "big")
    ones = (1 << 7 * (more + 1)) - 1
    return None if value & ones == ones else value & ones
