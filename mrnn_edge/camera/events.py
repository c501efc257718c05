"""What comes out of watching: one event a new caption, and its JSON record."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mrnn_edge.language.records import Caption


@dataclass(frozen=True, kw_only=True)
class CaptionEvent:
    """The scene changed, and this describes it now."""

    source: str
    """The source's name, passwords hidden."""
    caption: Caption
    frame: int
    """The frame that was described, counted from 0 over all frames of the source."""
    time_s: float
    """Its time: position in a file; on a live source seconds since the start."""
    at: datetime | None = None
    """When it was captured, by the clock on the wall; of a live source alone."""
    age_ms: float
    """From its capture (in a file: from its reading) to the finished text."""
    dropped: int
    """Frames since the start that a newer one replaced before anybody looked at them."""
    skipped: int
    """Frames since the start that were like the one described last, and so were not decoded."""
    beam: int | None
    """Hypotheses that the search kept; below what was asked for where a deadline was near. None for
    a sentence that was drawn."""

    def to_record(self) -> dict[str, Any]:
        """The JSON record of `webcam --ndjson` (docs/records.md)."""
        return {
            **self.caption.to_record(self.source),
            "frame": self.frame,
            "time_s": round(self.time_s, 3),
            **({} if self.at is None else {"at": _utc(self.at)}),
            "age_ms": round(self.age_ms, 3),
            "dropped": self.dropped,
            "skipped": self.skipped,
            "beam": self.beam,
        }


def _utc(at: datetime) -> str:
    """ISO 8601 with milliseconds: 2026-11-25T03:00:00.000Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
