"""Decodes truncated or damaged pictures as far as possible.

Takes an open Pillow image, leaves it decoded. Pillow's ImageFile.LOAD_TRUNCATED_IMAGES is
process-wide, and other threads must still refuse such files. Instead, the decoders write straight
into the image's memory, and what they wrote before they failed is kept.
"""

from typing import Final

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

_GREY: Final[dict[str, float | tuple[float, ...]]] = {
    "L": 127,
    "LA": (127, 255),
    "RGB": (127, 127, 127),
    "RGBA": (127, 127, 127, 255),
    "RGBX": (127, 127, 127, 255),
    "CMYK": (0, 0, 0, 128),
    "YCbCr": (127, 128, 128),
    "I;16": 127 << 8,
}
"""The encoder's zero is 127, so the missing part is neutral. Other modes start at 0."""
_END_OF_JPEG: Final = b"\xff\xd9"


def decode_the_rest(image: Image.Image) -> None:
    """Load an open image as far as its data go; the missing part is blank."""
    if not isinstance(image, ImageFile.ImageFile):
        return
    image.im = Image.new(image.mode, image.size, _GREY.get(image.mode, 0)).im
    if isinstance(image, JpegImageFile):
        _end_it(image)
    try:
        image.load()
    except Exception:
        image.tile = []  # nothing more to decode: further calls of load() return at once


def _end_it(image: JpegImageFile) -> None:
    """Append the end marker, without which a progressive JPEG gives no pixels."""
    read, ends = image.load_read, [_END_OF_JPEG]

    def read_to_the_end(length: int) -> bytes:
        return read(length) or (ends.pop() if ends else b"")

    image.load_read = read_to_the_end  # type: ignore[assignment, method-assign]
