"""What a source's name means, and that no password gets out of it."""

import os
import stat
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.camera.address import SourceKind, hide_credentials, parse_address
from mrnn_edge.camera.source import open_source
from mrnn_edge.errors import CameraUnavailableError, OptionError


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (0, SourceKind.DEVICE),
        ("2", SourceKind.DEVICE),
        ("/dev/video2", SourceKind.DEVICE),
        ("/dev/v4l/by-id/usb-camera-video-index0", SourceKind.DEVICE),
        ("/dev/null", SourceKind.VIDEO),
        ("rtsp://camera/stream", SourceKind.STREAM),
        ("HTTP://camera/stream.mjpg", SourceKind.STREAM),
        ("clip.mp4", SourceKind.VIDEO),
        ("funny.gif", SourceKind.VIDEO),
        ("funny.apng", SourceKind.VIDEO),
        ("no-suffix", SourceKind.VIDEO),
        ("photo.JPG", SourceKind.PICTURES),
        (".", SourceKind.PICTURES),
    ],
)
def test_a_source_is_told_by_its_name(source, kind):
    assert parse_address(source).kind is kind


@pytest.mark.parametrize(
    ("major", "kind"), [(81, SourceKind.DEVICE), (1, SourceKind.VIDEO)], ids=["camera", "null"]
)
def test_a_link_to_a_camera_is_that_camera_and_one_to_another_device_is_none(
    monkeypatch, major, kind
):
    found = SimpleNamespace(st_mode=stat.S_IFCHR | 0o660, st_rdev=os.makedev(major, 3))
    monkeypatch.setattr("mrnn_edge.camera.address.os.stat", lambda path: found)
    assert parse_address("/home/me/door").kind is kind


@pytest.mark.parametrize(
    ("source", "ends"),
    [
        ("http://h/a.mp4", True),
        ("HTTPS://h/a.MKV?key=1", True),
        ("http://h/live?file=a.mp4", False),
        ("http://h/live", False),
        ("rtsp://h/a.mp4", False),
        ("a.mp4", False),
    ],
)
def test_a_video_at_an_http_address_ends(source, ends):
    assert parse_address(source).ends is ends


@pytest.mark.parametrize("source", ["", "   "])
def test_an_empty_source_is_a_usage_error(source):
    with pytest.raises(OptionError, match="is empty"):
        parse_address(source)


def test_an_unknown_scheme_is_refused_without_its_password():
    with pytest.raises(OptionError, match="gopher is not a supported stream") as raised:
        parse_address("gopher://me:secret@host/x")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("rtsp://user:pw@cam:8554/live", "rtsp://***@cam:8554/live"),
        ("rtsp://user@cam/live", "rtsp://***@cam/live"),
        ("rtsp://user:p@ss:w@cam/live", "rtsp://***@cam/live"),
        ("rtsp://user:pa/ss@cam/live", "rtsp://***@cam/live"),
        ("rtsp://user:pa?ss#x@cam/live", "rtsp://***"),
        ("http://cam/a?mail=me@home", "http://***"),
        ("http://[::1]:80/a.mjpg", "http://[::1]:80/a.mjpg"),
        ("http://cam/a?user=me&pwd=secret", "http://cam/a?user=***&pwd=***"),
        ("http://cam/a?secret", "http://cam/a?***"),
        ("http://[broken/a", "http://***"),
        ("http://cam/a#secret", "http://cam/a"),
        ("clip.mp4", "clip.mp4"),
        ("rtsp://cam/user=me_password=sec/ret", "rtsp://cam/user=***"),
        ("rtsp:/me:secret@cam", "***@cam"),
        ("me:sec@ret@cam/live?key=x", "***@cam/live?***"),
        ("rtsp:/cam/a?key=secret", "rtsp:/cam/a?***"),
    ],
)
def test_credentials_are_hidden(url, shown):
    assert hide_credentials(url) == shown


@given(password=st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_password_whatever_its_characters_gets_out(password):
    marked = f"S3CR{password}3T"
    shown = hide_credentials(f"rtsp://user:{marked}@cam/live?token={marked.replace('&', '')}")
    assert "S3CR" not in shown
    assert "3T" not in shown


def test_the_location_keeps_the_password_and_the_name_does_not():
    address = parse_address("rtsp://user:pw@cam/live")
    assert address.location == "rtsp://user:pw@cam/live"
    assert "pw" not in address.name


def test_a_file_or_folder_with_an_at_is_shown_and_a_missing_name_is_not(tmp_path):
    (tmp_path / "me@home").mkdir()
    pattern = str(tmp_path / "me@home" / "%d.png")
    assert hide_credentials(pattern) == pattern
    for name in ("rtsp:/me:secret@cam", "me:secret@cam/live.png"):
        with pytest.raises(CameraUnavailableError) as raised:
            open_source(name)
        assert "secret" not in str(raised.value)
