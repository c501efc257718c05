"""Checks of a model folder that need no torch: contract, reference answers, batches.

The reference is torch's result at export for a fixed picture (`reference_pixels`), stored in
metrics.json under parity.reference. That of int8 graphs is their own result where they were made,
under int8.reference. Takes a model, returns checks; changes nothing.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from mrnn_edge.arrays import Floats, largest
from mrnn_edge.bundle.config import ImageSpec, Precision
from mrnn_edge.bundle.folder import load_bundle, read_metrics
from mrnn_edge.captioner import Captioner
from mrnn_edge.decode.hypotheses import StepFunction
from mrnn_edge.errors import BundleError, InputError, ModelError, OptionError
from mrnn_edge.image.read import Pixels
from mrnn_edge.options import DecodeOptions

BATCHES: Final = (1, 2, 7, 64)
LIMIT: Final = 1e-4
"""Largest difference of float graphs from the reference, and of a row from itself in a batch."""
INT8_LIMIT: Final = 0.05
"""Largest difference of int8 graphs from the reference: of the image vector as a share of its
length, of log-probabilities as such. Machines round a sum that lies between two integers to either,
and layers pass it on (docs/quantisation.md)."""
REFERENCE_STEPS: Final = 5
REFERENCE_WORDS: Final = 20
"""Log-probabilities a step that a reference keeps, the likeliest."""
SLOPE_LIMIT: Final = 0.02
"""Largest difference of the gradient graph's slope from the step graph's, as a share of it: the one
has weights of float16, the other's is a quotient of small differences."""

_SECTIONS: Final = {Precision.FLOAT32: "parity", Precision.INT8: "int8"}
"""Where in metrics.json the reference of a pair of graphs lies."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The result for the fixed picture of torch at export, or of int8 graphs when made."""

    image: Floats
    """float32 [M]"""
    top: tuple[tuple[tuple[int, ...], Floats], ...]
    """The likeliest ids and their log-probabilities in each step of the fixed word sequence."""
    caption: str
    decoding: DecodeOptions
    """The search that found the caption."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form in metrics.json."""
        return {
            "image": _rounded(self.image),
            "top": [[list(ids), _rounded(values)] for ids, values in self.top],
            "caption": self.caption,
            "decoding": asdict(self.decoding),
        }

    @classmethod
    def from_dict(cls, data: Any, where: str) -> "Reference":
        """Read the JSON form; raises BundleError that names the place in metrics.json."""
        try:
            return cls(
                image=np.array(data["image"], np.float32),
                top=tuple(
                    (tuple(int(each) for each in ids), np.array(values, np.float32))
                    for ids, values in data["top"]
                ),
                caption=str(data["caption"]),
                decoding=DecodeOptions(**data["decoding"]),
            )
        except (KeyError, TypeError, ValueError, OptionError) as error:
            raise BundleError(
                f"metrics.json: {where} is missing or malformed ({error!r}); export again"
            ) from None


@dataclass(frozen=True, kw_only=True)
class ModelCheck:
    """The result of one check."""

    name: str
    passed: bool
    detail: str


def reference_pixels(spec: ImageSpec) -> Pixels:
    """A picture of stripes and slopes, the same on every machine, uint8 [H, W, 3]."""
    y, x, channel = np.meshgrid(
        np.arange(spec.height), np.arange(spec.width), np.arange(3), indexing="ij"
    )
    pixels: Pixels = ((3 * y + 5 * x + 85 * channel + x * y // 7) % 256).astype(np.uint8)
    return pixels


def run_steps(step: StepFunction, image: Floats, *, start: int, state: int) -> Floats:
    """Log-probabilities float32 [REFERENCE_STEPS, V] for the words start, 3, 4, 5, …

    `image` is float32 [M], `state` the length of the recurrent state.
    """
    token = np.array([start], np.int64)
    memory = np.zeros((1, state), np.float32)
    rows = []
    for position in range(REFERENCE_STEPS):
        log_probs, memory = step(token, memory, image[None])
        rows.append(log_probs[0])
        token = np.array([(3 + position) % log_probs.shape[1]], np.int64)
    return np.stack(rows)


def verify_model(
    model: str | os.PathLike[str] | None, *, device: str = "cpu", threads: int | None = None
) -> Iterator[ModelCheck]:
    """Check every precision of a model.

    Raises ModelError if config.json, vocab.json or metrics.json cannot be read. A pair of graphs
    that cannot be opened is a failed check; the others are still checked.
    """
    bundle = load_bundle(model)
    metrics = read_metrics(bundle.folder)
    references = {each: _reference(metrics, _SECTIONS[each]) for each in bundle.config.precisions}
    for precision in bundle.config.precisions:
        name = f"{precision}: files, hashes, graph contract"
        try:
            captioner = Captioner.load(model, device=device, precision=precision, threads=threads)
        except ModelError as error:
            yield ModelCheck(name=name, passed=False, detail=str(error))
            continue
        detail = f"bundle {captioner.config.id} on {captioner.device}"
        yield ModelCheck(name=name, passed=True, detail=detail)
        yield from _against_reference(captioner, references[precision])
        yield _batches(captioner)
        if precision is Precision.FLOAT32 and bundle.config.gradient:
            yield _slope(captioner)


def answers(captioner: Captioner) -> Reference:
    """The results of the open graphs for the fixed picture."""
    image = _image(captioner)
    return Reference(
        image=image,
        top=likeliest(_steps(captioner, image)),
        caption=captioner.caption(reference_pixels(captioner.config.image)).text or "",
        decoding=DecodeOptions(length_penalty=captioner.config.decoding.length_penalty),
    )


def _image(captioner: Captioner) -> Floats:
    """The image vector float32 [M] of the fixed picture."""
    image: Floats = captioner.graphs.encoder(reference_pixels(captioner.config.image)[None])[0]
    return image


def _steps(captioner: Captioner, image: Floats) -> Floats:
    space = captioner.space
    return run_steps(captioner.graphs.step, image, start=space.start, state=space.state)


def likeliest(log_probs: Floats) -> tuple[tuple[tuple[int, ...], Floats], ...]:
    """The likeliest ids and log-probabilities of each row of float32 [N, V], best first."""
    best = [largest(row, REFERENCE_WORDS) for row in log_probs]
    return tuple((tuple(ids.tolist()), row[ids]) for ids, row in zip(best, log_probs, strict=True))


def _reference(metrics: dict[str, Any], section: str) -> Reference:
    held = metrics.get(section)
    found = held.get("reference") if isinstance(held, dict) else None
    return Reference.from_dict(found, f"{section}.reference")


def _against_reference(captioner: Captioner, reference: Reference) -> Iterator[ModelCheck]:
    """float32 graphs against torch's results; int8 graphs against their own where made.

    The steps of int8 graphs begin from the stored image vector.
    """
    image, wanted = _image(captioner), reference.image
    if captioner.precision is Precision.INT8:
        name = "int8: image vector against where it was made"
        if wanted.shape != image.shape:
            yield _other_shape(name, image, wanted)
            return
        share = float(np.linalg.norm(image - wanted) / np.linalg.norm(wanted))
        yield _within(name, share, INT8_LIMIT, " of its length")
        name = "int8: log-probabilities against where it was made"
        yield _top_check(name, _steps(captioner, wanted), reference, INT8_LIMIT)
        return
    yield _difference("float32: image vector against torch", image, wanted, LIMIT)
    name = "float32: log-probabilities against torch"
    yield _top_check(name, _steps(captioner, image), reference, LIMIT)
    pixels = reference_pixels(captioner.config.image)
    (found,) = captioner.caption_batch([pixels], reference.decoding)
    text = None if isinstance(found, InputError) else found.text
    detail = f"{text!r}, torch {reference.caption!r}"
    name = "float32: caption against torch"
    yield ModelCheck(name=name, passed=text == reference.caption, detail=detail)


def _top_check(name: str, log_probs: Floats, reference: Reference, limit: float) -> ModelCheck:
    words = log_probs.shape[1]
    known = all(0 <= each < words for ids, _ in reference.top for each in ids)
    if len(reference.top) != len(log_probs) or not known:
        return ModelCheck(name=name, passed=False, detail="the reference is of another vocabulary")
    found = np.concatenate(
        [row[list(ids)] for row, (ids, _) in zip(log_probs, reference.top, strict=True)]
    )
    wanted = np.concatenate([values for _, values in reference.top])
    return _difference(name, found, wanted, limit)


def _difference(name: str, found: Floats, wanted: Floats, limit: float) -> ModelCheck:
    if wanted.shape != found.shape:
        return _other_shape(name, found, wanted)
    return _within(name, float(np.abs(found - wanted).max()), limit)


def _within(name: str, found: float, limit: float, of: str = "") -> ModelCheck:
    detail = f"{found:.1e}{of}, limit {limit:.0e}"
    return ModelCheck(name=name, passed=found <= limit, detail=detail)


def _other_shape(name: str, found: Floats, wanted: Floats) -> ModelCheck:
    detail = f"shape {list(found.shape)}, reference {list(wanted.shape)}"
    return ModelCheck(name=name, passed=False, detail=detail)


def _slope(captioner: Captioner) -> ModelCheck:
    """The gradient of the likeliest first word against a finite difference along it."""
    name = "gradient: files, hashes, contract, its slope against the step graph's"
    try:
        gradient = captioner.gradient
    except ModelError as error:
        return ModelCheck(name=name, passed=False, detail=str(error))
    if gradient is None:
        return ModelCheck(name=name, passed=False, detail="config.json has none")
    space = captioner.space
    image = _image(captioner)[None]
    start = np.array([space.start], np.int64)
    state = np.zeros((1, space.state), np.float32)
    log_probs, _ = captioner.graphs.step(start, state, image)
    word = np.array([int(log_probs[0].argmax())], np.int64)
    slope = gradient(start, state, image, word)[0]
    length = float(np.linalg.norm(slope))
    # Along the gradient the slope is its length. The move is long enough for float32 to see it.
    move = slope * np.float32(0.05 / max(length, 1e-6))
    up, down = (captioner.graphs.step(start, state, image + side)[0] for side in (move, -move))
    found = float(up[0, word[0]] - down[0, word[0]]) / 0.1
    return _within(name, abs(found - length) / max(length, 1e-6), SLOPE_LIMIT, " of it")


def _batches(captioner: Captioner) -> ModelCheck:
    base, alone = reference_pixels(captioner.config.image), _image(captioner)
    differences = []
    for count in BATCHES:
        # Different neighbours, the same first row.
        pixels = np.stack([np.roll(base, shift, axis=1) for shift in range(count)])
        differences.append(float(np.abs(captioner.graphs.encoder(pixels)[0] - alone).max()))
    name = f"{captioner.precision}: a picture in batches of {', '.join(map(str, BATCHES))}"
    return _within(f"{name} against alone", max(differences), LIMIT)


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 6) for value in values]
