"""Many files: which they are, and one outcome each, in order. Knows paths, decodes nothing."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mrnn_edge.captioner import Captioner
from mrnn_edge.config import DecodeOptions
from mrnn_edge.errors import InputError
from mrnn_edge.formats import SUFFIXES
from mrnn_edge.records import Caption

STANDARD_INPUT: Final = "-"
"""The name under which a picture is read from standard input."""
MAX_STDIN_BYTES: Final = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one file."""

    file: str
    result: Caption | InputError

    def to_record(self) -> dict[str, Any]:
        """The JSON record: a caption's, or an error's."""
        if isinstance(self.result, Caption):
            return self.result.to_record(self.file)
        error = {"type": type(self.result).__name__, "message": str(self.result)}
        return {"file": self.file, "error": error}

    @property
    def failure(self) -> str | None:
        """Why there is no caption, in one line that begins with the file; None if there is one."""
        if isinstance(self.result, Caption):
            return None
        reason = str(self.result)
        return reason if reason.startswith(self.file) else f"{self.file}: {reason}"


def list_files(paths: Iterable[str], *, recursive: bool) -> Iterator[str]:
    """The files that were named, and with `recursive` the pictures below each folder.

    A named file comes whatever its suffix, missing or not: its outcome tells. A folder gives the
    files with a picture's suffix in byte order of their paths; links to folders are not followed.
    """
    for path in paths:
        if recursive and os.path.isdir(path):
            yield from sorted(_pictures_below(path), key=os.fsencode)
        else:
            yield path


def _pictures_below(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.join(parent, name)


def caption_files(
    captioner: Captioner, files: Iterable[str], options: DecodeOptions
) -> Iterator[Outcome]:
    """One outcome a file, in order; `-` is standard input. One that fails touches no other."""
    for file in files:
        (result,) = captioner.caption_batch([open_source(file)], options)
        yield Outcome(file=file, result=result)


def open_source(file: str) -> str | bytes:
    """The path itself, or for `-` the bytes of standard input, as the library takes pictures."""
    if file != STANDARD_INPUT:
        return file
    # Read no further than a picture can reach: an endless pipe must not fill the memory. What was
    # cut off is refused as truncated.
    return b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_STDIN_BYTES)
