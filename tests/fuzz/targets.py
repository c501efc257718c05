"""What a mutated picture or model folder may lead to: what was asked for, or an error of our tree.

Each function runs one case and names its outcome; whatever else comes of it is raised and is a
finding.
"""

import contextlib
from pathlib import Path

import numpy as np
import tiny

from mrnn_edge import Captioner, DecodeOptions
from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import InputError, ModelError
from mrnn_edge.image.read import read_picture

READ = "picture"
CAPTIONED = "caption"
SPEC = ImageSpec(height=12, width=20)


def fuzz_image(data: bytes) -> str:
    """Read the bytes as a picture, strictly and as far as they go."""
    with contextlib.suppress(InputError):
        _read(data, allow_truncated=True)
    try:
        _read(data, allow_truncated=False)
    except InputError as error:
        return type(error).__name__
    return READ


def _read(data: bytes, *, allow_truncated: bool) -> None:
    picture = read_picture(data, SPEC, allow_truncated=allow_truncated)
    if picture.pixels.shape != (SPEC.height, SPEC.width, 3) or picture.pixels.dtype != np.uint8:
        raise AssertionError(f"{picture.pixels.dtype} {picture.pixels.shape}")
    if picture.frames < 1:
        raise AssertionError(f"{picture.frames} frames")


def fuzz_bundle(folder: Path) -> str:
    """Open the folder as a model, caption a picture, score a sentence, take a gradient."""
    try:
        captioner = Captioner.load(folder, device="cpu", threads=1)
    except ModelError as error:
        return type(error).__name__
    try:
        return _use(captioner)
    except (InputError, ModelError) as error:
        return f"{type(error).__name__} later"


def _use(captioner: Captioner) -> str:
    spec = captioner.config.image
    pixels = np.full((spec.height, spec.width, 3), (200, 30, 90), np.uint8)
    (caption,) = captioner.caption_batch([pixels], DecodeOptions(beam=2, nbest=2, max_words=4))
    if isinstance(caption, InputError):
        raise caption
    if not isinstance(caption.text, str):
        raise AssertionError(f"a caption of {caption.text!r}")
    captioner.score(pixels, ["a red dog"])
    if captioner.gradient is not None:
        sizes = captioner.config.sizes
        captioner.gradient(
            np.zeros(1, np.int64),
            np.zeros((1, sizes.state), np.float32),
            np.zeros((1, sizes.image), np.float32),
            np.full(1, min(3, len(tiny.vocabulary()) - 1), np.int64),
        )
    return CAPTIONED
