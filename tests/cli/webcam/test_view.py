"""The loop that shows every frame: keys, pace, what the status says, captions beside."""

import threading

import numpy as np
import pytest
from fake_capture import Camera, FakeCapture, colour

from mrnn_edge.camera.live import LiveSource
from mrnn_edge.camera.reconnect import ReconnectPolicy
from mrnn_edge.camera.scene import Scene, WatchOptions
from mrnn_edge.camera.video import Video
from mrnn_edge.camera.watch import Watch
from mrnn_edge.errors import CameraLostError
from mrnn_edge_cli.webcam.view import View
from mrnn_edge_cli.webcam.window import Key

RED, BLUE = colour(250, 5, 5, height=96, width=128), colour(5, 5, 250, height=96, width=128)
LEFT_RED = np.concatenate([RED[:, :64], BLUE[:, :64]], axis=1)


class FakeWindow:
    """Notes what it is shown; a script of keys by the number of the call."""

    def __init__(self, keys: dict[int, Key] | None = None) -> None:
        self.keys = keys or {}
        self.shown: list[np.ndarray] = []
        self.waits: list[float] = []

    def show(self, bgr):
        self.shown.append(bgr.copy())

    def key(self, wait_s):
        self.waits.append(wait_s)
        return self.keys.get(len(self.waits))

    def close(self):
        pass


class FakeRecording:
    failed = False

    def __init__(self) -> None:
        self.frames: list[tuple[np.ndarray, float]] = []

    def show(self, bgr, time_s):
        self.frames.append((bgr, time_s))


def view(captioner, source, *, window=None, recording=None, interval_s=0.0) -> View:
    scene = Scene.of(captioner, WatchOptions(), source="s")
    return View(
        source,
        Watch(scene, interval_s=interval_s),
        device="cpu",
        explain=False,
        window=window,
        recording=recording,
    )


def video(frames, rate=1000.0) -> Video:
    capture = FakeCapture(frames, rate=rate)
    return Video("clip", lambda: capture)


def test_every_frame_of_a_file_is_shown_and_recorded_in_opencvs_order(captioner):
    window, recording = FakeWindow(), FakeRecording()
    shown = view(captioner, video([RED] * 5 + [BLUE] * 5), window=window, recording=recording)
    events = list(shown.events())
    assert [event.frame for event in events] == [0, 5]
    assert len(window.shown) == len(recording.frames) == 10
    assert window.shown[0][40, 60].tolist() == [5, 5, 250]
    assert [time_s for _, time_s in recording.frames] == pytest.approx(
        [number / 1000.0 for number in range(10)]
    )
    for (recorded, _), seen in zip(recording.frames, window.shown, strict=True):
        assert np.array_equal(recorded, seen)


def test_the_frame_itself_is_not_drawn_on(captioner):
    before = RED.copy()
    list(view(captioner, video([RED] * 3), window=FakeWindow()).events())
    assert np.array_equal(RED, before)


def test_a_file_is_shown_at_its_speed(captioner):
    window = FakeWindow()
    list(view(captioner, video([RED] * 4, rate=0.01), window=window).events())
    # The fake does not wait, so each frame is a hundred seconds further ahead of its time.
    assert [round(wait_s / 100.0) for wait_s in window.waits] == [0, 1, 2, 3]


def test_quit_ends_it_and_closes_the_source(captioner):
    capture = FakeCapture([RED] * 100, rate=1000.0)
    window = FakeWindow({3: Key.QUIT})
    list(view(captioner, Video("clip", lambda: capture), window=window).events())
    assert len(window.shown) == 3
    assert capture.released.is_set()


def test_pause_holds_the_picture_until_it_is_pressed_again(captioner):
    window = FakeWindow({2: Key.PAUSE, 8: Key.PAUSE})
    list(view(captioner, video([RED] * 4), window=window).events())
    assert len(window.shown) == 4
    assert len(window.waits) == 4 + 6


def test_quit_ends_a_pause_too(captioner):
    window = FakeWindow({2: Key.PAUSE, 5: Key.QUIT})
    list(view(captioner, video([RED] * 4), window=window).events())
    assert len(window.shown) == 2


def test_mirror_turns_the_picture_and_not_the_words(captioner):
    window = FakeWindow({2: Key.MIRROR})
    list(view(captioner, video([LEFT_RED] * 4), window=window).events())
    plain, turned = window.shown[1], window.shown[2]
    assert plain[40, 10].tolist() == turned[40, 120].tolist() == [5, 5, 250]
    # Text stands at the left of its band in both.
    assert plain[-12:, :64].max() > 200
    assert turned[-12:, :64].max() > 200


def test_a_snapshot_is_a_png_of_what_is_shown(captioner, tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    window = FakeWindow({2: Key.SNAPSHOT})
    list(view(captioner, video([RED] * 3), window=window).events())
    (path,) = tmp_path.glob("mrnn-edge-*.png")
    assert np.array_equal(np.asarray(Image.open(path))[..., ::-1], window.shown[1])
    assert path.name in capsys.readouterr().err


def test_a_live_picture_moves_on_while_a_caption_is_decoded(captioner):
    go = threading.Event()
    watching = Watch(Scene.of(captioner, WatchOptions(), source="s"), interval_s=0.0)

    class Slow:
        def see(self, frame):
            go.wait(30)
            return watching.see(frame)

    capture = FakeCapture([RED] * 100_000, interval_s=0.002)
    window = FakeWindow({200: Key.QUIT})
    shown = View(
        LiveSource("cam", Camera(capture)), Slow(), device="cpu", explain=False,
        window=window, recording=None,
    )  # fmt: skip
    released = threading.Timer(0.1, go.set)
    released.start()
    events = list(shown.events())
    assert len(window.shown) >= 200
    assert len(events) == 1
    assert capture.released.wait(5)


def test_a_live_source_that_is_lost_says_so_over_its_last_picture(captioner):
    policy = ReconnectPolicy(open_s=1.0, stall_s=1.0, budget_s=0.8, pauses_s=(0.05,))
    source = LiveSource("cam", Camera(FakeCapture([RED] * 3)), policy=policy)
    window = FakeWindow()
    with pytest.raises(CameraLostError):
        list(view(captioner, source, window=window).events())
    first, last = window.shown[0], window.shown[-1]
    assert not np.array_equal(first[:12], last[:12])
    assert last[40, 60].tolist() == [5, 5, 250]
