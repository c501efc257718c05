"""Files that Pillow does not identify: HEIC, which an extra reads, and descriptions of the rest."""

import re
from collections.abc import Sequence
from typing import IO, Final

from PIL import Image

from mrnn_edge.errors import ImageDecodeError, UnsupportedImageError, install_command

_LOOKS_LIKE: Final = (
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (b"%PDF", "a PDF document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG document"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"icns", "an Apple icon"),
)
_HEIC_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_BEGINNINGS: Final = tuple(
    (re.compile(start, re.DOTALL), kind)
    for start, kind in (
        (rb"\xff\xd8\xff", "JPEG"),
        (rb"\x89PNG\r\n", "PNG"),
        (rb"GIF8[79]a", "GIF"),
        (rb"RIFF.{4}WEBP", "WebP"),
        (rb"II[*+]\0|MM\0[*+]", "TIFF"),
        (rb".{4}ftypavi[fs]", "AVIF"),
    )
)


def open_unidentified(file: IO[bytes], name: str, formats: Sequence[str]) -> Image.Image:
    """Read the header of a HEIC picture.

    Raises UnsupportedImageError for another file, ImageDecodeError where it begins like one of the
    `formats`.
    """
    file.seek(0)
    head = file.read(64)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return _open_heic(file, name)
    for start, kind in _BEGINNINGS:
        if start.match(head):
            raise ImageDecodeError(
                f"{name}: begins like a {kind} picture, but its header cannot be read; "
                "get a whole copy, or convert it to JPEG"
            )
    expected = f"a picture in {', '.join(formats)}"
    raise UnsupportedImageError(f"{name}: {_describe(head)}; expected {expected}")


def _open_heic(file: IO[bytes], name: str) -> Image.Image:
    # Not registered with Pillow, which would affect every Image.open of the process.
    try:
        from pi_heif.as_plugin import HeifImageFile
    except ImportError:
        raise UnsupportedImageError(
            f"{name}: is a HEIC picture; {install_command('heic')}, or convert it to JPEG"
        ) from None
    file.seek(0)
    image: Image.Image = HeifImageFile(file)
    return image


def _describe(head: bytes) -> str:
    """A description of bytes that are not a picture, for the error message."""
    if not head:
        return "is empty"
    for start, kind in _LOOKS_LIKE:
        if head.lstrip().lower().startswith(start.lower()):
            return f"looks like {kind}"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "looks like text"
    return "unrecognised file type"
