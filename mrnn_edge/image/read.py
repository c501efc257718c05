"""Any picture in, uint8 pixels [H, W, 3] of the model's size out; for training and run time.

A much larger JPEG is decoded at a reduced scale. Every exception of the codecs becomes an
InputError. Knows no model but its size. formats.py lists the formats, salvage.py reads truncated
files.
"""

import errno
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import IO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import (
    FileError,
    ImageDecodeError,
    ImageInputError,
    ImageTooLargeError,
    InputError,
)
from mrnn_edge.image.formats import open_file, open_image

Pixels: TypeAlias = NDArray[np.uint8]
_Box: TypeAlias = tuple[float, float, float, float]
"""The area of the picture in a JPEG decoded at a reduced scale: at 1/8, 900 pixels are 112.5; the
last half pixel is padding."""
ImageSource: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | Pixels

MAX_PIXELS: Final = 89_478_485
"""Larger pictures are refused before decoding. Pillow warns above the same limit (a quarter of a
GiB of RGB)."""

DRAFT: Final = 2
"""A JPEG is decoded at the smallest of its DCT's scales (1/2, 1/4, 1/8) that is still so many times
the model's size, which leaves the antialiased resize a factor of at least two. Pictures with a side
below four times the model's, as all of Flickr8K at 224, are decoded in full. docs/startup.md has
the effect on captions."""

_BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_READ_FAILURES: Final = frozenset(
    (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT)
)
"""Failures of a disk or network. Damaged pictures raise others, such as EINVAL for a negative
offset."""

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""
_ON_THE_SIDE: Final = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))
_GAP: Final = 3.0
"""Pillow's reducing gap: large pictures shrink by whole factors first, which it documents as close
to the full computation from 3.0 on."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture ready for the encoder."""

    pixels: Pixels
    """uint8 [H, W, 3] of the model's size, RGB, upright."""
    frames: int
    """Frames or pages of the file, of which this is the first; 1 for a still."""
    notes: tuple[str, ...]
    """Remarks for people about how it was read."""
    decode_ms: float
    """Wall time of reading and resizing."""


@dataclass(frozen=True)
class _Decoded:
    """An open picture, its first frame decoded."""

    rgb: Image.Image
    opened: Image.Image | None
    """The file, to count its frames; None if it has only one."""
    notes: tuple[str, ...]

    def frames(self) -> tuple[int, tuple[str, ...]]:
        """The number of frames, from the headers, and notes. Only the first frame is decoded."""
        try:
            return int(getattr(self.opened, "n_frames", 1)), self.notes
        except Exception:
            return 1, (*self.notes, "damaged after the first frame")


def read_picture(source: ImageSource, spec: ImageSpec, *, allow_truncated: bool = False) -> Picture:
    """The first frame, upright, on white where transparent, in the model's size.

    `source` is a path, the bytes of a file, a binary file object, a Pillow image, or a uint8 array
    [H, W, 3] in RGB order. With `allow_truncated` a truncated or partly damaged file is read as
    far as possible, with a note. Raises an InputError if the picture cannot be read.
    """
    start = time.perf_counter()
    frames, notes = 1, tuple[str, ...]()
    shape = (spec.height, spec.width, 3)
    if isinstance(source, np.ndarray) and source.shape == shape and source.dtype == np.uint8:
        pixels = np.array(source, order="C")  # a copy, without Pillow
    else:
        with _decoded(source, allow_truncated, spec) as decoded:
            pixels = to_pixels(decoded.rgb, spec)
            # Counting moves the file on to other frames, so the pixels are taken first.
            frames, notes = decoded.frames()
    spent = time.perf_counter() - start
    return Picture(pixels=pixels, frames=frames, notes=notes, decode_ms=spent * 1000.0)


def as_picture(source: "ImageSource | Picture", spec: ImageSpec) -> Picture:
    """The Picture itself, or `read_picture` of another source.

    Raises ImageInputError for a Picture that was read for a model of another size.
    """
    if not isinstance(source, Picture):
        return read_picture(source, spec)
    pixels = source.pixels
    if pixels.shape != (spec.height, spec.width, 3) or pixels.dtype != np.uint8:
        raise ImageInputError(
            f"a picture read as {list(pixels.shape)}, {pixels.dtype}; expected "
            f"[{spec.height}, {spec.width}, 3], uint8; read it for this model"
        )
    return source


def read_pixels(source: ImageSource, spec: ImageSpec) -> Pixels:
    """The pixels of `read_picture`, uint8 [H, W, 3], alone."""
    return read_picture(source, spec).pixels


def to_pixels(image: Image.Image, spec: ImageSpec) -> Pixels:
    """An upright RGB image stretched to the size, as uint8 [H, W, 3].

    Bicubic with antialiasing; a picture of that size is unchanged.
    """
    resized = image.resize((spec.width, spec.height), Image.Resampling.BICUBIC, reducing_gap=_GAP)
    return np.asarray(resized, dtype=np.uint8)


def load_image(source: ImageSource, *, allow_truncated: bool = False) -> Image.Image:
    """The picture of `read_picture` as an RGB image of its own size."""
    with _decoded(source, allow_truncated, None) as decoded:
        return decoded.rgb


@contextmanager
def _decoded(
    source: ImageSource, allow_truncated: bool, spec: ImageSpec | None
) -> Iterator[_Decoded]:
    """The open picture in its own size; with `spec`, perhaps at a reduced scale."""
    if isinstance(source, np.ndarray):
        yield _Decoded(_from_array(source), None, ())
    elif isinstance(source, Image.Image):
        with _guarded("the image"):
            # The caller's own, always decoded in full.
            rgb, notes = _decode(source, "the image", None)
            yield _Decoded(rgb, None, notes)
    elif isinstance(source, bytes):
        with _from_file(io.BytesIO(source), "the bytes", allow_truncated, spec) as decoded:
            yield decoded
    elif isinstance(source, str | os.PathLike):
        with (
            open_file(source) as file,
            _from_file(file, os.fspath(source), allow_truncated, spec) as decoded,
        ):
            yield decoded
    elif isinstance(source, io.TextIOBase):
        raise ImageInputError('a file open as text is not a picture; open it with mode "rb"')
    elif hasattr(source, "read") and hasattr(source, "seek"):
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the file object"
        with _from_file(source, name, allow_truncated, spec) as decoded:
            yield decoded
    else:
        raise ImageInputError(
            f"a picture cannot be made of {type(source).__name__}; "
            "give a path, bytes, a file object, a Pillow image or a uint8 array [H, W, 3]"
        )


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise ImageInputError(
            f"an array of shape {list(array.shape)} and type {array.dtype} is not a picture; "
            "expected uint8 [H, W, 3] in RGB order"
        )
    return Image.fromarray(np.ascontiguousarray(array))


@contextmanager
def _from_file(
    file: IO[bytes], name: str, allow_truncated: bool, spec: ImageSpec | None
) -> Iterator[_Decoded]:
    with _guarded(name):
        decoded = _read_file(file, name, allow_truncated, spec)
        with decoded.opened or nullcontext():
            yield decoded


def _read_file(
    file: IO[bytes], name: str, allow_truncated: bool, spec: ImageSpec | None
) -> _Decoded:
    try:
        return _read_whole(file, name, spec)
    except ImageDecodeError as error:
        refused = error
    from mrnn_edge.image.pixels_only import Bare, pixels_only  # few pictures need it

    sources = [Bare(file), *pixels_only(file)]
    tries = [(_read_whole, source) for source in sources[1:]]
    if allow_truncated:
        tries += [(_read_the_rest, source) for source in sources]
    for read, source in tries:
        try:
            decoded = read(source.file, name, spec)
            return replace(decoded, rgb=source.restore(decoded.rgb))
        except ImageDecodeError as error:
            refused = error
    raise refused


def _read_whole(file: IO[bytes], name: str, spec: ImageSpec | None) -> _Decoded:
    with _guarded(name):
        image = open_image(file, name)
        rgb, notes = _decode(image, name, spec)
        return _Decoded(rgb, image, notes)


def _read_the_rest(file: IO[bytes], name: str, spec: ImageSpec | None) -> _Decoded:
    """The readable part of a truncated or damaged file."""
    from mrnn_edge.image.salvage import decode_the_rest  # few pictures need it

    with _guarded(name), open_image(file, name) as image:
        _check_size(image, name)
        box = _draft(image, spec)
        decode_the_rest(image)
        rgb, notes = _finished(image, spec, box)
        if len(rgb.getcolors(1) or ()) == 1:
            raise ImageDecodeError(f"{name}: no part of it can be read; get a new copy")
        return _Decoded(rgb, None, (*notes, "cut off or damaged, the missing part is blank"))


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Turn whatever a codec raises into an InputError."""
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise ImageTooLargeError(
            f"{name}: not enough memory for it; make it smaller first"
        ) from None
    except _BOMBS:
        raise ImageTooLargeError(
            f"{name}: more than {MAX_PIXELS:,} pixels, the limit; make it smaller first"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _READ_FAILURES:
            raise FileError(f"{name}: cannot be read ({error}); check the disk") from None
        # Pillow raises OSError, SyntaxError, ValueError, RuntimeError, TypeError and struct.error
        # for damaged files (661,175 mutated pictures tried).
        raise ImageDecodeError(
            f"{name}: truncated or damaged picture ({error}); get a whole copy"
        ) from error


def _decode(
    image: Image.Image, name: str, spec: ImageSpec | None
) -> tuple[Image.Image, tuple[str, ...]]:
    """The image in RGB, upright, and notes."""
    _check_size(image, name)
    box = _draft(image, spec)
    image.load()
    return _finished(image, spec, box)


def _draft(image: Image.Image, spec: ImageSpec | None) -> _Box | None:
    """Set a large JPEG to decode at a reduced scale; None for pictures decoded in full."""
    if spec is None:
        return None
    # The same for both sides, as the picture may be turned later.
    side = DRAFT * max(spec.width, spec.height)
    size = image.size
    drafted = image.draft(None, (side, side))  # does nothing for other formats
    return None if drafted is None or image.size == size else drafted[1]


def _finished(
    image: Image.Image, spec: ImageSpec | None, box: _Box | None
) -> tuple[Image.Image, tuple[str, ...]]:
    """A decoded image in RGB, upright; in the model's size if decoded at a reduced scale."""
    turn, notes = _turn(image)
    if spec is not None and box is not None:  # turning last is cheaper
        size = (spec.width, spec.height)
        size = size[::-1] if turn in _ON_THE_SIDE else size
        image = image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=_GAP)
    rgb = _to_rgb(image)  # first: transpose drops the tags of the file
    return rgb if turn is None else rgb.transpose(turn), notes


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageTooLargeError(
            f"{name}: {width} x {height} is {width * height:,} pixels, "
            f"the limit is {MAX_PIXELS:,}; make it smaller first"
        )
    if 0 in image.size:
        raise ImageInputError(f"{name}: {width} x {height} has no pixels")


def _turn(image: Image.Image) -> tuple[Image.Transpose | None, tuple[str, ...]]:
    """The turn that sets the image upright; none for an orientation out of range.

    Pillow's exif_transpose rewrites the whole EXIF and fails for damaged tags.
    """
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1)), ()
    except Exception:
        # Damaged EXIF raises ValueError, TypeError, struct.error and others.
        return None, ("damaged EXIF, taken as it lies",)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    # The bytes of a grey TIFF may be signed, which Pillow's mode does not show.
    grey_tiff = image.mode == "L" and image.format == "TIFF"
    if image.mode.startswith("I") or image.mode == "F" or grey_tiff:
        from mrnn_edge.image.deep_grey import deep_grey_to_rgb  # few pictures need it

        return deep_grey_to_rgb(image)
    if image.has_transparency_data:
        # Transparent pixels have a hidden colour, which convert("RGB") would show.
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")
