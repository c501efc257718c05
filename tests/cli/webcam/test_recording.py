"""Videos of what was shown: their frames, their time, and disks that fill."""

import contextlib
import itertools
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_capture import Camera, FakeCapture
from videos import BLUE, GREEN, RED, read_video, write_video

from mrnn_edge.camera.live import LiveSource
from mrnn_edge.errors import OptionError
from mrnn_edge_cli.output import say
from mrnn_edge_cli.webcam import recording as room
from mrnn_edge_cli.webcam.recording import Recording


def bgr(level: int, *, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def film(path, *, rate: float = 10.0, live: bool = False, notice=say) -> Recording:
    """Ten frames a second."""
    return Recording(SimpleNamespace(rate=rate, live=live), path, notice=notice)


def levels(path) -> list[int]:
    """The mean grey of each frame of a video, to tens."""
    return [round(float(frame.mean()) / 10) * 10 for frame in read_video(path)]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".mov", ".MP4"])
def test_frames_come_out_as_they_went_in(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with contextlib.closing(film(path)) as recording:
        for number in range(20):
            recording.show(bgr(200 if number < 10 else 50), number / 10.0)
    assert levels(path) == [200] * 10 + [50] * 10


def test_a_frame_is_shown_until_the_next_ones_time(tmp_path):
    path = tmp_path / "out.mp4"
    with contextlib.closing(film(path)) as recording:
        # The first comes late in the source's time; that is where the film begins.
        for time_s, level in ((5.0, 50), (5.1, 100), (5.5, 150), (5.52, 250), (5.6, 200)):
            recording.show(bgr(level), time_s)
    assert levels(path) == [50, 100, 100, 100, 100, 150, 200]


def test_a_long_gap_of_a_live_source_is_left_out_and_that_of_a_file_is_not(tmp_path):
    path = tmp_path / "out.mp4"
    shown = ((0.0, 50), (0.1, 50), (60.0, 200), (60.1, 200), (60.2, 200))
    for live, expected in (
        (True, [50, 50, 200, 200, 200]),
        (False, [50] * 600 + [200] * 3),
    ):
        with contextlib.closing(film(path, live=live)) as recording:
            for time_s, level in shown:
                recording.show(bgr(level), time_s)
        assert levels(path) == expected


def test_a_long_gap_does_not_fill_the_disk(tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    free = iter([1 << 40] * 3)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: usage(1 << 40, 0, next(free, room.RESERVE_BYTES - 1))
    )
    ticks = iter(range(0, 10_000, 2))  # every frame asks, in place of one a second
    monkeypatch.setattr(room.time, "monotonic", lambda: float(next(ticks)))
    path = tmp_path / "out.mp4"
    recording = film(path)
    recording.show(bgr(50), 0.0)
    recording.show(bgr(50), 365.0 * 86_400.0)
    recording.close()
    assert recording.failed
    assert len(levels(path)) == 4
    assert "less than 32 MiB are free" in capsys.readouterr().err


def test_a_film_is_finished_however_long_its_last_gap_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_FAREWELL_S", 0.1)
    path = tmp_path / "out.mp4"
    recording = film(path, rate=1000.0)
    for number in range(20):
        recording.show(bgr(50, height=240, width=320), number * 0.5)
    recording.close()
    assert not recording.failed
    assert len(read_video(path)) == 19 * 500 + 1


def test_a_name_with_colons_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("2024-01-01T10:00:00.mp4")
    with contextlib.closing(film(path)) as recording:
        recording.show(bgr(50), 0.0)
    assert not recording.failed
    assert levels(path.absolute()) == [50]


def test_a_film_that_opencv_cannot_begin_leaves_no_file(tmp_path, monkeypatch, capsys):
    class Unable:
        def __getattr__(self, name):
            return getattr(cv2, name)

        def VideoWriter(self, *_):  # noqa: N802
            return SimpleNamespace(isOpened=lambda: False, release=lambda: None)

    monkeypatch.setattr(room, "import_cv2", Unable)
    (tmp_path / "old.mp4").write_bytes(b"of yesterday")
    for name in ("new.mp4", "old.mp4"):
        recording = film(tmp_path / name)
        recording.show(bgr(50), 0.0)
        recording.close()
        assert recording.failed
    assert capsys.readouterr().err.count("OpenCV cannot write a video there") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"old.mp4"}


class HeldEncoder:
    """cv2 with a writer that waits for `go` before each frame."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __getattr__(self, name: str):
        return getattr(cv2, name)

    def VideoWriter(self, *arguments):  # noqa: N802
        encoder, writer = self, cv2.VideoWriter(*arguments)

        class Held:
            def write(self, bgr):
                assert encoder.go.wait(30)
                writer.write(bgr)

            def __getattr__(self, name):
                return getattr(writer, name)

        return Held()


def test_of_a_live_source_the_loop_does_not_wait_for_a_slow_encoder(tmp_path, monkeypatch):
    encoder, notices = HeldEncoder(), []
    monkeypatch.setattr(room, "import_cv2", lambda: encoder)
    recording = film(tmp_path / "out.mp4", live=True, notice=notices.append)
    for number in range(100):  # with a loop that waits this line ends never
        recording.show(bgr(50), number / 10.0)
    encoder.go.set()
    recording.close()
    kept = len(levels(tmp_path / "out.mp4"))
    assert room.WAITING <= kept <= room.WAITING + 1
    assert not recording.failed
    (notice,) = notices
    assert f"{100 - kept} of 100 frames were left out" in notice


def test_after_frames_that_were_left_out_the_film_goes_on_from_the_next(tmp_path, monkeypatch):
    encoder = HeldEncoder()
    monkeypatch.setattr(room, "import_cv2", lambda: encoder)
    recording = film(tmp_path / "out.mp4", live=True, notice=str)
    for number in range(100):
        recording.show(bgr(50), number / 10.0)
    encoder.go.set()
    while not recording._frames.empty():
        time.sleep(0.01)
    before = 100 - recording._left_out
    recording.show(bgr(200), 10.0)
    recording.show(bgr(200), 10.3)
    recording.close()
    # No time of the ninety is filled: an encoder that is behind would never catch up.
    assert levels(tmp_path / "out.mp4")[before:] == [200] * 4


def test_of_a_file_every_frame_waits_for_a_slow_encoder(tmp_path, monkeypatch):
    encoder, notices = HeldEncoder(), []
    monkeypatch.setattr(room, "import_cv2", lambda: encoder)
    threading.Timer(0.3, encoder.go.set).start()
    recording = film(tmp_path / "out.mp4", notice=notices.append)
    for number in range(100):
        recording.show(bgr(50), number / 10.0)
    recording.close()
    assert len(levels(tmp_path / "out.mp4")) == 100
    assert notices == []


def test_a_disk_that_does_not_answer_does_not_hold_the_end_up(tmp_path, monkeypatch, capsys):
    encoder = HeldEncoder()
    monkeypatch.setattr(room, "import_cv2", lambda: encoder)
    monkeypatch.setattr(room, "_FAREWELL_S", 0.1)
    recording = film(tmp_path / "out.mp4")
    recording.show(bgr(50), 0.0)
    recording.close()
    encoder.go.set()
    assert recording.failed
    assert "got no frame for 0.1 s; does the disk answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("announced", "live", "rate"),
    [(10.0, True, 10.0), (None, True, 30.0), (90.0, True, 60.0), (240.0, False, 240.0)],
)
def test_a_film_has_its_sources_rate_where_that_can_be(tmp_path, announced, live, rate):
    source = SimpleNamespace(rate=None, live=live)
    path = tmp_path / "out.mp4"
    with contextlib.closing(Recording(source, path, notice=say)) as recording:
        source.rate = announced  # a live source says it once it is open
        recording.show(bgr(50), 0.0)
        recording.show(bgr(50), 1.0)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(rate)
    assert len(levels(path)) == rate + 1


@pytest.mark.parametrize("announced", [10.0, None])
def test_a_film_of_a_camera_of_ten_frames_a_second_takes_as_long_as_it_took(tmp_path, announced):
    path = tmp_path / "out.mp4"
    camera = FakeCapture([bgr(50)] * 25, interval_s=0.1, rate=announced)
    source = LiveSource("cam", Camera(camera))
    frames = filter(None, source.frames(tick=0.05))
    with contextlib.closing(Recording(source, path, notice=say)) as recording:
        times = []
        for frame in itertools.islice(frames, 25):
            times.append(frame.captured)
            recording.show(frame.pixels, frame.time_s)
    rate = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    assert rate == (announced or 30.0)
    assert abs(len(levels(path)) - (times[-1] - times[0]) * rate) <= 2


def test_times_that_go_back_do_not_stop_it(tmp_path):
    path = tmp_path / "out.mp4"
    with contextlib.closing(film(path)) as recording:
        for time_s in (0.0, 0.1, 0.2, 0.0, 0.1, 0.2):
            recording.show(bgr(50), time_s)
    assert len(levels(path)) == 6


def test_frames_of_another_size_are_brought_to_the_first_ones(tmp_path):
    path = tmp_path / "out.mp4"
    with contextlib.closing(film(path)) as recording:
        recording.show(bgr(50), 0.0)
        recording.show(bgr(200, height=99, width=33), 0.1)
    frames = read_video(path)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 2


def test_odd_sides_lose_a_row_and_a_column(tmp_path):
    path = tmp_path / "out.mp4"
    with contextlib.closing(film(path)) as recording:
        recording.show(bgr(50, height=49, width=65), 0.0)
    assert read_video(path)[0].shape == (48, 64, 3)


def test_an_unknown_suffix_and_a_missing_folder_are_told_at_once(tmp_path):
    with pytest.raises(OptionError, match=r"none of \.mp4"):
        film(tmp_path / "out.xyz")
    with pytest.raises(OSError, match="No such file"):
        film(tmp_path / "nowhere" / "out.mp4")


def test_a_name_that_is_not_utf8_is_told_before_opencv_sees_it(tmp_path):
    path = tmp_path / "caf\udce9.mp4"
    with pytest.raises(OptionError, match="is not UTF-8"):
        film(path)
    assert not path.exists()


def test_a_disk_that_is_nearly_full_ends_it_with_a_film_that_can_be_seen(
    tmp_path, monkeypatch, capsys
):
    usage = namedtuple("usage", "total used free")
    free = iter([1 << 40, 1 << 40])
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: usage(1 << 40, 0, next(free, room.RESERVE_BYTES - 1))
    )
    # Every frame asks, in place of one a second.
    ticks = iter(range(0, 10_000, 2))
    monkeypatch.setattr(room.time, "monotonic", lambda: float(next(ticks)))
    path = tmp_path / "out.mp4"
    recording = film(path)
    for number in range(100):
        recording.show(bgr(50), number / 10.0)
    recording.close()
    assert recording.failed
    assert len(levels(path)) == 3
    said = capsys.readouterr().err
    assert said.count("less than 32 MiB are free on the disk); captions continue") == 1


def test_a_file_that_may_not_grow_any_more_is_told(tmp_path):
    # In a process of its own: the limit is one of the whole process.
    code = f"""
import resource, numpy as np
from pathlib import Path
from types import SimpleNamespace
from mrnn_edge_cli.webcam.recording import Recording
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
path = Path({str(tmp_path / "out.mp4")!r})
recording = Recording(SimpleNamespace(rate=30.0, live=False), path, notice=print)
noise = np.random.default_rng(0).integers(0, 256, (20, 120, 160, 3), np.uint8)
for number in range(400):
    recording.show(noise[number % 20], number / 30.0)
recording.close()
assert recording.failed
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"captions continue") == 1


def test_a_film_without_a_frame_leaves_no_file_and_no_other_file_out(tmp_path):
    film(tmp_path / "new.mp4").close()
    (tmp_path / "old.mp4").write_bytes(b"of yesterday")
    film(tmp_path / "old.mp4").close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "old.mp4": b"of yesterday"
    }


def test_an_encoder_that_fails_does_not_hold_the_loop_up(tmp_path, capsys):
    recording = film(tmp_path / "out.mp4")
    for number in range(50):
        recording.show(np.zeros((4, 4), np.float64), float(number))  # no picture at all
    recording.close()
    assert recording.failed
    assert "captions continue" in capsys.readouterr().err


@pytest.fixture
def webcam(command, bundle):
    def run(*arguments):
        return command("webcam", *arguments, "--headless", "--model", bundle)

    return run


def test_the_command_records_every_frame_with_its_caption_on_it(webcam, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 10), (BLUE, 10), (GREEN, 10)], size=(320, 240))
    out = tmp_path / "out.mp4"
    done = webcam(clip, "--record", out)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    before, after = read_video(clip), read_video(out)
    assert len(after) == len(before) == 30
    for plain, drawn in zip(before, after, strict=True):
        middle = slice(60, 180)
        assert np.abs(plain[middle].astype(int) - drawn[middle]).mean() < 8
        assert drawn[-15:].max() > 200  # text
        assert np.median(drawn[-3:]) < 70  # on a darkened band
    # The caption changes with the scene, at the very frame that shows it first.
    foot = [frame[-20:].astype(int) for frame in after]
    assert np.abs(foot[9] - foot[10]).mean() > np.abs(foot[8] - foot[9]).mean() + 1


def test_the_command_does_not_record_over_its_source(webcam, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 10)])
    size = clip.stat().st_size
    done = webcam(clip, "--record", clip)
    assert done.returncode == 2
    assert "is read by this run" in done.stderr
    assert clip.stat().st_size == size


@pytest.mark.parametrize(("name", "code"), [("out.xyz", 2), ("nowhere/out.mp4", 2)])
def test_a_recording_that_cannot_be_begun_ends_the_command(webcam, tmp_path, name, code):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 10)])
    done = webcam(clip, "--record", tmp_path / name)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
