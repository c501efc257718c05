"""A text file that grows by entries. A disk that fills ends the file, not the captions."""

import contextlib
import os
from pathlib import Path
from typing import IO

from mrnn_edge_cli.output import say


class TextFile:
    """An open file. After an entry that could not be written no other is tried."""

    def __init__(
        self, path: Path, *, ended: str, append: bool = False, force: bool = False
    ) -> None:
        """`ended` is the message of an early end.

        `append` continues the file on a line of its own: a power cut may have left half of one.
        `force` replaces it. Without either raises FileExistsError; OSError if it cannot be opened.
        """
        is_device = path.exists() and not path.is_file()
        mode = "ab" if append else "wb" if force or is_device else "xb"
        self._path = path
        self._ended = ended
        # Without a buffer: closing has nothing left to write.
        self._file: IO[bytes] | None = open(path, mode, buffering=0)  # noqa: SIM115
        self.failed = False
        if append and _ends_within_a_line(path):
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
        """Close the file."""
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
    """Whether the last line of a file has no end; False if the file is empty or unreadable."""
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
    return False
