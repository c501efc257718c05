"""OpenCV's captures: frames as RGB whatever their form, and why a source did not open."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from videos import BLUE, RED, write_video

from mrnn_edge import Captioner
from mrnn_edge.camera import capture as room
from mrnn_edge.camera.address import parse_address
from mrnn_edge.camera.capture import bgr_to_rgb, check_file, opener
from mrnn_edge.camera.frames import ReconnectPolicy
from mrnn_edge.camera.source import open_source
from mrnn_edge.errors import CameraUnavailableError

BGR = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
RGB = BGR[..., [2, 1, 0]]


def test_bgr_is_counted_backwards_without_a_copy():
    found = bgr_to_rgb(BGR)
    assert np.array_equal(found, RGB)
    assert np.shares_memory(found, BGR)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.dstack([BGR, np.full((2, 4), 9, np.uint8)]), RGB),
        (BGR[..., 0], np.repeat(BGR[..., :1], 3, axis=2)),
        (BGR[..., :1], np.repeat(BGR[..., :1], 3, axis=2)),
        (BGR.astype(np.uint16) * 256 + 77, RGB),
    ],
    ids=["four channels", "grey", "one channel", "16 bits"],
)
def test_frames_of_other_forms_become_rgb(image, expected):
    assert np.array_equal(bgr_to_rgb(image), expected)


@pytest.mark.parametrize(
    "image",
    [None, "text", np.zeros((2, 2, 3)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 4, 3), "u1")],
)
def test_what_is_no_picture_is_none(image):
    assert bgr_to_rgb(image) is None


def test_a_video_comes_through_opencv_with_its_colours_times_and_rate(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 5), (BLUE, 5)], rate=20.0)
    source = open_source(clip)
    frames = list(source.frames(tick=1.0))
    source.close()
    assert not source.live
    assert source.rate == pytest.approx(20.0)
    assert [frame.time_s for frame in frames] == pytest.approx([n / 20.0 for n in range(10)])
    for frame, colour in zip(frames, [RED] * 5 + [BLUE] * 5, strict=True):
        assert np.abs(frame.pixels.astype(int).mean(axis=(0, 1)) - colour).max() < 12


def test_watch_reads_a_video_by_its_path(captioner: Captioner, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 10), (BLUE, 10)])
    events = list(captioner.watch(clip, interval=0.0, every=2))
    assert [(event.frame, event.time_s) for event in events] == [(0, 0.0), (10, 1.0)]
    assert events[0].source == str(clip)


def test_a_name_with_colons_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", [(RED, 3)]).rename("2024-01-01T10:00:00.mp4")
    assert len(list(open_source("2024-01-01T10:00:00.mp4").frames(tick=1.0))) == 3


def test_a_file_is_checked_before_opencv_sees_it(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, message in (
        (pipe, "not a regular file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "none", "no such file"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(CameraUnavailableError, match=message):
            check_file(str(path))


@pytest.fixture
def why(monkeypatch):
    """Why an address does not open, by the message of the error."""

    def of(source: str) -> str:
        open_capture = opener(parse_address(source), ReconnectPolicy(open_s=1.0))
        with pytest.raises(CameraUnavailableError) as raised:
            open_capture()
        return str(raised.value)

    return of


def test_a_device_that_is_not_there_names_those_that_are(why, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(room.glob, "glob", lambda _: ["/dev/video4", "/dev/video2"])
    assert "found: /dev/video2, /dev/video4" in why("63")
    assert "/dev/video62 does not exist" in why("/dev/video62")


def test_a_device_without_permission_and_one_that_is_busy_are_told_apart(why, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(room.os.path, "exists", lambda _: True)
    monkeypatch.setattr(room.os, "access", lambda *_: False)
    assert "no permission for /dev/video63; add yourself to its group" in why("63")
    monkeypatch.setattr(room.os, "access", lambda *_: True)
    assert "another program has it (see `fuser -v /dev/video63`)" in why("63")


@pytest.mark.enable_socket
def test_a_stream_says_whether_anybody_listens_and_shows_no_password(why):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        mute = why(f"rtsp://me:secret@127.0.0.1:{port}/x")
    assert "answers, but gives no video; check the path, the user and the password" in mute
    closed = why(f"rtsp://me:secret@127.0.0.1:{port}/x")
    assert f"nothing listens at 127.0.0.1:{port}" in closed
    assert "secret" not in mute + closed


@pytest.mark.enable_socket
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_ffmpeg_ends_a_stream_that_never_sends_and_says_more_than_the_watchdog(scheme, monkeypatch):
    knock = socket.create_connection

    def slowly(*arguments, **options):
        time.sleep(1.0)
        return knock(*arguments, **options)

    monkeypatch.setattr(room.socket, "create_connection", slowly)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/x"
        source = open_source(url, policy=ReconnectPolicy(open_s=0.5))
        with pytest.raises(CameraUnavailableError, match="answers, but gives no video"):
            list(source.frames(tick=0.1))


def test_a_stream_without_a_host_is_told(why):
    assert "gives no video" in why("udp://")
    assert "no URL with a host and a port" in why("http://host:port/x")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("udp://127.0.0.1:9/x", "check that it is being sent"),
        ("srt://127.0.0.1:9/x", "check that it is being sent"),
        ("rtsp://me:se?cret@127.0.0.1:9/x", "check address, user and password"),
    ],
)
def test_nobody_knocks_where_no_tcp_is_spoken_or_the_host_is_hidden(monkeypatch, url, told):
    knocked = []
    monkeypatch.setattr(room.socket, "create_connection", lambda *at, **_: knocked.append(at))
    why = room._why_no_stream(parse_address(url).name)
    assert why == f"gives no video; {told}"
    assert not knocked


def test_a_name_that_is_not_utf8_is_refused_before_opencv_sees_it(tmp_path):
    # In a process of its own: OpenCV ends it.
    clip = write_video(tmp_path / "clip.avi", [(RED, 3)], codec="MJPG")
    name = os.fsencode(tmp_path) + b"/caf\xe9.avi"
    os.rename(clip, name)
    code = """
import os, sys
from mrnn_edge.camera.source import open_source
from mrnn_edge.errors import CameraUnavailableError
try:
    open_source(sys.argv[1])
except CameraUnavailableError as error:
    print(ascii(str(error)))
"""
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"is not UTF-8" in done.stdout
