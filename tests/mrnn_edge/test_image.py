import builtins
import errno
import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from mrnn_edge.config import ImageSpec
from mrnn_edge.errors import (
    FileError,
    ImageDecodeError,
    ImageInputError,
    ImageTooLargeError,
    InputError,
    UnsupportedImageError,
)
from mrnn_edge.image import load_image, read_picture, read_pixels, to_pixels

SPEC = ImageSpec(height=12, width=20)


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    planes = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2)
    return Image.fromarray(planes.astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_content_decides_the_format_whatever_the_suffix(tmp_path, kind):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(gradient(), kind))
    difference = np.asarray(load_image(path), int) - np.asarray(gradient(), int)
    assert np.abs(difference).mean() < 12


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused_not_captioned_half(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises((ImageDecodeError, UnsupportedImageError)):
        load_image(data[: int(len(data) * share)])


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_give_a_picture_or_an_error_of_ours(data, head):
    with pytest.raises(InputError):
        load_image(head + data)


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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is no picture", "looks like text"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "an SVG drawing"),
        (b"%PDF-1.7\n\xff", "a PDF document"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript document"),
        (b"8BPS\0\x01", "a Photoshop document"),
        (b"icns\0\0\1\0", "an Apple icon"),
        (b"\x00\x01\x02\x03", "no picture that is known here"),
    ],
)
def test_bytes_that_are_no_picture_are_called_what_they_look_like(data, message):
    with pytest.raises(UnsupportedImageError, match=message):
        load_image(data)


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
        (fifo, "no regular file"),
        ("/dev/zero", "no regular file"),
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


def photo() -> Image.Image:
    """A picture with detail everywhere, so that every share of its file holds some of it."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)


CUT_KINDS = {
    "JPEG": {},
    "progressive JPEG": {"progressive": True},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
}


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_a_cut_off_file_is_read_as_far_as_it_goes_where_that_is_allowed(kind):
    data = encoded(photo(), kind.split()[-1], **CUT_KINDS[kind])
    whole = np.asarray(load_image(data), int)
    cut = data[: len(data) * 6 // 10]
    with pytest.raises(ImageDecodeError):
        load_image(cut)
    found = np.asarray(load_image(cut, allow_truncated=True), int)
    if kind != "progressive JPEG":
        assert (found == whole).all(axis=2).mean() > 0.4
    else:  # all of it, less sharp
        assert 0 < np.abs(found - whole).mean() < 30
    (note,) = read_picture(cut, SPEC, allow_truncated=True).notes
    assert note == "cut off or damaged, the missing part is blank"


def test_a_whole_file_is_read_the_same_with_truncation_allowed():
    data = encoded(photo(), "JPEG")
    strict, allowed = (read_picture(data, SPEC, allow_truncated=x) for x in (False, True))
    np.testing.assert_array_equal(strict.pixels, allowed.pixels)
    assert allowed.notes == ()


def test_a_file_without_any_picture_data_is_refused_even_then():
    data = encoded(photo(), "PNG")
    start = data.index(b"IDAT") + 6
    with pytest.raises(ImageDecodeError, match="no part of it"):
        load_image(data[:start], allow_truncated=True)


def test_strict_readers_refuse_cut_files_while_others_allow_them():
    data = encoded(photo(), "JPEG")
    cut = data[: len(data) // 2]
    refused: list[int] = []

    def strict() -> None:
        for turn in range(200):
            try:
                load_image(cut)
            except ImageDecodeError:
                refused.append(turn)

    def lenient() -> None:
        for _ in range(200):
            load_image(cut, allow_truncated=True)

    threads = [threading.Thread(target=work) for work in (strict, lenient, strict, lenient)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 400


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


HEIC = Path(__file__).with_name("heic")
"""Two pictures of `slope()`, written once with x265; nothing here encodes HEIC."""


def slope() -> np.ndarray:
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, np.full_like(x, 60)], axis=2)


def test_a_heic_picture_is_read_where_its_extra_is_installed():
    pytest.importorskip("pi_heif")
    for name, frames in (("plain.heic", 1), ("two.heic", 2)):
        found = np.asarray(load_image(HEIC / name), int)
        assert np.abs(found - slope()).max() < 12
        assert read_picture(HEIC / name, SPEC).frames == frames
    assert "HEIF" not in Image.OPEN  # others who use Pillow in this process see no change


def with_a_quarter_turn(heic: bytes) -> bytes:
    """The file with the property `irot`, which phones write beside their EXIF orientation."""

    def longer(data: bytes, box: bytes, by: int) -> bytes:
        at = data.index(box) - 4
        (size,) = struct.unpack(">I", data[at : at + 4])
        return data[:at] + struct.pack(">I", size + by) + data[at + 4 :]

    start = struct.pack(">I", heic.index(b"mdat") + 4)
    assert heic.count(start) == 1
    heic = heic.replace(start, struct.pack(">I", heic.index(b"mdat") + 4 + 10))
    for box, by in ((b"meta", 10), (b"iprp", 10), (b"ipco", 9), (b"ipma", 1)):
        heic = longer(heic, box, by)
    ipma = heic.index(b"ipma") - 4
    heic = heic[:ipma] + struct.pack(">I", 9) + b"irot\1" + heic[ipma:]
    count = heic.index(b"ipma") + 14
    end = count + 1 + heic[count]
    return heic[:count] + bytes([heic[count] + 1]) + heic[count + 1 : end] + b"\x86" + heic[end:]


def test_a_heic_picture_is_turned_once_by_its_own_property():
    pytest.importorskip("pi_heif")
    data = with_a_quarter_turn((HEIC / "plain.heic").read_bytes())
    found = np.asarray(load_image(data), int)
    assert np.abs(found - np.rot90(slope())).max() < 12


def test_a_heic_picture_without_the_extra_names_it(monkeypatch):
    for module in ("pi_heif", "pi_heif.as_plugin"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnsupportedImageError, match=r"HEIC.*pip install 'mrnn-edge\[heic\]'"):
        load_image(HEIC / "plain.heic")


def test_a_damaged_heic_picture_is_refused_like_any_other():
    pytest.importorskip("pi_heif")
    data = (HEIC / "plain.heic").read_bytes()
    for cut in (40, 300, len(data) - 20):
        for allow in (False, True):
            with pytest.raises(InputError):
                load_image(data[:cut], allow_truncated=allow)
    claims = data.replace(b"clap", b"free")
    at = claims.index(b"ispe") + 8
    claims = claims[:at] + struct.pack(">II", 12_000, 12_000) + claims[at + 8 :]
    with pytest.raises(ImageTooLargeError, match="144,000,000"):
        load_image(claims)


def test_formats_off_the_list_start_no_program_and_are_refused(monkeypatch):
    def explode(*arguments: object, **options: object) -> None:
        raise AssertionError("started a program")

    for starter in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, starter, explode)
    monkeypatch.setattr(os, "system", explode)
    for kind in ("EPS", "PPM", "ICO", "TGA", "PCX", "SGI", "JPEG2000"):
        with pytest.raises(UnsupportedImageError):
            load_image(encoded(gradient(32, 32), kind))


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
        with pytest.raises(ImageTooLargeError, match="more memory"):
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_a_file_that_ends_within_its_head_is_called_damaged_not_unknown(kind):
    with pytest.raises(ImageDecodeError, match="begins like a|damaged picture"):
        load_image(encoded(gradient(), kind)[:20])


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
