"""Files that show whether they were edited since the command wrote them.

A sealed file is XML or HTML with a comment near its end that holds the sha256 of all the rest.
While it matches, the file is as written and may be replaced.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import IO, Final

_SEAL: Final = re.compile(rb"<!-- mrnn-edge (\w+) sha256 ([0-9a-f]{64}) -->")
_SEALED_TAIL: Final = 256
"""The seal stands within so many bytes of the end."""
_CHUNK: Final = 1 << 20


class SealedWriter:
    """Writes the parts of a file and ends it with its seal.

    `kind` is a word of letters, so that a page never replaces a sidecar.
    """

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self._file = file
        self._kind = kind
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """The next part."""
        self._digest.update(data)
        self._file.write(data)

    def end(self, tail: bytes) -> None:
        """The seal and, behind it, the end of the file: at most some 100 bytes."""
        self._digest.update(tail)
        seal = f"<!-- mrnn-edge {self._kind} sha256 {self._digest.hexdigest()} -->"
        self._file.write(seal.encode())
        self._file.write(tail)


def is_sealed(path: Path, kind: str) -> bool:
    """Whether a file is, byte for byte, what a SealedWriter of this kind wrote.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _SEALED_TAIL)
        file.seek(start)
        end = file.read()
        seals = list(_SEAL.finditer(end))
        if not seals or seals[-1][1] != kind.encode():
            return False
        digest = hashlib.sha256()
        left = start + seals[-1].start()
        file.seek(0)
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    digest.update(end[seals[-1].end() :])
    return digest.hexdigest().encode() == seals[-1][2]
