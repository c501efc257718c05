"""Metadata are no pixels: what is wrong beside the picture does not keep it from being read."""

import functools
import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from pictures import encoded, gradient
from PIL import Image

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import ImageDecodeError, InputError
from mrnn_edge.image.pixels_only import pixels_only
from mrnn_edge.image.read import load_image, read_picture

SPEC = ImageSpec(height=12, width=20)
PNG = encoded(gradient(), "PNG")
LARGE = zlib.compress(bytes(3_000_000))
IN_FRONT, BEHIND = 33, len(PNG) - 12
"""Where a chunk may stand: behind IHDR, before IEND."""


def chunk(kind: bytes, body: bytes, *, damage: int = 0) -> bytes:
    crc = zlib.crc32(kind + body) ^ damage
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def png_with(*chunks: bytes, at: int = IN_FRONT) -> bytes:
    return PNG[:at] + b"".join(chunks) + PNG[at:]


def assert_reads_as(data: bytes, expected: Image.Image, *, within: float = 0.0) -> None:
    difference = np.asarray(load_image(data), int) - np.asarray(expected, int)
    assert np.abs(difference).max() <= within


@pytest.mark.parametrize("at", [IN_FRONT, BEHIND], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"zTXt", b"prompt\0\0" + LARGE),
        chunk(b"iTXt", b"prompt\0\1\0\0\0" + LARGE),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
        chunk(b"iCCP", b"profile\0\0" + LARGE),
        70 * chunk(b"tEXt", b"prompt\0" + bytes(1_000_000)),
        chunk(b"iCCP", b""),
        chunk(b"iCCP", b"profile\0\5" + LARGE),
        chunk(b"zTXt", b"prompt\0\5" + LARGE),
        chunk(b"tEXt", b"prompt\0a dog", damage=1),
        chunk(b"eXIf", b"II", damage=1),
        chunk(b"pHYs", b"123"),
        chunk(b"gAMA", b"1"),
        chunk(b"cHRM", b"1"),
        chunk(b"sRGB", b""),
        chunk(b"bKGD", b"", damage=1),
        chunk(b"prVt", b"a program's own", damage=1),
        chunk(b"t\0xt", b"no name of a chunk"),
        chunk(b"PLTE", b"a suggestion", damage=1),
        chunk(b"acTL", b""),
        chunk(b"fcTL", bytes(26)),
    ],
    ids=lambda metadata: f"{metadata[4:8].decode()} {metadata[8:18]!r}",
)
def test_a_png_is_read_whatever_its_metadata_are(metadata, at):
    assert_reads_as(png_with(metadata, at=at), gradient())


def test_a_png_that_is_cut_off_behind_its_pixels_is_whole():
    text = chunk(b"tEXt", b"prompt\0" + bytes(1000))
    assert_reads_as(PNG[:BEHIND] + text[:500], gradient())
    assert_reads_as(PNG[:BEHIND] + struct.pack(">I", 2**31 - 1) + b"tEXt", gradient())


@pytest.mark.parametrize(
    "turns",
    [
        chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
        chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
    ],
)
def test_a_png_with_too_much_text_is_still_set_upright(turns):
    data = png_with(chunk(b"zTXt", b"prompt\0\0" + LARGE), turns)
    assert_reads_as(data, gradient().transpose(Image.Transpose.ROTATE_270))


def test_frames_of_a_png_with_too_much_text_are_counted():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    data = data[:IN_FRONT] + chunk(b"zTXt", b"prompt\0\0" + LARGE) + data[IN_FRONT:]
    picture = read_picture(data, SPEC)
    assert picture.frames == 3
    assert (picture.pixels == [255, 0, 0]).all()


@pytest.mark.parametrize("text", [b"", chunk(b"zTXt", b"prompt\0\0" + LARGE)])
def test_a_png_whose_pixels_are_damaged_is_refused_with_or_without_text(text):
    at = PNG.index(b"IDAT") + 40
    damaged = png_with(text)
    at += len(text)
    for broken in (
        damaged[:at] + bytes(20) + damaged[at + 20 :],
        damaged[:at],
        damaged.replace(b"IDAT", b"IDAU"),
        damaged.replace(b"IDAT", b"iDAT"),
        damaged[:16] + struct.pack(">II", 40, 25) + damaged[24:],  # no such IHDR was written
        png_with(text, chunk(b"CgBI", b"\x50\0\x20\6"), chunk(b"pHYs", b"")),
        png_with(text, chunk(b"tRNS", b"")),
    ):
        with pytest.raises(ImageDecodeError):
            load_image(broken)


def test_a_cut_png_with_too_much_text_is_read_as_far_as_it_goes_where_that_is_allowed():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, "PNG")
    cut = data[:IN_FRONT] + chunk(b"zTXt", b"prompt\0\0" + LARGE) + data[IN_FRONT:6000]
    with pytest.raises(ImageDecodeError):
        load_image(cut)
    found = np.asarray(load_image(cut, allow_truncated=True))
    np.testing.assert_array_equal(found[:20], np.asarray(noise)[:20])


@functools.cache
def deflated(mebibytes: int) -> bytes:
    deflate = zlib.compressobj(1)
    parts = [deflate.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join(parts) + deflate.flush()


@pytest.mark.parametrize("at", [IN_FRONT, BEHIND])
@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_bomb_in_the_metadata_costs_neither_memory_nor_time(kind, at):
    data = png_with(chunk(kind, b"bomb\0\0" + deflated(512)), at=at)
    file = io.BytesIO(data)
    start = time.perf_counter()
    tracemalloc.start()
    try:
        load_image(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20  # Pillow copies the chunk itself, 2 MiB, a few times
    assert time.perf_counter() - start < 3.0


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


@pytest.mark.parametrize(
    "metadata",
    [
        segment(0xE0, b"JFIF\0"),
        segment(0xEE, b"Adobe\0"),
        segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\1"),
    ],
    ids=lambda metadata: repr(metadata[4:16]),
)
def test_a_jpeg_is_read_and_set_upright_whatever_its_other_segments_are(metadata):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient(), "JPEG", quality=95, exif=exif)
    assert_reads_as(data[:2] + metadata + data[2:], load_image(data))
    with pytest.raises(ImageDecodeError):
        load_image(data[:2] + metadata + data[2 : len(data) // 2])


def test_the_colours_of_a_cmyk_jpeg_with_a_broken_profile_are_kept():
    data = encoded(gradient().convert("CMYK"), "JPEG", quality=95)
    assert_reads_as(data[:2] + segment(0xE2, b"ICC_PROFILE\0") + data[2:], load_image(data))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg", "tiff_adobe_deflate"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_tiff_is_read_and_set_upright_whatever_its_other_tags_are(compression, big_endian):
    tags = {274: 6, 282: 72.0, 296: 3}
    pages = [gradient(), Image.new("RGB", (8, 8))]
    options = {"save_all": True, "append_images": pages[1:], "big_endian": big_endian}
    data = encoded(pages[0], "TIFF", compression=compression, tiffinfo=tags, **options)
    order = ">" if data.startswith(b"MM") else "<"
    number = struct.pack(order + "HHI", 282, 5, 1)
    assert data.count(number) == 2
    words = data.replace(number, struct.pack(order + "HHI", 282, 2, 4), 1)
    assert_reads_as(words, load_image(data))
    assert read_picture(words, SPEC).frames == 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_file_that_lacks_bytes_of_its_pixels_is_refused_with_metadata_behind_them_too(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    options = {"exif": b"Exif\0\0" + bytes(500)} if kind == "WEBP" else {}
    data = encoded(noise, kind, **options)
    middle = len(data) // 2
    for lost in (10, 200):
        without = data[:middle] + data[middle + lost :]
        try:
            picture = read_picture(without, SPEC)
        except InputError:
            continue
        # Nothing in a JPEG says where a byte is missing: libjpeg has always read on.
        assert kind in ("JPEG", "GIF"), picture.notes


@pytest.mark.parametrize(
    ("beginning", "part"),
    [
        (PNG[:IN_FRONT], chunk(b"prVt", b"")),
        (b"\xff\xd8", b"\xff\xff"),
        (b"II*\0\x08\0\0\0\xff\xff", b"\0"),
    ],
    ids=["PNG", "JPEG", "TIFF"],
)
def test_a_file_of_millions_of_parts_is_given_up_soon(beginning, part):
    file = io.BytesIO(beginning + part * ((16 << 20) // len(part)))
    start = time.perf_counter()
    for bare in pixels_only(file):
        bare.file.close()
    assert time.perf_counter() - start < 2.0


def test_the_file_is_left_open_and_other_bytes_give_nothing_to_try():
    file = io.BytesIO(PNG)
    for bare in pixels_only(file):
        bare.file.close()
    assert not file.closed
    for data in (b"", b"hello", PNG[:30], b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0\x08", b"RIFF"):
        assert list(pixels_only(io.BytesIO(data))) == []
