"""The file of a picture without its metadata: texts, colour profiles and tags are left out.

Pillow reads both together and refuses a picture whose metadata are damaged or would take much
memory; its switches for that are process-wide. So a refused picture is read again from a file made
of those parts of the first that hold its first frame or its orientation. Nothing is copied. Knows
how files are divided; checks no pixels.
"""

import io
import itertools
import os
import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from PIL import Image, ImageChops

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Piece: TypeAlias = bytes | range
"""Bytes, or a range of the file below."""
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


@dataclass(frozen=True)
class _Variant:
    pieces: list[Piece]
    inverted: bool = False


def pixels_only(file: IO[bytes]) -> Iterator[Bare]:
    """Files to try in place of a picture's own, the most complete first; often none."""
    parts = _Parts(file)
    head = parts.read(0, 12)
    for divide, matches in _FORMATS:
        if matches(head):
            try:
                variants = list(divide(parts))
            except (struct.error, IndexError, ValueError):
                return  # the parts that hold pixels are damaged
            for each in variants:
                yield Bare(io.BufferedReader(_Joined(file, each.pieces)), each.inverted)


class _Joined(io.RawIOBase):
    """Pieces one after the other as a file. Closing it leaves the file below open."""

    def __init__(self, file: IO[bytes], pieces: Sequence[Piece]) -> None:
        self._file = file
        self._pieces = pieces
        self._starts = list(itertools.accumulate(map(len, pieces), initial=0))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError(f"{base + offset} is before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """The number of bytes read: 0 at the end, or where the file below ends early."""
        view = memoryview(buffer).cast("B")
        found = bisect_right(self._starts, self._at) - 1
        if found == len(self._pieces):
            return 0
        piece, skip = self._pieces[found], self._at - self._starts[found]
        if isinstance(piece, bytes):
            data = piece[skip : skip + len(view)]
        else:
            self._file.seek(piece.start + skip)
            data = self._file.read(min(len(view), len(piece) - skip))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


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
        self._file.seek(at)
        return self._file.read(length)


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
        yield _Variant(whole)
    if whole and animated:
        yield _Variant(_png_chunks(parts, _PNG_PIXELS)[0])


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
    yield _Variant(pieces)


def _jpeg_keeps(marker: int, beginning: bytes, length: int) -> bool:
    """Whether a segment holds pixels, their colour space or an orientation."""
    if marker == 0xE0:
        return beginning.startswith(b"JFIF\0") and length >= 14
    if marker == 0xEE:
        return beginning.startswith(b"Adobe") and length >= 12
    if marker == 0xE1:
        return beginning.startswith((b"Exif\0\0", b"http://ns.ad"))
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


_WEBP_PIXELS: Final = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_WEBP_METADATA: Final = frozenset((b"ICCP", b"EXIF", b"XMP "))
_WEBP_PROFILE, _WEBP_EXIF, _WEBP_XMP = 0x20, 0x08, 0x04
"""The bits of VP8X that announce chunks."""


def _webp(parts: _Parts) -> Iterator[_Variant]:
    chunks: list[Piece] = []
    flags, at, exif = 0, 12, 0
    while at + 8 <= parts.size:
        kind, length = struct.unpack("<4sI", parts.read(at, 8))
        start, at = at, at + 8 + length + length % 2
        if kind == b"VP8X":
            flags = parts.read(start + 8, 1)[0]
            chunks += [range(start, start + 8), b"", range(start + 9, at)]
        elif kind in _WEBP_PIXELS:
            chunks.append(range(start, at))
        elif kind == b"EXIF" and at <= parts.size:
            chunks.append(range(start, at))
            exif = _WEBP_EXIF
        elif kind not in _WEBP_METADATA:
            return  # bytes are missing at an unknown place before
    if len(chunks) > 1 and chunks[1] == b"":
        chunks[1] = bytes([flags & ~(_WEBP_PROFILE | _WEBP_EXIF | _WEBP_XMP) | exif])
    length = 4 + sum(map(len, chunks))
    yield _Variant([b"RIFF" + struct.pack("<I", length) + b"WEBP", *chunks])


def _gif(parts: _Parts) -> Iterator[_Variant]:
    flags = parts.read(10, 1)[0]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    pieces: list[Piece] = [range(at)]
    while True:
        mark, label, length = struct.unpack("BBB", parts.read(at, 3))
        if mark == ord(","):
            _append(pieces, range(at, parts.size))
            yield _Variant(pieces)
        if mark != ord("!"):
            return
        start, at = at, at + 2
        while length:
            at += 1 + length
            length = parts.read(at, 1)[0]
        at += 1
        if label == 0xF9 and at - start == 8:  # names the transparent colour
            _append(pieces, range(start, at))


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

    yield _Variant(with_tags(kept))
    photometric = kept.get(_PHOTOMETRIC)
    if photometric is None or struct.unpack(order + "H", photometric[8:10])[0] == 0:
        kept[_PHOTOMETRIC] = struct.pack(order + "HHIHH", _PHOTOMETRIC, 3, 1, 1, 0)
        if len(kept) <= count:
            yield _Variant(with_tags(kept), inverted=True)


_LARGEST_LIST: Final = 1 << 20
_METADATA_ITEM: Final = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))(?:Exif|mime)", re.DOTALL)


def _avif(parts: _Parts) -> Iterator[_Variant]:
    """Its Exif and XMP are items like its pixels; items of unknown kind are ignored."""
    at = 0
    while at + 8 <= parts.size:
        length, kind = struct.unpack(">I4s", parts.read(at, 8))
        if kind == b"meta" and 8 <= length <= _LARGEST_LIST:
            listed = _METADATA_ITEM.sub(rb"\1none", parts.read(at + 8, length - 8))
            yield _Variant([range(at + 8), listed, range(at + length, parts.size)])
        if kind == b"meta" or length < 8:
            return
        at += length


_FORMATS: Final[
    tuple[tuple[Callable[[_Parts], Iterator[_Variant]], Callable[[bytes], bool]], ...]
] = (
    (_png, lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    (_jpeg, lambda head: head.startswith(b"\xff\xd8")),
    (_webp, lambda head: head.startswith(b"RIFF") and head.endswith(b"WEBP")),
    (_gif, lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    (_tiff, lambda head: head.startswith((b"II*\0", b"MM\0*", b"II\0*", b"MM*\0"))),
    (_avif, lambda head: head[4:8] == b"ftyp"),
)
