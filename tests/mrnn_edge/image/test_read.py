import builtins
import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, gradient, photo, slope
from PIL import Image, ImageChops

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import (
    FileError,
    ImageDecodeError,
    ImageInputError,
    ImageTooLargeError,
    InputError,
)
from mrnn_edge.image.read import load_image, read_picture, read_pixels, to_pixels

SPEC = ImageSpec(height=12, width=20)


def test_a_path_bytes_a_file_an_image_and_an_array_give_the_same_pixels(tmp_path):
    image = gradient()
    path = tmp_path / "picture.png"
    image.save(path)
    expected = read_pixels(image, SPEC)
    assert expected.shape == (12, 20, 3)
    assert expected.dtype == np.uint8
    data = path.read_bytes()
    for source in (path, str(path), data, io.BytesIO(data), np.asarray(image)):
        np.testing.assert_array_equal(read_pixels(source, SPEC), expected)


def test_a_picture_of_the_models_size_is_not_touched():
    image = gradient(20, 12)
    np.testing.assert_array_equal(to_pixels(image, SPEC), np.asarray(image))


def test_an_array_of_the_models_size_is_copied_byte_for_byte_as_pillow_would_have():
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    for array in (noise, noise[::-1], noise[..., ::-1], np.asfortranarray(noise)):
        through_pillow = to_pixels(Image.fromarray(np.ascontiguousarray(array)), SPEC)
        picture = read_picture(array, SPEC)
        for found in (read_pixels(array, SPEC), picture.pixels):
            assert found.tobytes() == through_pillow.tobytes()
            assert found.flags.c_contiguous
            assert not np.shares_memory(found, array)
        assert (picture.frames, picture.notes) == (1, ())


@pytest.mark.parametrize("kind", [np.int8, np.float32, bool])
def test_an_array_of_the_models_size_and_another_type_is_refused(kind):
    with pytest.raises(ImageInputError, match="expected uint8"):
        read_pixels(np.zeros((12, 20, 3), kind), SPEC)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = gradient().transpose(turn[orientation]) if orientation in turn else gradient()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "PNG", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(data)), np.asarray(gradient()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_becomes_rgb_of_the_same_brightness(mode):
    grey = gradient().convert("L")
    values = np.asarray(grey)
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(values.astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(values.astype(np.float32) / 255)
    else:
        image = grey.convert("RGB").convert(mode)
    result = load_image(image)
    assert result.mode == "RGB"
    assert abs(np.asarray(result).mean() - values.mean()) < 6


def test_transparency_is_laid_on_white_and_hides_its_colour():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert np.asarray(load_image(image)).min() == 255
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([255, 0, 0])
    data = encoded(palette, "PNG", transparency=0)
    assert np.asarray(load_image(data)).min() == 255


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(load_image(data))[0, 0].tolist() == [255, 0, 0]


@given(st.data())
def test_a_damaged_picture_gives_a_picture_or_an_error_of_ours(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))
    damaged = bytearray(encoded(gradient(16, 16), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = read_pixels(bytes(damaged), SPEC)
    except InputError:
        return
    assert pixels.shape == (12, 20, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_header():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for side in (12_000, 50_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0"))
        with pytest.raises(ImageTooLargeError, match="pixels"):
            load_image(data)


def test_integers_of_more_than_16_bits_are_scaled_to_their_brightest():
    ramp = np.linspace(0, 2**30, 64 * 64).reshape(64, 64).astype(np.int32)
    assert abs(np.asarray(load_image(Image.fromarray(ramp))).mean() - 127.5) < 2


def test_an_image_that_cannot_be_used_is_refused_like_a_damaged_file():
    closed = Image.open(io.BytesIO(encoded(gradient(), "PNG")))
    closed.close()
    with pytest.raises(ImageDecodeError):
        load_image(closed)


def test_a_file_open_as_text_is_refused_with_the_mode_to_use(tmp_path):
    path = tmp_path / "picture.ppm"
    path.write_text("P3")
    with path.open() as file, pytest.raises(ImageInputError, match='mode "rb"'):
        load_image(file)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (19, 13)])
def test_any_shape_of_picture_fills_the_models_size(size):
    assert read_pixels(Image.new("RGB", size, "red"), SPEC).shape == (12, 20, 3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_rgb_picture_is_refused_with_its_shape(array):
    with pytest.raises(ImageInputError, match="expected uint8"):
        load_image(array)


def test_an_object_that_is_no_picture_is_refused_with_its_type():
    with pytest.raises(ImageInputError, match="int"):
        load_image(3)


def test_a_missing_file_a_folder_a_fifo_and_a_device_are_refused(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, message in (
        (tmp_path / "nothing.jpg", "no such file"),
        (tmp_path, "is a folder"),
        (fifo, "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(FileError, match=message):
            load_image(path)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_the_frames_of_a_file_are_counted_and_the_first_is_taken(kind):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    picture = read_picture(data, SPEC)
    assert (picture.frames, picture.notes) == (3, ())
    assert np.abs(picture.pixels.astype(int) - [255, 0, 0]).max() < 4


def test_a_still_has_one_frame_no_notes_and_a_time():
    picture = read_picture(encoded(gradient(), "PNG"), SPEC)
    assert (picture.frames, picture.notes) == (1, ())
    assert picture.decode_ms > 0.0
    np.testing.assert_array_equal(picture.pixels, read_pixels(gradient(), SPEC))


def orientation_beside(*, kind: int, value: int) -> bytes:
    """EXIF whose orientation says 6, with a tag beside it of any kind and value."""
    tags = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x8769, kind, 1, value)
    return b"Exif\0\0II*\0\x08\0\0\0\x02\0" + tags + b"\0\0\0\0"


def test_a_broken_tag_beside_the_orientation_keeps_no_picture_from_being_turned():
    exif = orientation_beside(kind=6, value=0x83AFB7F8)
    lying = gradient().transpose(Image.Transpose.ROTATE_90)
    found = read_picture(encoded(lying, "PNG", exif=exif), SPEC)
    np.testing.assert_array_equal(found.pixels, read_pixels(gradient(), SPEC))
    assert found.notes == ()


def test_damaged_exif_is_noted_and_the_picture_taken_as_it_lies(monkeypatch):
    def broken(self: Image.Image) -> Image.Exif:
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(Image.Image, "getexif", broken)
    picture = read_picture(gradient(), SPEC)
    assert picture.notes == ("damaged EXIF, taken as it lies",)
    np.testing.assert_array_equal(picture.pixels, to_pixels(gradient(), SPEC))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_a_pixel_give_what_8_bits_give(kind):
    grey = np.asarray(gradient().convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    expected = load_image(encoded(Image.fromarray(grey), kind))
    np.testing.assert_array_equal(load_image(encoded(deep, kind)), expected)


def test_floats_from_0_to_1_give_what_8_bits_give():
    grey = np.asarray(gradient().convert("L"))
    floats = Image.fromarray(grey.astype(np.float32) / 255)
    found = load_image(encoded(floats, "TIFF"))
    np.testing.assert_array_equal(found, load_image(Image.fromarray(grey)))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "CMYK"), ("TIFF", "CMYK"), ("JPEG", "L"), ("PNG", "LA"), ("PNG", "P"), ("GIF", "P")],
)
def test_every_way_to_store_colours_keeps_them(kind, mode):
    smooth = Image.fromarray(slope().astype(np.uint8))
    if mode in ("L", "LA"):
        smooth = smooth.convert("L").convert("RGB")
    found = np.asarray(load_image(encoded(smooth.convert(mode), kind)), int)
    assert np.abs(found - np.asarray(smooth)).mean() < (20 if mode == "P" else 6)


def test_a_ycck_jpeg_keeps_its_colours():
    smooth = Image.fromarray(slope().astype(np.uint8))
    cyan, magenta, yellow, black = smooth.convert("CMYK").split()
    # Pillow writes CMYK only, inverted: the planes are turned to YCC here, and the Adobe marker
    # is told so.
    ycc = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr")
    planes = [ImageChops.invert(plane) for plane in ycc.split()]
    data = encoded(Image.merge("CMYK", (*planes, black)), "JPEG", quality=95, subsampling=0)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    found = np.asarray(load_image(data[:at] + b"\2" + data[at + 1 :]), int)
    assert np.abs(found - np.asarray(smooth)).mean() < 6


def test_one_bit_a_pixel_is_black_or_white():
    bits = Image.fromarray(np.indices((8, 8)).sum(0) % 2 == 0)
    found = np.asarray(load_image(encoded(bits, "PNG")))
    np.testing.assert_array_equal(found[..., 0], np.asarray(bits) * 255)


def test_transparent_files_are_what_they_are_on_white():
    alpha = Image.fromarray(np.linspace(0, 255, 24 * 40).astype(np.uint8).reshape(24, 40))
    picture = gradient()
    picture.putalpha(alpha)
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=alpha)
    difference = np.asarray(load_image(encoded(picture, "PNG")), int) - np.asarray(white)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_picture(encoded(gradient(), "PNG", exif=exif), SPEC)
    np.testing.assert_array_equal(found.pixels, read_pixels(gradient(), SPEC))
    assert found.notes == ()


@given(st.integers(1, 4000), st.integers(1, 4000))
@settings(max_examples=30)
def test_any_size_of_picture_fills_the_models_size_with_its_colour(width, height):
    pixels = read_pixels(Image.new("RGB", (width, height), (9, 80, 200)), SPEC)
    assert pixels.shape == (12, 20, 3)
    assert (pixels == [9, 80, 200]).all()


def test_a_picture_for_which_memory_is_lacking_is_an_error_of_that_picture(monkeypatch):
    def load(self: Image.Image) -> None:
        raise MemoryError

    sources = (gradient(), encoded(gradient(), "PNG"))
    monkeypatch.setattr(Image.Image, "load", load)
    for source in sources:
        with pytest.raises(ImageTooLargeError, match="not enough memory"):
            load_image(source)


def test_an_animation_that_is_damaged_after_its_first_frame_is_noted():
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    second = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[second : second + 2])[0]
    at = second + 2 + 12 * count  # where the place of the next page stands
    picture = read_picture(data[:at] + struct.pack("<I", len(data) - 1) + data[at + 4 :], SPEC)
    assert (picture.frames, picture.notes) == (1, ("damaged after the first frame",))
    assert (picture.pixels == [255, 0, 0]).all()


def test_a_disk_that_fails_under_the_file_is_no_fault_of_the_picture():
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(min(4096, size) if size and size > 0 else size)

    with pytest.raises(FileError, match="cannot be read"):
        load_image(Failing(encoded(photo(), "BMP")))


def test_a_file_may_be_deleted_or_grow_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    data = encoded(gradient(), "PNG")
    real = builtins.open

    def meddling(meddle):
        def opened(*arguments, **options):
            file = real(*arguments, **options)
            meddle()
            return file

        return opened

    def grow() -> None:
        with real(path, "ab") as file:
            file.write(b"more")

    for meddle in (path.unlink, grow):
        path.write_bytes(data)
        monkeypatch.setattr(builtins, "open", meddling(meddle))
        found = load_image(path)
        monkeypatch.setattr(builtins, "open", real)
        np.testing.assert_array_equal(found, gradient())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(gradient(), "PNG"))
    path.chmod(0)
    with pytest.raises(FileError, match="no permission"):
        load_image(path)


@pytest.mark.parametrize(
    "name",
    ["caf\u00e9 \u732b.png", " .png", "a\nb.png", "-r.png", "\udcff.png", "n" * 251 + ".png"],
)
def test_any_name_of_a_file_will_do(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(gradient(), "PNG"))
    np.testing.assert_array_equal(load_image(path), gradient())
