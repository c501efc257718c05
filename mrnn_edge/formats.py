"""Which formats of pictures are read, and what bytes that are no picture look like.

Takes the bytes of a file, gives a Pillow image whose pixels are not decoded yet. Content decides,
never a suffix.
"""

from typing import IO, Final

from PIL import Image, UnidentifiedImageError

from mrnn_edge.errors import UnsupportedImageError

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's names of what is read. EPS, PSD and the like start other programs or parse far more
than a photo needs. The pictures of stereo phones (MPO) open as JPEG."""

SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".mpo")
)
"""Suffixes, lower-case, by which a folder's pictures are found."""

_LOOKS_LIKE: Final = (
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (b"%PDF", "a PDF document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG document"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
)
_HEIC_BRANDS: Final = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def open_image(file: IO[bytes], name: str) -> Image.Image:
    """The picture in a file, its header read. Raises UnsupportedImageError where there is none."""
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise UnsupportedImageError(f"{name}: {_describe(file)}") from None


def _describe(file: IO[bytes]) -> str:
    """What bytes that are no picture look like, for the error message."""
    file.seek(0)
    head = file.read(64)
    expected = "expected a picture in " + ", ".join(FORMATS)
    if not head:
        return f"is empty; {expected}"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return f"is a HEIC picture; {expected}; convert it to JPEG"
    for start, kind in _LOOKS_LIKE:
        if head.lstrip().lower().startswith(start.lower()):
            return f"looks like {kind}; {expected}"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return f"looks like text; {expected}"
    return f"is no picture that is known here; {expected}"
