"""The file of a picture without its metadata: texts, colour profiles and tags are left out.

Pillow reads both together and refuses a picture whose metadata are damaged or would take much
memory; its switches for that are process-wide. So a refused PNG, JPEG or TIFF is read again from a
copy of those parts that hold its first frame or its orientation. Knows how files are divided;
checks no pixels.
"""

import io
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Final, TypeAlias

from PIL import Image, ImageChops

Piece: TypeAlias = bytes | range
"""Bytes, or a range of the file below."""
_Variant: TypeAlias = tuple[list[Piece], bool]
"""A file to try, and whether its black and white are swapped."""
_LARGEST: Final = 1 << 27
"""Bytes of a file that is copied."""
_MOST_PARTS: Final = 1 << 17
"""A PNG of the most pixels that are read has a third of them. Reading so many takes a quarter of a
second; a file of nothing but headers of parts could have millions."""


@dataclass(frozen=True)
class Bare:
    """A file to read in place of a picture's own."""

    file: IO[bytes]
    inverted: bool = False
    """Whether black and white are swapped: Pillow reads some kinds of grey only in that way."""

    def restore(self, image: Image.Image) -> Image.Image:
        """The RGB image of the file with black and white swapped back if needed."""
        return ImageChops.invert(image) if self.inverted else image


def pixels_only(file: IO[bytes]) -> Iterator[Bare]:
    """Files to try in place of a picture's own, the most complete first; often none."""
    parts = _Parts(file)
    beginning = parts.read(0, 8)
    divide = next((each for start, each in _FORMATS if beginning.startswith(start)), None)
    if divide is None or parts.size > _LARGEST:
        return
    try:
        variants = list(divide(parts))
    except (struct.error, IndexError, ValueError):
        return  # the parts that hold pixels are damaged
    for pieces, inverted in variants:
        yield Bare(io.BytesIO(b"".join(map(parts.content, pieces))), inverted)


class _Parts:
    """Reads the headers of a file's parts, a limited number of them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _MOST_PARTS
        self.size = file.seek(0, os.SEEK_END)

    def read(self, at: int, length: int) -> bytes:
        """So many bytes from there, fewer at the end. Raises ValueError after too many calls."""
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many parts")
        return self.content(range(at, at + length))

    def content(self, piece: Piece) -> bytes:
        """The bytes of a piece, fewer at the end."""
        if isinstance(piece, bytes):
            return piece
        self._file.seek(piece.start)
        return self._file.read(len(piece))


_PNG_PIXELS: Final = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_PNG_FRAMES: Final = frozenset((b"acTL", b"fcTL", b"fdAT"))
_PNG_TURNS: Final = {
    b"eXIf": b"",
    b"tEXt": b"Raw profile type exif\0",
    b"zTXt": b"Raw profile type exif\0",
    b"iTXt": b"XML:com.adobe.xmp\0",
}
"""Chunks that may hold an orientation, and how they begin then."""
_LARGEST_TURN: Final = 1 << 20
_ANCILLARY: Final = 0x20
"""The bit of a chunk's first letter that marks it as optional."""
_PALETTE: Final = 3
"""The colour type whose pixels index the palette; for others the palette is a suggestion."""


def _png(parts: _Parts) -> Iterator[_Variant]:
    whole, animated = _png_chunks(parts, _PNG_PIXELS | _PNG_FRAMES)
    if whole:
        yield whole, False
    if whole and animated:
        yield _png_chunks(parts, _PNG_PIXELS)[0], False


def _png_chunks(parts: _Parts, keep: frozenset[bytes]) -> tuple[list[Piece], bool]:
    """The pieces, empty without pixels, and whether chunks of frames are among them."""
    pieces: list[Piece] = [range(8)]
    seen: set[bytes] = set()
    at, colour = 8, 0
    while at < parts.size:
        length, kind = struct.unpack(">I4s", parts.read(at, 8))
        start, at = at, at + 12 + length
        if kind == b"IHDR":
            colour = parts.read(start + 17, 1)[0]
        if kind == b"PLTE" and colour != _PALETTE:
            continue
        turns = kind in _PNG_TURNS and kind not in seen and _turns(parts, start + 8, kind, length)
        if kind in keep or turns:
            seen.add(kind)
            _append(pieces, range(start, at))
        elif not kind[0] & _ANCILLARY:
            return [], False  # its effect on the pixels is unknown
        if kind == b"IEND":
            break
    return (pieces, not seen.isdisjoint(_PNG_FRAMES)) if b"IDAT" in seen else ([], False)


def _turns(parts: _Parts, at: int, kind: bytes, length: int) -> bool:
    """Whether the chunk at `at` may hold an orientation and Pillow accepts it."""
    from PIL.PngImagePlugin import PngStream

    beginning = _PNG_TURNS[kind]
    if length > _LARGEST_TURN or parts.read(at, len(beginning)) != beginning:
        return False
    stream = PngStream(io.BytesIO(parts.read(at, length + 4)))
    try:
        stream.crc(kind, stream.call(kind, 0, length))
    except Exception:
        return False
    return True


def _append(pieces: list[Piece], piece: range) -> None:
    """Append a piece, joined to the last one if it follows directly."""
    last = pieces[-1]
    if isinstance(last, range) and last.stop == piece.start:
        pieces[-1] = range(last.start, piece.stop)
    else:
        pieces.append(piece)


_JPEG_SCAN: Final = 0xDA
_JPEG_BARE: Final = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length."""


def _jpeg(parts: _Parts) -> Iterator[_Variant]:
    pieces: list[Piece] = [range(2)]
    at, marker = 2, 0
    while marker != _JPEG_SCAN:
        filler, marker, length = struct.unpack(">BBH", parts.read(at, 4))
        if filler != 0xFF:
            return
        start = at
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + max(2, length)
            if _jpeg_keeps(marker, parts.read(start + 4, 12), length - 2):
                _append(pieces, range(start, at if marker != _JPEG_SCAN else parts.size))
    yield pieces, False


def _jpeg_keeps(marker: int, beginning: bytes, length: int) -> bool:
    """Whether a segment holds pixels, their colour space or an orientation."""
    if marker == 0xE0:
        return beginning.startswith(b"JFIF\0") and length >= 14
    if marker == 0xEE:
        return beginning.startswith(b"Adobe") and length >= 12
    if marker == 0xE1:
        return beginning.startswith((b"Exif\0\0", b"http://ns.ad"))
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


_PHOTOMETRIC: Final = 262
"""Whether zero is black or white, or which colours there are."""
_TIFF_PIXELS: Final = frozenset(
    (
        *(254, 256, 257, 258, 259, _PHOTOMETRIC, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317),
        *(320, 322, 323, 324, 325, 332, 338, 339, 347, 512, 513, 514, 515, 519, 520, 521),
        *(529, 530, 531, 532),
    )
)
"""Tags: size, layout, compression, colours, orientation."""


def _tiff(parts: _Parts) -> Iterator[_Variant]:
    """The file with fewer tags in its list, but the same length and offsets.

    With the list appended, a truncated picture would read its missing pixels from the list.
    """
    order = "<" if parts.read(0, 1) == b"I" else ">"
    (place,) = struct.unpack(order + "I", parts.read(4, 4))
    (count,) = struct.unpack(order + "H", parts.read(place, 2))
    tags = [parts.read(place + 2 + 12 * number, 12) for number in range(count)]
    end = place + 6 + 12 * count
    next_page = parts.read(end - 4, 4)
    numbered = ((struct.unpack(order + "H", tag[:2])[0], tag) for tag in tags)
    kept = {number: tag for number, tag in numbered if number in _TIFF_PIXELS}

    def with_tags(tags: Mapping[int, bytes]) -> list[Piece]:
        in_order = b"".join(tags[number] for number in sorted(tags))
        listed = struct.pack(order + "H", len(tags)) + in_order + next_page
        return [range(place), listed.ljust(end - place, b"\0"), range(end, parts.size)]

    yield with_tags(kept), False
    photometric = kept.get(_PHOTOMETRIC)
    if photometric is None or struct.unpack(order + "H", photometric[8:10])[0] == 0:
        kept[_PHOTOMETRIC] = struct.pack(order + "HHIHH", _PHOTOMETRIC, 3, 1, 1, 0)
        if len(kept) <= count:
            yield with_tags(kept), True


_FORMATS: Final[tuple[tuple[bytes, Callable[[_Parts], Iterator[_Variant]]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
