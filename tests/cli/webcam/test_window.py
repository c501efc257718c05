"""A real window on a display without a screen (Xvfb), looked at through its frame buffer.

Needs an OpenCV with windows, which the extra camera-headless is not: `.ci/run` names a Python that
has one in MRNN_EDGE_WINDOW_PYTHON.
"""

import os
import shutil
import struct
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import tiny
from videos import BLUE, RED, write_video

from mrnn_edge_cli.webcam import window as room
from mrnn_edge_cli.webcam.window import Window, WindowLostError

PYTHON = os.environ.get("MRNN_EDGE_WINDOW_PYTHON", sys.executable)


def why_not() -> str | None:
    if not shutil.which("Xvfb"):
        return "needs Xvfb: apt-get install xvfb"
    code = "import cv2, sys; sys.exit(not cv2.currentUIFramework())"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, check=False)
    if done.returncode:
        return "needs opencv-python, not -headless, in the Python of MRNN_EDGE_WINDOW_PYTHON"
    return None


needs_display = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture
def display(tmp_path):
    """A display of 800 x 600; gives its number and its frame buffer's file."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [
            *("Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24"),
            *("-fbdir", str(tmp_path), "-nolisten", "tcp"),
        ],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    try:
        yield f":{number}", tmp_path / "Xvfb_screen0"
    finally:
        process.kill()
        process.wait()


def screen(path) -> np.ndarray:
    """The frame buffer as RGB [H, W, 3]: an XWD file, 32 bits a pixel, blue first."""
    data = path.read_bytes()
    header = struct.unpack(">25I", data[:100])
    start, width, height, stride = header[0] + header[19] * 12, header[4], header[5], header[12]
    rows = np.frombuffer(data, np.uint8, stride * height, start).reshape(height, stride)
    return rows[:, : width * 4].reshape(height, width, 4)[..., 2::-1]


def start(tmp_path, display: str, *arguments: object) -> subprocess.Popen:
    model = tiny.write(tmp_path / "model")
    clip = write_video(tmp_path / "clip.mp4", [(RED, 30), (BLUE, 30)], size=(320, 240))
    return subprocess.Popen(
        [
            PYTHON,
            "-m",
            "mrnn_edge_cli",
            "webcam",
            str(clip),
            "--model",
            str(model),
            *list(map(str, arguments)),
        ],
        env={**os.environ, "DISPLAY": display, "WAYLAND_DISPLAY": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )


@needs_display
def test_a_window_shows_the_picture_the_caption_and_the_status(tmp_path, display):
    number, buffer = display
    process = start(tmp_path, number, "--no-repeat-ngram", 0)
    try:
        seen = {}
        deadline = time.monotonic() + 30
        while len(seen) < 2 and time.monotonic() < deadline and process.poll() is None:
            shot = screen(buffer)
            red, blue = shot[..., 0].astype(int), shot[..., 2].astype(int)
            for name, area in (("red", red - blue > 150), ("blue", blue - red > 150)):
                # The rest of 320 x 240 lies under the bands.
                if area.sum() > 320 * 240 * 0.6:
                    seen.setdefault(name, (shot, area))
            time.sleep(0.05)
        output, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert set(seen) == {"red", "blue"}, said
    assert process.returncode == 0
    assert output == ""  # captions are in the window
    for shot, area in seen.values():
        rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
        # Above and below the picture's colour lie the two bands with bright text.
        for band in (shot[rows[0] - 6 : rows[0]], shot[rows[-1] + 1 : rows[-1] + 12]):
            text = band[:, columns[0] : columns[-1]]
            assert text.min(axis=2).max() > 120


@needs_display
def test_records_come_beside_a_window(tmp_path, display):
    number, _ = display
    process = start(tmp_path, number, "--ndjson", "--quiet")
    output, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert len(output.splitlines()) == 2


@needs_display
def test_a_display_that_does_not_answer_gives_lines(tmp_path):
    process = start(tmp_path, ":4711")
    output, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(output.splitlines()) == 2
    assert "no window (the display :4711 cannot be opened)" in said


def test_no_display_or_no_windows_in_opencv_give_lines(command, bundle, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 10)])
    done = command("webcam", clip, "--model", bundle, env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "no window (" in done.stderr
    assert "captions are printed as lines" in done.stderr


class FailingCv2:
    """cv2 whose window functions of these names fail, as they do without their display."""

    error = cv2.error

    def __init__(self, *failing: str) -> None:
        self._failing = failing

    def __getattr__(self, name: str):
        if name in self._failing:
            return self._fail
        return (lambda *_: 1.0) if name[0].islower() else 0

    def _fail(self, *_):
        raise cv2.error("OpenCV(5.0.0) window.cpp:1 error:\n  the display has gone\n")


@pytest.mark.parametrize("failing", ["namedWindow", "imshow", "waitKey", "getWindowProperty"])
def test_an_error_of_the_window_system_is_one_of_our_own_in_one_line(monkeypatch, failing):
    monkeypatch.setattr(room, "import_cv2", lambda: FailingCv2(failing, "destroyAllWindows"))
    window = Window()
    with pytest.raises(WindowLostError, match="error: the display has gone$"):
        show_and_ask(window)
    window.close()


def show_and_ask(window):
    window.show(np.zeros((4, 4, 3), np.uint8))
    window.key(0.0)


def test_a_window_that_fails_in_the_command_gives_lines_from_then_on(
    bundle, tmp_path, monkeypatch, capsys
):
    from mrnn_edge_cli.app import app

    clip = write_video(tmp_path / "clip.mp4", [(RED, 10), (BLUE, 10)])
    monkeypatch.setattr(room, "why_no_window", lambda: None)
    monkeypatch.setattr(room, "import_cv2", lambda: FailingCv2("waitKey", "destroyAllWindows"))
    with pytest.raises(SystemExit) as ended:
        app(["webcam", str(clip), "--model", str(bundle)])
    output = capsys.readouterr()
    assert ended.value.code == 0
    # What the window showed when it failed is the first line.
    assert [line.split("\t")[0] for line in output.out.splitlines()] == ["0:00.00", "0:01.00"]
    assert output.err.count("the window was lost (") == 1
    assert "captions are printed as lines" in output.err
