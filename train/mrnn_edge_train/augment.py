"""A training picture seen a little differently each time: a crop of it, its mirror image.

uint8 in, uint8 out, by a random generator of the caller's. Colours stay: sentences name them.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mrnn_edge.image import Pixels


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


def vary(
    pixels: Pixels, *, size: int, smallest: float, sided: bool, random: np.random.Generator
) -> NDArray[np.uint8]:
    """A crop, half of the time its mirror image; never that of a picture whose sentences are
    `sided`, which say left or right."""
    picture = crop(pixels, size=size, smallest=smallest, random=random)
    toss = random.random() < 0.5
    return mirror(picture) if toss and not sided else picture


def mirror(pixels: Pixels) -> NDArray[np.uint8]:
    """Left and right changed about."""
    return np.ascontiguousarray(pixels[:, ::-1])
