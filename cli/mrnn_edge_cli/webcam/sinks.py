"""Where captions go as text: lines or records on standard output, records in a log, errors too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mrnn_edge.camera.scene import CaptionEvent
from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.explain import caption_line, has_colours
from mrnn_edge_cli.output import write
from mrnn_edge_cli.webcam.text_file import TextFile


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


def clock_time(seconds: float) -> str:
    """1:02:03.45 for people; hours where there are any."""
    minutes, rest = divmod(round(max(seconds, 0.0) * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 100:02d}.{rest % 100:02d}"
