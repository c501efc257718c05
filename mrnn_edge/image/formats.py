"""Which formats of pictures are read, and what bytes that are no picture look like.

Takes the bytes of a file, gives a Pillow image whose pixels are not decoded yet. Content decides,
never a suffix.
"""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from mrnn_edge.errors import FileError, ImageDecodeError, UnsupportedImageError, install_command

if TYPE_CHECKING:
    from PIL import Image

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's names of what is read. EPS, PSD and the like start other programs or parse far more
than a photo needs. The pictures of stereo phones (MPO) open as JPEG."""

SUFFIXES: Final = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjpg", ".pjp"),
        *(".mpo", ".jps", ".insp", ".png", ".apng", ".pns", ".webp", ".gif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".ptif", ".ptiff", ".gtif", ".gtiff", ".btf", ".tf8"),
        *(".avif", ".avifs", ".heic", ".heif", ".heics", ".heifs", ".hif"),
    )
)
"""Suffixes, lower-case, by which a folder's pictures are found. HEIC is among them with or without
its extra: a library of such pictures must hear of the extra, not of nothing. Beside the usual ones
are those of browsers and mail (.jfif, .pjpeg), of stereo and 360 degree cameras (.mpo, .jps, .pns,
.insp), of large TIFFs and maps, and of Canon, Fujifilm and Sony (.hif)."""

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
_EXPECTED: Final = "a picture in " + ", ".join(FORMATS)


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """A file to read pictures from. Raises FileError if it cannot be, also while it is read."""
    name = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{name}: is a folder, expected a picture; `caption -r` takes folders")
        if not stat.S_ISREG(mode):
            # A FIFO or a device would block or never end.
            raise FileError(f"{name}: is no regular file; copy the picture into a file first")
        # Nor may one block that has taken the file's place since.
        with open(path, "rb", opener=_without_waiting) as file:
            yield file
    except FileNotFoundError:
        raise FileError(f"{name}: no such file; check the path") from None
    except PermissionError:
        raise FileError(f"{name}: no permission to read it; check its owner and mode") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise FileError(f"{name}: cannot be read ({error})") from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def open_image(file: IO[bytes], name: str) -> "Image.Image":
    """The picture in a file, its header read, its pixels not decoded.

    Raises UnsupportedImageError where there is none, ImageDecodeError where its head is damaged.
    """
    from PIL import Image, UnidentifiedImageError  # who lists files needs none of it

    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        pass
    file.seek(0)
    head = file.read(64)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return _open_heic(file, name)
    for start, kind in _BEGINNINGS:
        if start.match(head):
            raise ImageDecodeError(
                f"{name}: begins like a {kind} picture, but its head cannot be read; "
                "get a whole copy, or convert it to JPEG"
            )
    raise UnsupportedImageError(f"{name}: {_describe(head)}; expected {_EXPECTED}")


def _open_heic(file: IO[bytes], name: str) -> "Image.Image":
    # Not registered with Pillow: that would be for the whole process, and for every Image.open.
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
    """What bytes that are no picture look like, for the error message."""
    if not head:
        return "is empty"
    for start, kind in _LOOKS_LIKE:
        if head.lstrip().lower().startswith(start.lower()):
            return f"looks like {kind}"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "looks like text"
    return "is no picture that is known here"
