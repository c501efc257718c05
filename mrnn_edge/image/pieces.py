"""A file that is made of pieces of another, and of bytes that stand in for the rest.

Nothing is copied: a picture of a gigabyte costs here what its list of pieces does.
"""

import io
import itertools
import os
from bisect import bisect_right
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Piece: TypeAlias = bytes | range
"""What stands there, or which bytes of the file below do."""


def joined(file: IO[bytes], pieces: Sequence[Piece]) -> io.BufferedReader:
    """The pieces one after the other, to be read. Closing it leaves the file below open."""
    return io.BufferedReader(_Pieces(file, pieces))


class _Pieces(io.RawIOBase):
    def __init__(self, file: IO[bytes], pieces: Sequence[Piece]) -> None:
        self._file = file
        self._pieces = pieces
        self._starts = list(itertools.accumulate(map(len, pieces), initial=0))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError(f"{base + offset} lies before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Bytes read: none at the end, and none any more where the file below ends early."""
        view = memoryview(buffer).cast("B")
        found = bisect_right(self._starts, self._at) - 1
        if found == len(self._pieces):
            return 0
        piece, skip = self._pieces[found], self._at - self._starts[found]
        wanted = min(len(view), len(piece) - skip)
        if isinstance(piece, bytes):
            data = piece[skip : skip + wanted]
        else:
            self._file.seek(piece.start + skip)
            data = self._file.read(wanted)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
