"""Where captions go as text: lines or records on standard output, records in a log, an error too.

Takes events, writes; knows no frames.
"""

import json
from pathlib import Path
from typing import Any, Protocol

from mrnn_edge.camera.scene import CaptionEvent
from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge.language.records import Caption
from mrnn_edge_cli.explain import bits, explained, has_colours
from mrnn_edge_cli.output import write
from mrnn_edge_cli.webcam.text_file import Start, TextFile

UNSURE = "not sure"


class Sink(Protocol):
    """An output of captions."""

    @property
    def failed(self) -> bool:
        """Whether an output failed; that was reported."""
        ...

    def event(self, event: CaptionEvent) -> None:
        """A new caption."""
        ...

    def error(self, source: str, error: MrnnEdgeError) -> None:
        """The source ended with this."""
        ...

    def close(self) -> None:
        """No more comes."""
        ...


class Quiet:
    """A sink whose other methods do nothing."""

    @property
    def failed(self) -> bool:
        """Nothing can fail."""
        return False

    def error(self, source: str, error: MrnnEdgeError) -> None:
        """Nothing: the command prints it."""

    def close(self) -> None:
        """Nothing."""


class Lines(Quiet):
    """TIME<TAB>caption on standard output, with `explain` the bits of caption and words too."""

    def __init__(self, *, explain: bool) -> None:
        self._explain = explain

    def event(self, event: CaptionEvent) -> None:
        """One line."""
        caption = event.caption
        line = f"{clock_time(event.time_s)}\t{spoken(caption)}"
        if self._explain:
            words = explained(caption.words, coloured=has_colours())
            line += f"\t{bits(caption.confidence)} bits\t{words}".rstrip("\t")
        write(line)


class Records(Quiet):
    """One JSON record per line on standard output."""

    def event(self, event: CaptionEvent) -> None:
        """One record."""
        write(_json(event.to_record()))

    def error(self, source: str, error: MrnnEdgeError) -> None:
        """The last record, if the source failed."""
        write(_json(_error_record(source, error)))


class Log(Quiet):
    """The same records to a file. A full disk ends the log, not the captions."""

    def __init__(self, path: Path, start: Start) -> None:
        self._file = TextFile(path, start, ended="the log ends here")

    @property
    def failed(self) -> bool:
        """Whether the log ended early."""
        return self._file.failed

    def event(self, event: CaptionEvent) -> None:
        """One record, on its way to the disk at once."""
        self._file.write(_json(event.to_record()) + "\n")

    def error(self, source: str, error: MrnnEdgeError) -> None:
        """The last record, if the source failed."""
        self._file.write(_json(_error_record(source, error)) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def spoken(caption: Caption) -> str:
    """The sentence for people, which may be empty; `not sure` if it was withheld."""
    return UNSURE if caption.text is None else caption.text


def clock_time(seconds: float) -> str:
    """1:02:03.45 for people; hours where there are any."""
    hundredths = round(max(seconds, 0.0) * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 100:02d}.{rest % 100:02d}"


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False)


def _error_record(source: str, error: MrnnEdgeError) -> dict[str, Any]:
    return {"file": source, "error": {"type": type(error).__name__, "message": str(error)}}
