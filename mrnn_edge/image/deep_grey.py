"""Grey of 12, 16 or 32 bits, floating, or with a sign, as RGB of 8 bits.

Pillow's own conversion clips to white, ignores the sign, and beyond 8 bits a sample ignores that
the zero of a TIFF may be white.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 339
"""Tags of TIFF: bits a sample; what zero is; whether samples have a sign."""
_WHITE_IS_ZERO: Final = 0
_SIGNED: Final = 2


def deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of mode I, I;16, F or signed L, in RGB, its range mapped to 0..255."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    bits = tags.get(_BITS, (0,))[0]
    signed = tags.get(_SAMPLES, (1,))[0] == _SIGNED
    if image.mode == "L":
        grey = _signed_bytes(np.asarray(image)) if signed else np.asarray(image)
    elif image.mode.startswith("I;16"):
        # In integers: a large picture in floats would take four times the memory.
        grey = (np.asarray(image) >> (4 if bits == 12 else 8)).astype(np.uint8)
    elif image.mode == "F":
        grey = _floats(np.array(image, dtype=np.float32))
    else:
        values = np.asarray(image)
        if bits == 32 and not signed:  # Pillow returns values above 2^31 as negative
            values = values.view(np.uint32)
        grey = _integers(values.astype(np.float32), short=signed and bits == 16)
    # Pillow takes a missing tag as white is zero, too, and inverts L itself.
    if tags and image.mode != "L" and tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey).convert("RGB")


def _signed_bytes(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """From -128..127, or from 0..127 where none is negative."""
    if values.max() < 128:
        return (values * 2 + (values >> 6)).astype(np.uint8)  # 127 becomes 255
    return values ^ np.uint8(128)


def _integers(values: NDArray[np.float32], *, short: bool) -> NDArray[np.uint8]:
    """Mapped from their assumed range; `short`: signed 16 bits."""
    # Usually 8 or 16 bits; wider ones are scaled to their brightest value.
    low, high = float(values.min()), float(values.max())
    reach = 32768.0 if short else max(32768.0, high, -low)
    if low < 0.0:
        return _scaled(values, -reach, reach - 1.0)
    if high <= 255.0:
        return _scaled(values, 0.0, 255.0)
    return _scaled(values, 0.0, 32767.0 if short else max(65535.0, high))


def _floats(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Mapped from 0..1, or from a wider range of their own."""
    np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return _scaled(values, min(float(values.min()), 0.0), max(float(values.max()), 1.0))


def _scaled(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """low..high mapped to 0..255; overwrites `values`."""
    values -= low
    values *= 255.0 / (high - low)
    np.clip(np.rint(values, out=values), 0, 255, out=values)
    return values.astype(np.uint8)
