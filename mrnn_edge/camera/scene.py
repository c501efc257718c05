"""The scene before the camera in words: described anew when it has changed, and not before.

A frame that shows nothing new (stillness.py) is not even encoded. For the others there are three
cases, by the cosine distance of the image vector from that of the frame described last:

    below the change threshold    nothing is decoded
    up to a cut (CUT)             decoded; the standing caption stays unless the new one is likelier
                                  for this frame by more than the hysteresis, in bits
    a cut                         decoded, and the new caption stands

Of 200 dev pictures of Flickr8K, the same picture with noise of sigma 8, as JPEG of quality 50, 20 %
darker or shifted by 12 of 224 pixels lies below 0.13 in 95 of 100 cases, two pictures of different
things above 0.38 in 99 of 100 (docs/measurements/camera.md). Knows no camera and no files.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import numpy as np
from PIL import Image

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.camera.frames import Frame
from mrnn_edge.camera.gate import BeamClock, Stillness
from mrnn_edge.decode.hypotheses import Hypothesis
from mrnn_edge.decode.score import BITS_PER_NAT, path_log_probs
from mrnn_edge.errors import InputError, OptionError
from mrnn_edge.image.read import Pixels, to_pixels
from mrnn_edge.language.captions import CaptionGenerator
from mrnn_edge.language.records import Caption
from mrnn_edge.options import DecodeOptions
from mrnn_edge.timing import StageTimer


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


CUT: Final = 0.45
"""Cosine distance from which on a frame shows another scene; noise of sigma 16 reaches 0.34 in one
case of 100, and half of all pairs of pictures are above 0.95."""

Encode: TypeAlias = Callable[[Pixels], Floats]
"""uint8 [B, H, W, 3] -> image vectors [B, M]."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """When a scene is looked at and described. Raises OptionError for a value out of range."""

    interval_s: float = 0.5
    """Seconds of the source's time from one look to the next; 0 looks at every frame."""
    change_threshold: float = 0.15
    """Cosine distance of image vectors, 0..2, below which nothing is decoded; 0 decodes all."""
    hysteresis_bits: float = 3.0
    """How much likelier than the standing caption a new one must be, within a scene."""
    deadline_ms: float | None = None
    """From a frame's capture to its caption; the beam narrows where the time would not do."""
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    """The wishes for the sentence."""

    def __post_init__(self) -> None:
        for name, most in (
            ("interval_s", 86_400.0),
            ("change_threshold", 2.0),
            ("hysteresis_bits", 1000.0),
        ):
            value = getattr(self, name)
            if not 0.0 <= value <= most:
                raise OptionError(f"{name} is {value}, expected a number from 0 to {most:g}")
        if self.deadline_ms is None:
            return
        if not 0.0 < self.deadline_ms < float("inf"):
            raise OptionError(f"deadline_ms is {self.deadline_ms}, expected milliseconds above 0")
        if self.decode.sampling is not None:
            raise OptionError(
                "a deadline narrows the beam, and sampling has none; give one of them"
            )


class Scene:
    """What the last caption was, and of what. One thread at a time."""

    def __init__(
        self,
        *,
        encode: Encode,
        captions: CaptionGenerator,
        image: ImageSpec,
        options: WatchOptions,
        source: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encode = encode
        self._captions = captions
        self._image = image
        self._options = options
        self._source = source
        self._clock = clock
        self._constraints = captions.constraints(options.decode)
        self._beams = BeamClock(options.decode.width)
        self._stillness = Stillness()
        self._seen: Floats | None = None
        self._standing: Hypothesis | None = None
        self._text: str | None = None
        self._skipped = 0

    @property
    def skipped(self) -> int:
        """Frames so far that were like the one described last."""
        return self._skipped

    def forget(self) -> None:
        """The next frame is described whatever it shows."""
        self._stillness.forget()
        self._seen = self._standing = self._text = None

    def look(self, frame: Frame) -> CaptionEvent | None:
        """The caption of a frame, if it is another than the one that stands.

        Raises an InputError where the model has none for it; the next frame may have one.
        """
        try:
            return self._described(frame)
        except InputError:
            self._standing = self._text = None  # what stood is of another frame
            raise

    def _described(self, frame: Frame) -> CaptionEvent | None:
        timer = StageTimer()
        with timer("decode"):
            reduced = reduce(frame.pixels, self._image)
        if not self._stillness.changed(np.asarray(reduced)) and self._options.change_threshold:
            self._skipped += 1
            return None
        with timer("decode"):
            pixels = to_pixels(reduced, self._image)
        with timer("encode"):
            vector: Floats = self._encode(pixels[None])[0]
        distance = 2.0 if self._seen is None else cosine_distance(vector, self._seen)
        if distance < self._options.change_threshold:
            self._skipped += 1
            return None
        self._seen = vector
        begun = self._clock()
        wishes = self._in_time(begun - frame.captured)
        with timer("generate"):
            (decoded,) = self._captions.decode(vector[None], wishes, self._constraints)
            stays = bool(decoded.hypotheses) and self._stays(
                decoded.hypotheses[0], vector, distance
            )
        self._beams.took(wishes.width, (self._clock() - begun) * 1000.0)
        if stays:
            return None
        caption = self._captions.caption(
            decoded, wishes, frames=1, notes=(), timing_ms=timer.milliseconds()
        )
        if isinstance(caption, InputError):
            raise caption
        said_before = self._standing is not None and caption.text == self._text
        self._standing, self._text = decoded.hypotheses[0], caption.text
        if said_before:
            return None
        return CaptionEvent(
            source=self._source,
            caption=caption,
            frame=frame.number,
            time_s=frame.time_s,
            at=frame.at,
            age_ms=(self._clock() - frame.captured) * 1000.0,
            dropped=frame.dropped,
            skipped=self._skipped,
            beam=None if wishes.sampling else wishes.width,
        )

    def _in_time(self, age_s: float) -> DecodeOptions:
        """The wishes, the beam as wide as the deadline allows."""
        wishes, deadline = self._options.decode, self._options.deadline_ms
        if deadline is None:
            return wishes
        width = self._beams.widest_within(deadline - age_s * 1000.0)
        return replace(wishes, beam=width, nbest=min(wishes.nbest, width))

    def _stays(self, new: Hypothesis, vector: Floats, distance: float) -> bool:
        """Whether the standing caption is about as likely for this frame as the new one.

        One that was withheld does not stand: the new one may have evidence enough.
        """
        old = self._standing
        if old is None or self._text is None:
            return False
        if distance >= max(CUT, self._options.change_threshold):
            return False
        captions = self._captions
        (found,) = path_log_probs(captions.step, vector, [old], captions.space)
        gain = (new.log_prob - float(found.sum())) * BITS_PER_NAT
        return gain <= self._options.hysteresis_bits


def reduce(pixels: Pixels, spec: ImageSpec) -> Image.Image:
    """A frame, uint8 [H, W, 3] RGB, shrunk by whole factors while it stays as large as the spec.

    What a frame costs beside the encoder is the bicubic filter over a large picture. Halving first
    takes more than half of that away, and moves the image vector less than a JPEG of quality 50
    does.
    """
    height, width = pixels.shape[:2]
    stored = pixels[..., ::-1]
    if stored.flags.c_contiguous:  # OpenCV's BGR counted backwards: turned while it is copied
        image = Image.frombuffer("RGB", (width, height), stored, "raw", "BGR", 0, 1)
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels))
    factors = max(width // spec.width, 1), max(height // spec.height, 1)
    return image if factors == (1, 1) else image.reduce(factors)


def cosine_distance(a: Floats, b: Floats) -> float:
    """1 - the cosine of the angle between two vectors, 0..2; 0 between two vectors of zeros."""
    length = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if length == 0.0:
        return 0.0 if np.array_equal(a, b) else 1.0
    return 1.0 - float(a @ b) / length
