"""Any picture in, uint8 pixels [H, W, 3] of the model's size out; for training and run time.

Content decides what a file is, never its suffix. Every exception of the codecs becomes an
InputError here. Knows Pillow and numpy; knows no model beyond the size it asks for.
"""

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mrnn_edge.config import ImageSpec
from mrnn_edge.errors import (
    FileError,
    ImageDecodeError,
    ImageInputError,
    ImageTooLargeError,
    InputError,
    UnsupportedImageError,
)

Pixels: TypeAlias = NDArray[np.uint8]
ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | Pixels"

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's names of what is read. EPS, PSD and the like start other programs or parse far more
than a photo needs. The pictures of stereo phones (MPO) open as JPEG."""

SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".mpo")
)
"""Suffixes, lower-case, by which a folder's pictures are found."""

MAX_PIXELS: Final = 89_478_485
"""Pictures above this are refused before decoding. It is Pillow's own line (a quarter of a GiB of
RGB), so that its warning and this refusal fall together."""

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


def read_pixels(source: ImageSource, spec: ImageSpec) -> Pixels:
    """The picture as uint8 [spec.height, spec.width, 3], RGB, upright.

    Raises an InputError (see errors.py) if there is no such picture.
    """
    return to_pixels(load_image(source), spec)


def to_pixels(image: Image.Image, spec: ImageSpec) -> Pixels:
    """An upright RGB image squeezed into the size, as uint8 [H, W, 3].

    Bicubic with antialiasing; a picture that has the size already is not touched. The reducing gap
    shrinks large pictures by whole factors first, which Pillow documents as close to the full
    computation from 3.0 on.
    """
    resized = image.resize((spec.width, spec.height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(resized, dtype=np.uint8)


def load_image(source: ImageSource) -> Image.Image:
    """The picture as an RGB image: first frame, upright, transparency laid on white.

    `source` is a path, the bytes of a file, a binary file object, a Pillow image, or a uint8 array
    [H, W, 3] in RGB order. Raises an InputError if it is none of these or cannot be read.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _guarded(lambda: _decode(source, "the image"), "the image")
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), "the bytes")
    if isinstance(source, str | os.PathLike):
        return _read_file(Path(source))
    if isinstance(source, io.TextIOBase):
        raise ImageInputError('a file open as text is no picture; open it with mode "rb"')
    if hasattr(source, "read") and hasattr(source, "seek"):
        name = getattr(source, "name", None)
        return _open(source, name if isinstance(name, str) else "the file object")
    raise ImageInputError(
        f"a picture cannot be made of {type(source).__name__}; "
        "give a path, bytes, a file object, a Pillow image or a uint8 array [H, W, 3]"
    )


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise ImageInputError(
            f"an array of shape {list(array.shape)} and type {array.dtype} is no picture; "
            "expected uint8 [H, W, 3] in RGB order"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _read_file(path: Path) -> Image.Image:
    with open_file(path) as file:
        return _open(file, os.fspath(path))


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
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise FileError(f"{name}: no such file; check the path") from None
    except PermissionError:
        raise FileError(f"{name}: no permission to read it; check its owner and mode") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise FileError(f"{name}: cannot be read ({error})") from None


def _open(file: IO[bytes], name: str) -> Image.Image:
    def decode() -> Image.Image:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise UnsupportedImageError(f"{name}: {_describe(file)}") from None
        with image:
            return _decode(image, name)

    return _guarded(decode, name)


def _guarded(decode: Callable[[], Image.Image], name: str) -> Image.Image:
    """Turn whatever a codec raises into an InputError."""
    try:
        return decode()
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLargeError(
            f"{name}: more than {MAX_PIXELS:,} pixels, the limit; make it smaller first"
        ) from None
    except Exception as error:
        # Seen from Pillow on damaged files: OSError, SyntaxError, ValueError, RuntimeError,
        # TypeError, struct.error; no narrower net holds them (661,175 mutated pictures tried).
        raise ImageDecodeError(f"{name}: damaged picture ({error}); get a new copy") from error


def _decode(image: Image.Image, name: str) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageTooLargeError(
            f"{name}: {width} x {height} is {width * height:,} pixels, "
            f"the limit is {MAX_PIXELS:,}; make it smaller first"
        )
    if 0 in image.size:
        raise ImageInputError(f"{name}: {width} x {height} has no pixels")
    try:
        image.load()
    except OSError as error:
        raise ImageDecodeError(
            f"{name}: truncated or damaged picture ({error}); get a whole copy"
        ) from error
    return _to_rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # Broken EXIF raises TypeError, struct.error and others; the picture itself is sound.
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image)
    if image.has_transparency_data:
        # Transparent pixels keep a hidden colour that convert("RGB") would bring out.
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey scaled to 8 bits; convert("RGB") would clip it to white."""
    if image.mode.startswith("I;16"):
        # Byte by byte, so that a large picture is not held four times over in floats.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    values = np.asarray(image, dtype=np.float32)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        # Floats within 0..1 keep that range; others are stretched over their own.
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 1.0)
    else:
        # 32-bit integers hold 8 or 16 bits as a rule; more is scaled to its brightest.
        brightest = float(values.max())
        low, high = 0.0, 255.0 if brightest <= 255.0 else max(65535.0, brightest)
    values = (values - low) * (255.0 / (high - low))
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


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
