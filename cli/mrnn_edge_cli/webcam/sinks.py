"""Where captions go as text: lines or records on standard output, a log, subtitles; errors too."""

import contextlib
import json
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from mrnn_edge.camera.scene import CaptionEvent
from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.explain import caption_line, has_colours
from mrnn_edge_cli.output import say, write


class Sink:
    """An output of captions; what a sink does not need does nothing."""

    @property
    def failed(self) -> bool:
        """Whether the output failed, which was reported."""
        return False

    def event(self, event: CaptionEvent) -> None:
        """A new caption."""

    def error(self, source: str, error: MrnnEdgeError) -> None:
        """The source ended with this error, which the command prints."""

    def close(self) -> None:
        """End the output."""


class Lines(Sink):
    """TIME<TAB>caption on standard output, with `explain` the bits of caption and words too."""

    def __init__(self, *, explain: bool) -> None:
        self._explain = explain

    def event(self, event: CaptionEvent) -> None:
        line = caption_line(event.caption, explain=self._explain, coloured=has_colours())
        write(f"{clock_time(event.time_s)}\t{line}")


class Records(Sink):
    """One JSON record per line, on standard output unless `put` takes them."""

    def __init__(self, put: Callable[[str], None] = write) -> None:
        self._put = put

    def event(self, event: CaptionEvent) -> None:
        self._put(json.dumps(event.to_record(), allow_nan=False))

    def error(self, source: str, error: MrnnEdgeError) -> None:
        failure: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
        self._put(json.dumps({"file": source, "error": failure}))


class Log(Records):
    """The same records in a file. A full disk ends the log, not the captions."""

    def __init__(self, path: Path, *, append: bool, force: bool) -> None:
        self._file = TextFile(path, ended="the log ends here", append=append, force=force)
        super().__init__(lambda record: self._file.write(f"{record}\n"))

    @property
    def failed(self) -> bool:
        return self._file.failed

    def close(self) -> None:
        self._file.close()


class SubtitleFormat(StrEnum):
    """The two that players read."""

    SRT = "srt"
    VTT = "vtt"


class Subtitles(Sink):
    """Cues, each written when it ends; the last one ends at `end_s()`, the end of what was seen."""

    def __init__(
        self, path: Path, kind: SubtitleFormat, *, force: bool, end_s: Callable[[], float]
    ) -> None:
        self._kind = kind
        self._end_s = end_s
        self._file = TextFile(path, ended="the subtitles end here", force=force)
        self._open: CaptionEvent | None = None
        self._cues = 0
        if kind is SubtitleFormat.VTT:
            self._file.write("WEBVTT\n\n")

    @property
    def failed(self) -> bool:
        return self._file.failed

    def event(self, event: CaptionEvent) -> None:
        self._cue(event.time_s)
        self._open = event

    def close(self) -> None:
        self._cue(self._end_s())
        self._file.close()

    def _cue(self, end_s: float) -> None:
        """Write the caption that was shown until now."""
        event, self._open = self._open, None
        if event is None or not event.caption.text or end_s <= event.time_s:
            return
        self._cues += 1
        times = f"{stamp(event.time_s, self._kind)} --> {stamp(end_s, self._kind)}"
        self._file.write(f"{self._cues}\n{times}\n{event.caption.text}\n\n")


def stamp(seconds: float, kind: SubtitleFormat) -> str:
    """HH:MM:SS,mmm in SRT, HH:MM:SS.mmm in WebVTT."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    comma = "," if kind is SubtitleFormat.SRT else "."
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{comma}{rest % 1000:03d}"


def clock_time(seconds: float) -> str:
    """1:02:03.45 for people; hours where there are any."""
    minutes, rest = divmod(round(max(seconds, 0.0) * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 100:02d}.{rest % 100:02d}"


class TextFile:
    """A file that grows by entries. After one that could not be written no other is tried."""

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
