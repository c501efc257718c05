"""Fits the confidence of a model on its dev pictures, as the last step of making one.

Takes an open model and the dev pictures of its sets; gives the weights for config.json and, by
cross-validation, what they are worth. Blank pictures are added, whose captions are wrong whatever
they say: without them the drawing of a staff or a chart gets a high confidence.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mrnn_edge.bundle.config import ConfidenceWeights
from mrnn_edge.captioner import Captioner
from mrnn_edge.errors import InputError
from mrnn_edge.image.read import Pixels
from mrnn_edge.options import DecodeOptions
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.evaluation.trust import cross_validated, fit, is_right, reliability
from mrnn_edge_train.stages.augment import nothing

LEAST: Final = 100
"""Captions below which no confidence is fitted."""
BLANKS: Final = 0.15
"""Blank pictures for each picture of the sets."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The weights and their figures."""

    weights: ConfidenceWeights
    figures: Mapping[str, Any]
    """By set: what captions of its dev pictures give, each by weights fitted without it."""


def fit_confidence(
    captioner: Captioner,
    sets: Mapping[str, Sequence[CaptionedImage]],
    *,
    seed: int = 1,
    track: Track = untracked,
) -> Fitted | None:
    """Fit on all sets together.

    None if the model has no prior, and for fewer than 100 captions or captions that are all right
    or all wrong: no honest number can be made of them.
    """
    if captioner.captions.prior is None:
        return None
    found = {name: _captioned(captioner, images, track) for name, images in sets.items()}
    features = [each for group in found.values() for each, _ in group]
    right = [fine for group in found.values() for _, fine in group]
    if len(right) < LEAST or len(set(right)) < 2:
        return None
    random, side = np.random.default_rng(seed), captioner.config.image.width
    for _ in range(round(BLANKS * len(right))):
        features.append(_described(captioner, nothing(side, random))[0])
        right.append(False)
    sure = cross_validated(features, right)
    start, figures = 0, {}
    for name, group in found.items():
        end = start + len(group)
        figures[name] = reliability(sure[start:end].tolist(), right[start:end]).to_record()
        start = end
    return Fitted(weights=fit(features, right), figures=figures)


def _captioned(
    captioner: Captioner, images: Sequence[CaptionedImage], track: Track
) -> list[tuple[dict[str, float], bool]]:
    """The features of each picture's caption, and whether it is right."""
    found = []
    for image in track(images, "confidence", len(images)):
        with contextlib.suppress(InputError):  # export and quantize have named the picture
            features, words = _described(captioner, captioner.read(image.path).pixels)
            found.append((features, is_right(words, image.sentences)))
    return found


def _described(captioner: Captioner, pixels: Pixels) -> tuple[dict[str, float], tuple[str, ...]]:
    """The features and the words of a picture's caption; pixels are uint8 [H, W, 3]."""
    captions, options = captioner.captions, DecodeOptions()
    vectors = captioner.graphs.encoder(pixels[None])
    (decoded,) = captions.decode(vectors, options, captions.constraints(options))
    words = captioner.bundle.vocabulary.decode(decoded.hypotheses[0].tokens)
    return captions.features(decoded) or {}, words
