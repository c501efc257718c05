import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, gradient, slope
from PIL import Image

from mrnn_edge.bulk.listing import list_files
from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import (
    ImageDecodeError,
    ImageTooLargeError,
    InputError,
    UnsupportedImageError,
)
from mrnn_edge.image.read import load_image, read_picture

SPEC = ImageSpec(height=12, width=20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_content_decides_the_format_whatever_the_suffix(tmp_path, kind):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(gradient(), kind))
    difference = np.asarray(load_image(path), int) - np.asarray(gradient(), int)
    assert np.abs(difference).mean() < 12


@pytest.mark.parametrize(
    ("kind", "suffixes"),
    [
        ("JPEG", ".jpg .jpeg .jpe .jfif .jfi .jif .pjpeg .pjp .mpo .jps .insp"),
        ("PNG", ".png .apng .pns"),
        ("BMP", ".bmp .dib"),
        ("TIFF", ".tif .tiff .ptif .ptiff .gtiff .btf .tf8"),
        ("AVIF", ".avif .avifs"),
        ("WEBP", ".webp"),
        ("GIF", ".gif"),
    ],
)
def test_a_folder_gives_every_suffix_that_cameras_and_programs_write(tmp_path, kind, suffixes):
    for suffix in suffixes.split():
        for name in (f"a{suffix}", f"b{suffix.upper()}"):
            (tmp_path / name).write_bytes(encoded(gradient(), kind))
    found = list(list_files([str(tmp_path)], recursive=True))
    assert len(found) == 2 * len(suffixes.split())
    for path in found:
        assert load_image(path).size == (40, 24)


def test_a_folder_gives_the_heic_pictures_of_every_camera(tmp_path):
    names = [f"a{suffix}" for suffix in (".heic", ".heics", ".heif", ".heifs", ".hif")]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    found = list_files([str(tmp_path)], recursive=True)
    assert [os.path.basename(path) for path in found] == names


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_give_a_picture_or_an_error_of_ours(data, head):
    with pytest.raises(InputError):
        load_image(head + data)


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
        (b"\x00\x01\x02\x03", "unrecognised file type"),
    ],
)
def test_bytes_that_are_no_picture_are_called_what_they_look_like(data, message):
    with pytest.raises(UnsupportedImageError, match=message):
        load_image(data)


HEIC = Path(__file__).with_name("heic")
"""Two pictures of `slope()`, written once with x265; nothing here encodes HEIC."""


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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_a_file_that_ends_within_its_head_is_called_damaged_not_unknown(kind):
    with pytest.raises(ImageDecodeError, match="begins like a|damaged picture"):
        load_image(encoded(gradient(), kind)[:20])
