"""A training picture seen a little differently each time, as far as its sentences stay true.

A crop of it, its mirror image, other light, paler or deeper colours. uint8 in, uint8 out, by a
random generator of the caller's. What a picture's sentences name is not changed: the mirror is not
for one that is told left from right, nor paler colours for one of which a colour is named.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from mrnn_edge.image import Pixels
from mrnn_edge_train.recipe import Finetune

_SIDES = frozenset(("left", "right"))
"""Words that a mirror would make untrue."""
_LIGHTS = frozenset(
    # Words in a string, here and below: a list would be a line for each.
    "black bright brightly dark dim dimly dusk gray grey light lit neon night pale shadow shadows "  # noqa: SIM905
    "silhouette silhouetted sunny sunset white".split()
)
"""Words that other light would."""
_COLOURS = frozenset(
    "beige blond blonde blue brown brunette color colored colorful colors cream gold golden green "  # noqa: SIM905
    "maroon multicolored navy orange pink purple red redheaded reddish silver tan teal turquoise "
    "violet yellow".split()
)
"""Words that paler or deeper colours would."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How far a picture may be changed."""

    size: int
    """Side in pixels of what comes out."""
    smallest: float
    """Crops keep this share of the area to all of it."""
    mirror: bool
    """It may be mirrored, which it is half of the time."""
    light: float
    """Brightness is multiplied by 1 - `light` to 1 + `light`."""
    saturation: float
    """So is the distance of the colours from grey; contrast, which changes both, by the smaller."""


def is_sided(words: Iterable[str]) -> bool:
    """Whether a sentence tells left from right."""
    return not _SIDES.isdisjoint(words)


def variation(settings: Finetune, *, mirror: bool, sentences: Sequence[Sequence[str]]) -> Variation:
    """What the recipe changes and the picture's sentences leave open."""
    words = {word for sentence in sentences for word in sentence}
    return Variation(
        size=settings.crop_size,
        smallest=settings.smallest_crop,
        mirror=mirror and not is_sided(words),
        light=settings.colour if _LIGHTS.isdisjoint(words) else 0.0,
        saturation=settings.colour if _COLOURS.isdisjoint(words) else 0.0,
    )


def vary(pixels: Pixels, how: Variation, *, random: np.random.Generator) -> NDArray[np.uint8]:
    """A picture [S, S, 3] as it is seen this time, [size, size, 3]."""
    picture = crop(pixels, size=how.size, smallest=how.smallest, random=random)
    # Tossed for each picture: what else a recipe changes, its crops and mirror images stay.
    toss = random.random() < 0.5
    picture = mirror(picture) if toss and how.mirror else picture
    return recolour(picture, light=how.light, saturation=how.saturation, random=random)


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


def recolour(
    pixels: NDArray[np.uint8], *, light: float, saturation: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Brightness of [S, S, 3] changed by up to `light`, colours by `saturation`, contrast by both.

    No hue is turned: grass stays green. A share of nought changes nothing and draws nothing.
    """
    picture = Image.fromarray(pixels)
    for change, share in (
        (ImageEnhance.Brightness, light),
        # Towards the picture's mean grey, and away from it: colours get paler and deeper too.
        (ImageEnhance.Contrast, min(light, saturation)),
        (ImageEnhance.Color, saturation),
    ):
        if share:
            picture = change(picture).enhance(random.uniform(1.0 - share, 1.0 + share))
    return np.asarray(picture, dtype=np.uint8)
