"""What leaves the library: captions and outcomes of files, and their JSON records.

Plain frozen data. Log-probabilities are base 2 (bits), as in the paper. Computes nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

from mrnn_edge.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Word:
    """One word of a sentence and its probability."""

    word: str
    prob: float
    """P(word | words before, image), 0..1."""
    grounding: float | None
    """log2 P(word | words before, image) - log2 P(word | words before, mean training image): bits
    that the image, rather than habit, gave for the word. None without a prior."""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A sentence of the n best."""

    caption: str
    log2_prob: float


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One sentence for one picture."""

    text: str | None
    """None if the confidence was below the requested minimum; then `reason` says so."""
    reason: str | None
    log2_prob: float
    """log2 P(sentence | image) in bits, the end sign included unless the word limit cut it."""
    perplexity: float
    """2 ** (-log2_prob / (words + 1))"""
    confidence: float | None
    """The probability, 0 to 1, that the caption is right: that at least two thirds of its content
    words are used by people who describe the picture. None if the model has no weights for it."""
    evidence: float | None
    """log2 P(sentence | image) - log2 P(sentence | mean training image) in bits: what the image
    said beyond habit. None if the model has no prior."""
    words: tuple[Word, ...]
    alternatives: tuple[Alternative, ...]
    """The n best by log2_prob, including the caption; empty for n = 1."""
    unknown_words: tuple[str, ...]
    """Words of the prefix that the vocabulary lacks; each was scored as the unknown word."""
    truncated: bool
    """The word limit cut the sentence."""
    model: str
    device: str
    """Where the graphs ran: `cpu`, `cuda:0`."""
    precision: str
    frames: int
    """Frames or pages of the file; the caption describes the first."""
    notes: tuple[str, ...]
    """Remarks for people about how the picture was read."""
    timing_ms: dict[str, float]
    """decode, encode and generate in milliseconds, and total; in a batch, a picture's share."""

    def __str__(self) -> str:
        """The text, or why there is none."""
        return self.text if self.text is not None else self.reason or ""

    def to_record(self, file: str) -> dict[str, Any]:
        """The JSON record of the command (docs/records.md)."""
        record: dict[str, Any] = {
            "file": file,
            "caption": self.text,
            **({} if self.reason is None else {"reason": self.reason}),
            **({"truncated": True} if self.truncated else {}),
            **({"empty": True} if self.text == "" else {}),
            "confidence": self.confidence,
            "evidence": self.evidence,
            "log2_prob": self.log2_prob,
            "perplexity": self.perplexity,
            "words": [asdict(word) for word in self.words],
        }
        if self.alternatives:
            record["alternatives"] = [asdict(each) for each in self.alternatives]
        if self.unknown_words:
            record["unknown_words"] = list(self.unknown_words)
        if self.frames > 1:
            record["frames"] = self.frames
        if self.notes:
            record["notes"] = list(self.notes)
        return {
            **record,
            "model": self.model,
            "device": self.device,
            "precision": self.precision,
            "timing_ms": {stage: round(spent, 3) for stage, spent in self.timing_ms.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one file."""

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
        """The reason for no caption, in one line that begins with the file; None with a caption."""
        if isinstance(self.result, Caption):
            return None
        reason = str(self.result)
        return reason if reason.startswith(self.file) else f"{self.file}: {reason}"
