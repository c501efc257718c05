"""What can still be read of a picture whose file is cut off or damaged further down.

Takes a Pillow image that was opened and not decoded, leaves it decoded as far as the data go.
Pillow has a switch for this, ImageFile.LOAD_TRUNCATED_IMAGES, but it is one for the whole process
and other threads must go on refusing such files. So the switch is left alone: the decoders write
straight into the image's memory, and what they had written when they failed is kept.
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
"""The encoder's zero is 127, so the missing part says nothing. Modes left out start at 0."""
_END_OF_JPEG: Final = b"\xff\xd9"


def decode_the_rest(image: Image.Image) -> None:
    """Decode an open image as far as its data go; it is then loaded, the missing part blank."""
    if not isinstance(image, ImageFile.ImageFile):
        return
    image.im = Image.new(image.mode, image.size, _GREY.get(image.mode, 0)).im
    if isinstance(image, JpegImageFile):
        _end_it(image)
    try:
        image.load()
    except Exception:
        image.tile = []  # nothing more to decode: load() from here on gives what there is


def _end_it(image: JpegImageFile) -> None:
    """Give the decoder the end marker where the file lacks it.

    A progressive JPEG gives its pixels no sooner.
    """
    read, ends = image.load_read, [_END_OF_JPEG]

    def read_to_the_end(length: int) -> bytes:
        return read(length) or (ends.pop() if ends else b"")

    image.load_read = read_to_the_end  # type: ignore[assignment, method-assign]
