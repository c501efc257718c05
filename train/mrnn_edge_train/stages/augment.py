"""A training picture seen a little differently each time, as far as its sentences stay true.

A crop of it, and its mirror image unless a sentence says left or right. uint8 in, uint8 out, by a
random generator of the caller's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mrnn_edge.image.read import Pixels
from mrnn_edge_train.data.flickr8k import CaptionedImage
from mrnn_edge_train.recipe import Finetune

_SIDES = frozenset(("left", "right"))
"""Words that a mirror would make untrue."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How far a picture may be changed."""

    size: int
    """Side in pixels of what comes out."""
    smallest: float
    """Crops keep this share of the area to all of it."""
    mirror: bool
    """It may be mirrored, which it is half of the time."""


def is_sided(words: Iterable[str]) -> bool:
    """Whether a sentence tells left from right."""
    return not _SIDES.isdisjoint(words)


def variations(
    settings: Finetune, images: Iterable[CaptionedImage], *, mirror: bool
) -> list[Variation]:
    """What the recipe changes of each picture and its sentences leave open."""
    return [variation(settings, image.sentences, mirror=mirror) for image in images]


def variation(settings: Finetune, sentences: Iterable[Iterable[str]], *, mirror: bool) -> Variation:
    """What the recipe changes of a picture with these sentences."""
    words = {word for sentence in sentences for word in sentence}
    return Variation(
        size=settings.crop_size,
        smallest=settings.smallest_crop,
        mirror=mirror and not is_sided(words),
    )


def vary(pixels: Pixels, how: Variation, *, random: np.random.Generator) -> NDArray[np.uint8]:
    """A picture [S, S, 3] as it is seen this time, [size, size, 3]."""
    picture = crop(pixels, size=how.size, smallest=how.smallest, random=random)
    # Tossed for each picture: a recipe with mirror images has the same crops as one without.
    toss = random.random() < 0.5
    return mirror(picture) if toss and how.mirror else picture


def crop(
    pixels: Pixels, *, size: int, smallest: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """A square of `smallest` to all of the area of [S, S, 3], anywhere, resized to `size`."""
    whole = pixels.shape[0]
    side = whole * float(np.sqrt(random.uniform(smallest, 1.0)))
    left, top = random.uniform(0.0, whole - side, 2)
    box = (left, top, left + side, top + side)
    # Bicubic, as the runtime resizes what it is given.
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized, dtype=np.uint8)


def mirror(pixels: Pixels) -> NDArray[np.uint8]:
    """Left and right changed about."""
    return np.ascontiguousarray(pixels[:, ::-1])
