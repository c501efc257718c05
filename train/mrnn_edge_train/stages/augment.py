"""Random variations of a training picture that keep its sentences true.

A crop of it, and its mirror image unless a sentence says left or right. Also pictures of nothing: a
plain colour or a slope between two, with or without grain. A network that is shown some of them
with the sentences of other pictures learns that they say nothing about the words; without them it
takes grey for snow and a slope of brightness for a meadow, with confidence (docs/probabilities.md,
"Pictures of nothing"). uint8 in, uint8 out; the caller passes the random generator.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mrnn_edge.image.read import Pixels
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.recipe import Finetune

_SIDES = frozenset(("left", "right"))
"""Words that mirroring makes untrue."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How far a picture may be changed."""

    size: int
    """Side of the result in pixels."""
    smallest: float
    """The least share of the area that a crop keeps."""
    mirror: bool
    """Mirror with probability 1/2."""


def is_sided(words: Iterable[str]) -> bool:
    """Whether a sentence says left or right."""
    return not _SIDES.isdisjoint(words)


def variations(
    settings: Finetune, images: Iterable[CaptionedImage], *, mirror: bool
) -> list[Variation]:
    """The variation that the recipe and the sentences allow, for each picture."""
    return [variation(settings, image.sentences, mirror=mirror) for image in images]


def variation(settings: Finetune, sentences: Iterable[Iterable[str]], *, mirror: bool) -> Variation:
    """The variation that the recipe allows for a picture with these sentences."""
    words = {word for sentence in sentences for word in sentence}
    return Variation(
        size=settings.crop_size,
        smallest=settings.smallest_crop,
        mirror=mirror and not is_sided(words),
    )


def vary(pixels: Pixels, how: Variation, *, random: np.random.Generator) -> NDArray[np.uint8]:
    """One variation of a picture: uint8 [S, S, 3] -> [size, size, 3]."""
    picture = crop(pixels, size=how.size, smallest=how.smallest, random=random)
    # Drawn for every picture, so that recipes with and without mirroring have the same crops.
    toss = random.random() < 0.5
    return mirror(picture) if toss and how.mirror else picture


def crop(
    pixels: Pixels, *, size: int, smallest: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """A random square of `smallest` to all of the area: uint8 [S, S, 3] -> [size, size, 3]."""
    whole = pixels.shape[0]
    side = whole * float(np.sqrt(random.uniform(smallest, 1.0)))
    left, top = random.uniform(0.0, whole - side, 2)
    box = (left, top, left + side, top + side)
    # Bicubic, as at run time.
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized, dtype=np.uint8)


def mirror(pixels: Pixels) -> NDArray[np.uint8]:
    """The mirror image of uint8 [S, S, 3]."""
    return np.ascontiguousarray(pixels[:, ::-1])


def nothing(size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """One random blank picture, uint8 [size, size, 3]."""
    slope = _slope(size, random)[:, :, None]
    picture = slope * _colour(random) + (1.0 - slope) * _colour(random)
    if random.random() < 0.5:
        picture += _grain(size, random)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _colour(random: np.random.Generator) -> NDArray[np.float64]:
    """Half of them greys: [3]."""
    return np.broadcast_to(random.uniform(0.0, 255.0, 3 if random.random() < 0.5 else 1), 3)


def _slope(size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Shares of one colour [size, size]: half to all of the way from 0 to 1, in any direction; for
    half of the pictures 0 throughout."""
    if random.random() < 0.5:
        return np.zeros((size, size))
    angle = random.uniform(0.0, 2.0 * np.pi)
    across = np.linspace(-0.5, 0.5, size)
    along = np.cos(angle) * across + np.sin(angle) * across[:, None]
    steepness = random.uniform(0.5, 1.0) / np.abs(along).max()
    shares: NDArray[np.float64] = 0.5 + 0.5 * steepness * along
    return shares


def _grain(size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Noise of one channel or three, in grains of a pixel up to a quarter of the picture."""
    cells = round(size / 2.0 ** random.uniform(0.0, np.log2(size / 4)))
    strength = 2.0 ** random.uniform(2.0, 8.0)
    channels = [
        np.asarray(
            Image.fromarray(random.uniform(-0.5, 0.5, (cells, cells)).astype(np.float32)).resize(
                (size, size), Image.Resampling.BILINEAR
            )
        )
        for _ in range(3 if random.random() < 0.5 else 1)
    ]
    grain: NDArray[np.float64] = strength * np.stack(channels, axis=2).astype(np.float64)
    return grain
