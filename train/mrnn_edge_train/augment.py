"""A training picture seen a little differently each time, as far as its sentences stay true.

A crop of it, its mirror image, paler or deeper colours, other light. uint8 in, uint8 out, by a
random generator of the caller's. What a picture's sentences name is not changed: the mirror is not
for one that is told left from right, nor other light for one that is told dark from sunny, and of
which a colour is named that keeps its colours and its light, in which brown would be tan.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from mrnn_edge.image import Pixels
from mrnn_edge_train.flickr8k import CaptionedImage
from mrnn_edge_train.recipe import Finetune


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_SIDES = _words("left right")
"""Words that a mirror would make untrue."""
_LIGHTS = _words(
    "backlit black bright brightly cloudy dark darkened darker darkness dim dimly dusk evening",
    "fireworks fog foggy glow glowing gray grey illuminated light lighted lighter lighting lights",
    "lit misty night nighttime overcast pale shade shaded shadow shadows shady shining shines",
    "shiny silhouette silhouetted silhouettes sun sunlight sunlit sunny sunrise sunset sunshine",
    "twilight white",
)
"""Words that other light would."""
_COLOURS = _words(
    "aqua auburn beige blond blonde blue bluish bronze brown brownish brunette burgundy camouflage",
    "color colored colorful colorfully coloring colors colour coloured colourful colours copper",
    "cream crimson dyed fuchsia gold golden green greenish khaki lavender lime magenta maroon",
    "multicolor multicolored multicoloured navy neon olive orange peach pink pinkish purple",
    "rainbow red reddish redhead redheaded rusty silver tan tanned teal turquoise violet yellow",
    "yellowish",
)
"""Words that paler or deeper colours would, and other light."""


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
    """Brightness and contrast are multiplied by 1 - `light` to 1 + `light`."""
    saturation: float
    """So is the distance of the colours from grey."""


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
        light=settings.colour if (_LIGHTS | _COLOURS).isdisjoint(words) else 0.0,
        saturation=settings.colour if _COLOURS.isdisjoint(words) else 0.0,
    )


def vary(pixels: Pixels, how: Variation, *, random: np.random.Generator) -> NDArray[np.uint8]:
    """A picture [S, S, 3] as it is seen this time, [size, size, 3]."""
    picture = crop(pixels, size=how.size, smallest=how.smallest, random=random)
    # Tossed for each picture, and colours have a generator of their own: whatever else a recipe
    # changes, crops and mirror images are the same, and it can be held against one without.
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
    """Brightness and contrast of [S, S, 3] changed by up to `light`, colours by `saturation`.

    No hue is turned, but where values come to their end at 255. Of the generator a child is taken,
    so that its own draws stay; a share of nought changes nothing.
    """
    if not light and not saturation:
        return pixels
    (own,) = random.spawn(1)
    picture = Image.fromarray(pixels)
    for change, share in (
        (ImageEnhance.Brightness, light),
        (ImageEnhance.Contrast, light),
        (ImageEnhance.Color, saturation),
    ):
        picture = change(picture).enhance(own.uniform(1.0 - share, 1.0 + share))
    return np.asarray(picture, dtype=np.uint8)
