"""A text file that grows by entries. A disk that fills ends the file, not the captions.

Knows neither what stands in it nor when an entry comes.
"""

import contextlib
import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import IO

from mrnn_edge_cli.output import say


class Start(StrEnum):
    """What happens to an existing file, as the mode that opens it."""

    NEW = "xb"
    """One that has appeared meanwhile stays. Raises FileExistsError."""
    EMPTY = "wb"
    APPEND = "ab"
    """On a line of its own: a power cut may have left half of one."""


def start_of(path: Path, *, force: bool) -> Start:
    """How to open an output that was checked before: a file that has appeared since stays."""
    is_device = path.exists() and not path.is_file()
    return Start.EMPTY if force or is_device else Start.NEW


class TextFile:
    """An open file. Once an entry could not be written no other is tried."""

    def __init__(self, path: Path, start: Start, *, ended: str) -> None:
        """`ended` is the message of an early end. Raises OSError if it cannot be opened."""
        self._path = path
        self._ended = ended
        # Without a buffer: nothing is left to fail when it is closed or forgotten.
        self._file: IO[bytes] | None = open(path, start, buffering=0)  # noqa: SIM115
        self.failed = False
        if start is Start.APPEND and _ends_within_a_line(path):
            self.write("\n")

    def write(self, text: str) -> None:
        """One entry, handed to the system before this returns."""
        if self._file is None:
            return
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """No more comes."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError as error:  # a file system over a network says only here that it is full
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failed = True
        say(f"{self._path}: {self._ended} ({error}); captions continue")
        file, self._file = self._file, None
        with contextlib.suppress(OSError):  # said already
            if file is not None:
                file.close()


def _ends_within_a_line(path: Path) -> bool:
    """Whether something stands after the last line's end; False where it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False
