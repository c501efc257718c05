"""The picture formats that are read, and descriptions of other files.

Takes a file, returns a Pillow image whose pixels are not decoded yet. The content decides, never
the suffix.
"""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from mrnn_edge.errors import FileError, ImageDecodeError, UnsupportedImageError, install_command
from mrnn_edge.files import open_nonblocking

if TYPE_CHECKING:
    from PIL import Image

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's names of what is read. EPS, PSD and the like start other programs or parse far more
than a photo needs. The pictures of stereo phones (MPO) open as JPEG."""

MAC_HALF: Final = "._"
"""How the name begins under which a Mac keeps, on foreign disks, the resources of another file."""

SUFFIXES: Final = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjpg", ".pjp"),
        *(".mpo", ".jps", ".insp", ".png", ".apng", ".pns", ".webp", ".gif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".ptif", ".ptiff", ".gtif", ".gtiff", ".btf", ".tf8"),
        *(".avif", ".avifs", ".heic", ".heif", ".heics", ".heifs", ".hif"),
    )
)
"""Lower-case suffixes of the pictures in a folder. HEIC is included without its extra too, so that
the error can name the extra. Beside the usual ones there are those of browsers and mail (.jfif,
.pjpeg), stereo and 360 degree cameras (.mpo, .jps, .pns, .insp), large TIFFs and maps, and Canon,
Fujifilm and Sony (.hif)."""

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
    """Open a picture file. Raises FileError if it cannot be opened or read."""
    name = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{name}: is a folder, expected a picture; `caption -r` takes folders")
        if not stat.S_ISREG(mode):
            # A FIFO or a device would block or never end.
            raise FileError(f"{name}: is not a regular file; copy the picture into a file first")
        # Without blocking, in case a FIFO has replaced the file since.
        with open(path, "rb", opener=open_nonblocking) as file:
            yield file
    except FileNotFoundError:
        raise FileError(f"{name}: no such file; check the path") from None
    except PermissionError:
        raise FileError(f"{name}: no permission to read it; check its owner and mode") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise FileError(f"{name}: cannot be read ({error})") from None


def open_image(file: IO[bytes], name: str) -> "Image.Image":
    """Read the header of a picture; its pixels are not decoded.

    Raises UnsupportedImageError for another file, ImageDecodeError for a damaged header.
    """
    from PIL import Image, UnidentifiedImageError  # listing files does not need Pillow

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
                f"{name}: begins like a {kind} picture, but its header cannot be read; "
                "get a whole copy, or convert it to JPEG"
            )
    raise UnsupportedImageError(f"{name}: {_describe(head)}; expected {_EXPECTED}")


def _open_heic(file: IO[bytes], name: str) -> "Image.Image":
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
