"""XML and HTML files with a comment near their end that holds the sha256 of all the rest.

While it matches, nobody has edited the file since the command wrote it, so it may be replaced.
"""

import hashlib
import re
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Final

_SEAL: Final = re.compile(rb"<!-- mrnn-edge (\w+) sha256 ([0-9a-f]{64}) -->")
_SEALED_TAIL: Final = 256
"""The seal stands within so many bytes of the end."""


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
        """Write the seal and the end of the file, which has at most 100 bytes."""
        self._digest.update(tail)
        seal = f"<!-- mrnn-edge {self._kind} sha256 {self._digest.hexdigest()} -->"
        self._file.write(seal.encode())
        self._file.write(tail)


def is_sealed(path: Path, kind: str) -> bool:
    """Whether a file is, byte for byte, what a SealedWriter of this kind wrote.

    Raises OSError if it cannot be read.
    """
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        seals = list(_SEAL.finditer(data, max(0, len(data) - _SEALED_TAIL)))
        if not seals or seals[-1][1] != kind.encode():
            return False
        with memoryview(data) as whole:
            digest = hashlib.sha256(whole[: seals[-1].start()])
            digest.update(whole[seals[-1].end() :])
        return digest.hexdigest().encode() == seals[-1][2]
