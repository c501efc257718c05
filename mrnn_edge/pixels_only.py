"""The file of a picture without its metadata: a text, a colour profile or a tag is no pixel.

Pillow reads both in one go, and refuses a picture over metadata that are damaged or would take much
memory. Its switches for that hold for the whole process. So a picture that was refused is read once
more from here: what is left of its file is what its first frame is made of, and what may turn it.
Knows how files are divided; knows neither what is in the pixels nor whether they are sound.
"""

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from typing import IO, Final

from mrnn_edge import tiff_tags
from mrnn_edge.pieces import Piece, joined


def pixels_only(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """What of a picture's file to try in its place, the one that keeps more first; often none."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    for divide, is_it in _DIVIDED:
        if is_it(head):
            try:
                tries = list(divide(file, size))
            except (struct.error, IndexError, ValueError):
                return  # its own parts are damaged, not what stands beside them
            yield from (joined(file, pieces) for pieces in tries)


_PNG_PIXELS: Final = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_PNG_FRAMES: Final = frozenset((b"acTL", b"fcTL", b"fdAT"))
_PNG_TURNS: Final = {
    b"eXIf": b"",
    b"tEXt": b"Raw profile type exif\0",
    b"zTXt": b"Raw profile type exif\0",
    b"iTXt": b"XML:com.adobe.xmp\0",
}
"""What may turn a picture, and how it begins then."""
_LARGEST_TURN: Final = 1 << 20
_ANCILLARY: Final = 0x20
"""The bit of a chunk's first letter that says: it can be left out."""
_PALETTE: Final = 3
"""The colour type whose pixels are places in the palette; to the others it is a suggestion."""


def _png(file: IO[bytes], size: int) -> Iterator[list[Piece]]:
    whole, animated = _png_chunks(file, size, _PNG_PIXELS | _PNG_FRAMES)
    if whole:
        yield whole
    if whole and animated:
        yield _png_chunks(file, size, _PNG_PIXELS)[0]


def _png_chunks(file: IO[bytes], size: int, keep: frozenset[bytes]) -> tuple[list[Piece], bool]:
    """The pieces, none where no pixels are among them, and whether chunks of frames were."""
    pieces: list[Piece] = [range(8)]
    seen: set[bytes] = set()
    at, colour = 8, 0
    while at < size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        start, at = at, at + 12 + length
        if kind == b"IHDR":
            colour = file.read(13)[9]
        if kind == b"PLTE" and colour != _PALETTE:
            continue
        turns = kind in _PNG_TURNS and kind not in seen and _turns(file, kind, length)
        if kind in keep or turns:
            seen.add(kind)
            _append(pieces, range(start, at))
        elif not kind[0] & _ANCILLARY:
            return [], False  # what it does to the pixels nobody here knows
        if kind == b"IEND":
            break
    return (pieces, not seen.isdisjoint(_PNG_FRAMES)) if b"IDAT" in seen else ([], False)


def _turns(file: IO[bytes], kind: bytes, length: int) -> bool:
    """Whether a chunk may turn the picture and Pillow takes it; the file stands at its body."""
    from PIL.PngImagePlugin import PngStream

    beginning = _PNG_TURNS[kind]
    if length > _LARGEST_TURN or file.read(len(beginning)) != beginning:
        return False
    stream = PngStream(io.BytesIO(beginning + file.read(length + 4 - len(beginning))))
    try:
        stream.crc(kind, stream.call(kind, 0, length))
    except Exception:
        return False
    return True


def _append(pieces: list[Piece], piece: range) -> None:
    """Append it, as one with the last where it follows that one."""
    last = pieces[-1]
    if isinstance(last, range) and last.stop == piece.start:
        pieces[-1] = range(last.start, piece.stop)
    else:
        pieces.append(piece)


_JPEG_SCAN: Final = 0xDA
_JPEG_BARE: Final = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length."""


def _jpeg(file: IO[bytes], size: int) -> Iterator[list[Piece]]:
    pieces: list[Piece] = [range(2)]
    at, marker = 2, 0
    while marker != _JPEG_SCAN:
        file.seek(at)
        filler, marker, length = struct.unpack(">BBH", file.read(4))
        if filler != 0xFF:
            return
        start = at
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + max(2, length)
            if _jpeg_keeps(marker, file.read(12), length - 2):
                _append(pieces, range(start, at if marker != _JPEG_SCAN else size))
    yield pieces


def _jpeg_keeps(marker: int, beginning: bytes, length: int) -> bool:
    """Whether a segment is of the pixels, tells what colours they are in, or may turn them."""
    if marker == 0xE0:
        return beginning.startswith(b"JFIF\0") and length >= 14
    if marker == 0xEE:
        return beginning.startswith(b"Adobe") and length >= 12
    if marker == 0xE1:
        return beginning.startswith((b"Exif\0\0", b"http://ns.ad"))
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


_WEBP_PIXELS: Final = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_WEBP_PROFILE, _WEBP_EXIF, _WEBP_XMP = 0x20, 0x08, 0x04
"""The bits of VP8X that announce chunks."""


def _webp(file: IO[bytes], size: int) -> Iterator[list[Piece]]:
    chunks: list[Piece] = []
    flags, at, exif = 0, 12, 0
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        start, at = at, at + 8 + length + length % 2
        if kind == b"VP8X":
            flags = file.read(1)[0]
            chunks += [range(start, start + 8), b"", range(start + 9, at)]
        elif kind in _WEBP_PIXELS:
            chunks.append(range(start, at))
        elif kind == b"EXIF" and at <= size:
            chunks.append(range(start, at))
            exif = _WEBP_EXIF
    if len(chunks) > 1 and chunks[1] == b"":
        chunks[1] = bytes([flags & ~(_WEBP_PROFILE | _WEBP_EXIF | _WEBP_XMP) | exif])
    length = 4 + sum(map(len, chunks))
    yield [b"RIFF" + struct.pack("<I", length) + b"WEBP", *chunks]


def _gif(file: IO[bytes], size: int) -> Iterator[list[Piece]]:
    file.seek(10)
    flags = file.read(1)[0]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    pieces: list[Piece] = [range(at)]
    while True:
        file.seek(at)
        mark, label, length = struct.unpack("BBB", file.read(3))
        if mark == ord(","):
            _append(pieces, range(at, size))
            yield pieces
        if mark != ord("!"):
            return
        start, at = at, at + 2
        while length:
            at += 1 + length
            file.seek(at)
            length = file.read(1)[0]
        at += 1
        if label == 0xF9 and at - start == 8:  # it says which colour is transparent
            _append(pieces, range(start, at))


def _tiff(file: IO[bytes], size: int) -> Iterator[list[Piece]]:
    """The file with another list of tags behind it: every place in it stays what it was."""
    file.seek(0)
    mark = file.read(4)
    order = "<" if mark.startswith(b"I") else ">"
    (place,) = struct.unpack(order + "I", file.read(4))
    file.seek(place)
    (count,) = struct.unpack(order + "H", file.read(2))
    tags = [file.read(12) for _ in range(count)]
    next_page = file.read(4)
    numbered = ((struct.unpack(order + "H", tag[:2])[0], tag) for tag in tags)
    kept = {number: tag for number, tag in numbered if number in tiff_tags.PIXELS}

    def with_tags(tags: dict[int, bytes]) -> list[Piece]:
        in_order = b"".join(tags[number] for number in sorted(tags))
        listed = struct.pack(order + "H", len(tags)) + in_order + next_page
        return [mark + struct.pack(order + "I", size), range(8, size), listed]

    yield with_tags(kept)
    number = tiff_tags.PHOTOMETRIC
    if number not in kept or struct.unpack(order + "H", kept[number][8:10])[0] == 0:
        kept[number] = struct.pack(order + "HHIHH", number, 3, 1, 1, 0)
        number, value = tiff_tags.TURNED, tiff_tags.TURNED_VALUE
        kept[number] = struct.pack(order + "HHII", number, 4, 1, value)
        yield with_tags(kept)


_LARGEST_LIST: Final = 1 << 20
_METADATA_ITEM: Final = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))(?:Exif|mime)", re.DOTALL)


def _avif(file: IO[bytes], size: int) -> Iterator[list[Piece]]:
    """Its Exif and XMP are items like its pixels: items of another kind are passed over."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"meta" and 8 <= length <= _LARGEST_LIST:
            listed = _METADATA_ITEM.sub(rb"\1none", file.read(length - 8))
            yield [range(at + 8), listed, range(at + length, size)]
        if kind == b"meta" or length < 8:
            return
        at += length


_DIVIDED: Final[
    tuple[tuple[Callable[[IO[bytes], int], Iterator[list[Piece]]], Callable[[bytes], bool]], ...]
] = (
    (_png, lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    (_jpeg, lambda head: head.startswith(b"\xff\xd8")),
    (_webp, lambda head: head.startswith(b"RIFF") and head.endswith(b"WEBP")),
    (_gif, lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    (_tiff, lambda head: head.startswith((b"II*\0", b"MM\0*", b"II\0*", b"MM*\0"))),
    (_avif, lambda head: head[4:8] == b"ftyp"),
)
