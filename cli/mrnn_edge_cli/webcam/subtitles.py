"""Captions as subtitles of a video: a cue from each caption to the next, as SRT or WebVTT."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from mrnn_edge.camera.scene import CaptionEvent
from mrnn_edge_cli.webcam.sinks import Sink
from mrnn_edge_cli.webcam.text_file import TextFile


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
