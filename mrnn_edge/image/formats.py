"""The picture formats that are read; unidentified.py describes other files.

Takes a file, returns a Pillow image whose pixels are not decoded yet. The content decides, never
the suffix.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from mrnn_edge.errors import FileError
from mrnn_edge.paths import open_nonblocking

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
        from mrnn_edge.image.unidentified import open_unidentified  # few files need it

    return open_unidentified(file, name, FORMATS)
