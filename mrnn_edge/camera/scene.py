"""Captions the scene before the camera each time it changes.

An unchanged frame (gate.py) is not encoded. For the others there are three cases, by the cosine
distance of the image vector from that of the last described frame:

    below the change threshold    nothing is decoded
    up to a cut (CUT)             decoded; the current caption stays unless the new one is likelier
                                  for this frame by more than the hysteresis, in bits
    a cut                         decoded, and the new caption replaces it

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
    """A new caption, because the scene changed."""

    source: str
    """The source's name, passwords hidden."""
    caption: Caption
    frame: int
    """The described frame, counted from 0 over all frames of the source."""
    time_s: float
    """Its time: position in a file; on a live source seconds since the start."""
    at: datetime | None = None
    """Wall-clock time of its capture; live sources only."""
    age_ms: float
    """From its capture (in a file: its reading) to the finished text."""
    dropped: int
    """Frames since the start that a newer one replaced before they were read."""
    skipped: int
    """Frames since the start that were too similar to the last described one to be decoded."""
    beam: int | None
    """Beam of the search, below the requested one if a deadline was near. None for sampling."""

    def to_record(self) -> dict[str, Any]:
        """The JSON record of `webcam --ndjson` (docs/records.md)."""
        at = self.at and self.at.astimezone(UTC).isoformat(timespec="milliseconds")
        return {
            **self.caption.to_record(self.source),
            "frame": self.frame,
            "time_s": round(self.time_s, 3),
            **({"at": at.replace("+00:00", "Z")} if at else {}),
            "age_ms": round(self.age_ms, 3),
            "dropped": self.dropped,
            "skipped": self.skipped,
            "beam": self.beam,
        }


CUT: Final = 0.45
"""Cosine distance at which a frame counts as another scene; noise of sigma 16 reaches 0.34 in one
case of 100, and half of all pairs of pictures are above 0.95."""

Encode: TypeAlias = Callable[[Pixels], Floats]
"""uint8 [B, H, W, 3] -> image vectors [B, M]."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """When a scene is checked and captioned. Raises OptionError for a value out of range."""

    interval_s: float = 0.5
    """Seconds of the source's time between checks; 0 checks every frame."""
    change_threshold: float = 0.15
    """Cosine distance of image vectors, 0..2, below which a frame is skipped; 0 skips none."""
    hysteresis_bits: float = 3.0
    """How much likelier than the current caption a new one must be, within a scene."""
    deadline_ms: float | None = None
    """Limit from a frame's capture to its caption; the beam narrows to meet it."""
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    """Options of the sentence."""

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
    """Remembers the last caption and its frame. For one thread at a time."""

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
        self._current: Hypothesis | None = None
        self._text: str | None = None
        self.skipped = 0
        """Frames so far that were too similar to the last described one."""

    def forget(self) -> None:
        """Describe the next frame whatever it shows."""
        self._stillness.forget()
        self._seen = self._current = self._text = None

    def look(self, frame: Frame) -> CaptionEvent | None:
        """The caption of a frame, if it differs from the current one.

        Raises an InputError where the model finds none; later frames may have one.
        """
        try:
            return self._described(frame)
        except InputError:
            self._current = self._text = None  # it described another frame
            raise

    def _described(self, frame: Frame) -> CaptionEvent | None:
        timer = StageTimer()
        with timer("decode"):
            reduced = reduce(frame.pixels, self._image)
        if not self._stillness.changed(np.asarray(reduced)) and self._options.change_threshold:
            self.skipped += 1
            return None
        with timer("decode"):
            pixels = to_pixels(reduced, self._image)
        with timer("encode"):
            vector: Floats = self._encode(pixels[None])[0]
        distance = 2.0 if self._seen is None else cosine_distance(vector, self._seen)
        if distance < self._options.change_threshold:
            self.skipped += 1
            return None
        self._seen = vector
        begun = self._clock()
        wanted = self._in_time(begun - frame.captured)
        with timer("generate"):
            (decoded,) = self._captions.decode(vector[None], wanted, self._constraints)
            stays = bool(decoded.hypotheses) and self._stays(
                decoded.hypotheses[0], vector, distance
            )
        self._beams.record(wanted.width, (self._clock() - begun) * 1000.0)
        if stays:
            return None
        caption = self._captions.caption(
            decoded, wanted, frames=1, notes=(), timing_ms=timer.milliseconds()
        )
        if isinstance(caption, InputError):
            raise caption
        said_before = self._current is not None and caption.text == self._text
        self._current, self._text = decoded.hypotheses[0], caption.text
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
            skipped=self.skipped,
            beam=None if wanted.sampling else wanted.width,
        )

    def _in_time(self, age_s: float) -> DecodeOptions:
        """The decoding options, with the beam as wide as the deadline allows."""
        wanted, deadline = self._options.decode, self._options.deadline_ms
        if deadline is None:
            return wanted
        width = self._beams.widest_within(deadline - age_s * 1000.0)
        return replace(wanted, beam=width, nbest=min(wanted.nbest, width))

    def _stays(self, new: Hypothesis, vector: Floats, distance: float) -> bool:
        """Whether the current caption is about as likely for this frame as the new one.

        A withheld caption is always replaced: the new one may have enough evidence.
        """
        old = self._current
        if old is None or self._text is None:
            return False
        if distance >= max(CUT, self._options.change_threshold):
            return False
        captions = self._captions
        (found,) = path_log_probs(captions.step, vector, [old], captions.space)
        gain = (new.log_prob - float(found.sum())) * BITS_PER_NAT
        return gain <= self._options.hysteresis_bits


def reduce(pixels: Pixels, spec: ImageSpec) -> Image.Image:
    """A frame, uint8 [H, W, 3] RGB, reduced by whole factors to no less than the spec's size.

    Beside the encoder a frame costs the bicubic filter over a large picture. Reducing first saves
    more than half of it and moves the image vector less than JPEG at quality 50.
    """
    height, width = pixels.shape[:2]
    stored = pixels[..., ::-1]
    if stored.flags.c_contiguous:  # a reversed view of OpenCV's BGR: converted while copied
        image = Image.frombuffer("RGB", (width, height), stored, "raw", "BGR", 0, 1)
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels))
    factors = max(width // spec.width, 1), max(height // spec.height, 1)
    return image if factors == (1, 1) else image.reduce(factors)


def cosine_distance(a: Floats, b: Floats) -> float:
    """1 - cosine of two vectors [M], 0..2; 0 between two vectors of zeros."""
    length = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if length == 0.0:
        return 0.0 if np.array_equal(a, b) else 1.0
    return 1.0 - float(a @ b) / length
