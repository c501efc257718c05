"""Grey of many bits, with a sign, or whose zero is white, gives what 8 bits without them give."""

import struct

import numpy as np
import pytest
from pictures import encoded, gradient
from PIL import Image

from mrnn_edge.errors import ImageDecodeError
from mrnn_edge.image.read import load_image

GREY = np.array(gradient().convert("L"))
GREY[0, 0], GREY[-1, -1] = 0, 255
"""uint8 [24, 40], from black to white: 32 bits are scaled to their brightest."""
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def tiff(
    samples: np.ndarray, kind: int = UNSIGNED, *, white_is_zero: bool = False, bits: int = 0
) -> bytes:
    """A grey TIFF of the samples [H, W] as they lie in memory, in the byte order of their type."""
    order = ">" if samples.dtype.byteorder == ">" else "<"
    height, width = GREY.shape
    data = samples.tobytes()
    tags = (
        *((256, 4, width), (257, 4, height), (258, 3, bits or 8 * samples.itemsize), (259, 3, 1)),
        *((262, 3, 0 if white_is_zero else 1), (273, 4, 8), (277, 3, 1), (278, 4, height)),
        *((279, 4, len(data)), (339, 3, kind)),
    )
    listed = struct.pack(order + "H", len(tags))
    for tag, size, value in tags:
        listed += struct.pack(order + "HHI", tag, size, 1)
        listed += struct.pack(order + "I" if size == 4 else order + "H2x", value)
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "I", 8 + len(data)) + data + listed + bytes(4)


def in_12_bits(values: np.ndarray) -> np.ndarray:
    """Two samples in three bytes."""
    first, second = values[:, ::2].astype(int), values[:, 1::2].astype(int)
    packed = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
    return np.stack(packed, axis=2).astype(np.uint8)


DEEP = {
    "12 bits": (in_12_bits(GREY.astype(int) * 16 + 15), UNSIGNED, 12),
    "16 bits": (GREY.astype("<u2") * 257, UNSIGNED, 0),
    "16 bits, big-endian": ((GREY.astype(int) * 257).astype(">u2"), UNSIGNED, 0),
    "32 bits": ((GREY.astype(int) * 0x01010101).astype("<u4"), UNSIGNED, 0),
    "floats": ((GREY / 255).astype("<f4"), FLOAT, 0),
    "floats, big-endian": ((GREY / 255).astype(">f4"), FLOAT, 0),
    "8 bits with a sign": ((GREY.astype(int) - 128).astype("i1"), SIGNED, 0),
    "8 bits with a sign, none negative": ((GREY // 2).astype("i1"), SIGNED, 0),
    "16 bits with a sign": ((GREY.astype(int) * 257 - 32768).astype("<i2"), SIGNED, 0),
    "16 bits with a sign, none negative": ((GREY * 128.5).astype("<i2"), SIGNED, 0),
    "16 bits with a sign, big-endian": ((GREY * 128.5).astype(">i2"), SIGNED, 0),
    "32 bits with a sign": (((GREY - 127.5) * 2**24).astype("<i4"), SIGNED, 0),
    "32 bits with a sign, none negative": ((GREY * 2.0**23).astype("<i4"), SIGNED, 0),
    "32 bits with a sign that 16 would hold": (
        (GREY.astype(int) * 257 - 32768).astype(">i4"),
        SIGNED,
        0,
    ),
}


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_every_depth_of_grey_gives_what_8_bits_give(kind, white_is_zero):
    samples, sign, bits = DEEP[kind]
    found = load_image(tiff(samples, sign, white_is_zero=white_is_zero, bits=bits))
    expected = load_image(tiff(GREY, white_is_zero=white_is_zero))
    difference = np.asarray(found, int) - np.asarray(expected, int)
    np.testing.assert_array_equal(np.asarray(expected)[..., 0], GREY ^ (255 * white_is_zero))
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("samples", [GREY, GREY.astype(np.uint16) * 257, GREY.astype("f4") / 255])
def test_white_may_be_zero_in_a_compressed_tiff(compression, samples):
    data = encoded(Image.fromarray(samples), "TIFF", compression=compression)
    tag = struct.pack("<HHI", 262, 3, 1)
    at = data.index(tag) + len(tag)
    found = np.asarray(load_image(data[:at] + b"\0" + data[at + 1 :]))[..., 0]
    np.testing.assert_array_equal(found, 255 - GREY)


def test_a_turned_tiff_whose_zero_is_white_is_both_turned_and_inverted():
    data = encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF", tiffinfo={274: 6, 262: 0})
    found = np.asarray(load_image(data))[..., 0]
    np.testing.assert_array_equal(found, np.rot90(255 - GREY, -1))


def test_integers_that_hold_8_bits_stay_as_bright_as_8_bits_whatever_their_sign():
    for samples in (GREY.astype("<i2"), GREY.astype("<i4")):
        np.testing.assert_array_equal(np.asarray(load_image(tiff(samples, SIGNED)))[..., 0], GREY)


@pytest.mark.parametrize("value", [0, 1])
def test_one_grey_all_over_is_no_division_by_zero(value):
    for type_ in ("<i2", "<i4", "<f4", "i1"):
        kind = FLOAT if type_ == "<f4" else SIGNED
        found = np.asarray(load_image(tiff(np.full_like(GREY, value).astype(type_), kind)))
        assert len(np.unique(found)) == 1


def test_a_cut_off_tiff_whose_zero_is_white_is_no_negative_where_it_is_read_as_far_as_it_goes():
    samples = (GREY.astype(int) * 257).astype(">u2")
    whole = tiff(samples, white_is_zero=True)
    # Its pixels stand before its tags, so they are moved behind and cut there.
    pixels, tags = samples.tobytes(), whole[8 + samples.nbytes :]
    cut = pixels[: len(pixels) // 2]
    head = b"MM\0*" + struct.pack(">I", 8)
    place = struct.pack(">HHII", 273, 4, 1, 8)
    moved = tags.replace(place, struct.pack(">HHII", 273, 4, 1, 8 + len(tags)))
    with pytest.raises(ImageDecodeError):
        load_image(head + moved + cut)
    found = np.asarray(load_image(head + moved + cut, allow_truncated=True))[..., 0]
    np.testing.assert_array_equal(found[:10], 255 - GREY[:10])
