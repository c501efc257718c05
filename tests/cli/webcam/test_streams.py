"""Streams of real servers on the loopback: cut off, restarted, locked, mute."""

import json
import signal
import socket
import time
from datetime import datetime

import pytest
import servers
import tiny
from servers import RunningCommand, free_port, mjpeg_server, rtsp_server
from videos import BLUE, RED, write_video

pytestmark = pytest.mark.enable_socket

needs_ffmpeg = pytest.mark.skipif(
    servers.missing_ffmpeg() is not None, reason=servers.missing_ffmpeg() or ""
)
needs_rtsp = pytest.mark.skipif(
    servers.missing_rtsp() is not None, reason=servers.missing_rtsp() or ""
)


@pytest.fixture
def watch(tmp_path):
    model = tiny.write(tmp_path / "model")

    def start(source: str, *arguments: object) -> RunningCommand:
        return RunningCommand(
            "webcam", source, "--headless", "--ndjson", "--model", model, "--interval", "0.1",
            "--stall-timeout", "3", "--reconnect-for", "8", *arguments,
        )  # fmt: skip

    return start


@needs_rtsp
def test_rtsp_comes_back_and_is_given_up_when_the_budget_is_spent(watch):
    port = free_port()
    server = rtsp_server(port, "red")
    with watch(f"rtsp://127.0.0.1:{port}/live") as command:
        with server:
            red = json.loads(command.line())
        with rtsp_server(port, "blue"):
            blue = json.loads(command.line())
        assert blue["caption"] != red["caption"]
        assert blue["frame"] > red["frame"]
        assert blue["time_s"] > red["time_s"]
        passed = datetime.fromisoformat(blue["at"]) - datetime.fromisoformat(red["at"])
        assert passed.total_seconds() == pytest.approx(blue["time_s"] - red["time_s"], abs=0.05)
        last = json.loads(command.line())
        code, said = command.end()
    assert code == 6
    assert last["error"]["type"] == "CameraLostError"
    assert "nothing listens" in last["error"]["message"]
    assert said.count("trying again") == 2
    assert said.count("is back") == 1
    assert "check power, cable and network" in said


@needs_rtsp
def test_a_still_stream_that_comes_back_says_its_caption_again(watch):
    port = free_port()
    server = rtsp_server(port, "red")
    with watch(f"rtsp://127.0.0.1:{port}/live") as command:
        with server:
            before = json.loads(command.line())
        with rtsp_server(port, "red"):
            after = json.loads(command.line())
        assert after["caption"] == before["caption"]
        command.stop()
        code, said = command.end()
    assert code == 143
    assert "Traceback" not in said


@needs_rtsp
def test_a_wrong_password_ends_with_6_and_is_shown_nowhere(watch):
    port = free_port()
    with rtsp_server(port, "red", "me", "right"):
        with watch(f"rtsp://me:wr0ng@127.0.0.1:{port}/live") as command:
            record = command.line()
            code, said = command.end()
        assert code == 6
        assert "check the path, the user and the password" in said
        assert "wr0ng" not in said + record
        with watch(f"rtsp://me:right@127.0.0.1:{port}/live") as command:
            record = json.loads(command.line())
        assert record["file"] == f"rtsp://***@127.0.0.1:{port}/live"
        assert record["caption"]


@needs_ffmpeg
def test_http_mjpeg_changes_with_its_scenes_and_survives_a_restart(watch, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 20), (BLUE, 20)], rate=20.0)
    port = free_port()
    server = mjpeg_server(port, clip)
    time.sleep(1.0)  # ffmpeg listens
    with watch(f"http://127.0.0.1:{port}/live.mjpg") as command:
        with server:
            first, second = (json.loads(command.line()) for _ in range(2))
            assert first["caption"] != second["caption"]
        with mjpeg_server(port, clip):
            again = json.loads(command.line())
            assert again["caption"] in (first["caption"], second["caption"])
            assert again["frame"] > second["frame"]
        code, said = command.end()
    assert code == 6
    assert "is back" in said


def test_a_server_that_never_sends_ends_with_6(watch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with watch(f"http://127.0.0.1:{port}/x", "--reconnect-for", "2") as command:
            code, said = command.end()
    assert code == 6
    assert "check" in said
    assert "Traceback" not in said


def test_ctrl_c_ends_a_source_that_never_sends_at_once(watch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with watch(f"http://127.0.0.1:{port}/x") as command:
            connection, _ = mute.accept()
            command.stop(signal.SIGINT)
            begun = time.monotonic()
            code, said = command.end()
            took_s = time.monotonic() - begun
            connection.close()
    assert code == 130
    assert "Traceback" not in said
    # Left alone, it would wait for the 8 s of --reconnect-for, and then knock.
    assert took_s < 4.0
