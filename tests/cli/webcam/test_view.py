"""The loop that shows every frame: keys, pace, what the status says, captions beside."""

import itertools
import threading
import time

import numpy as np
import pytest
from fake_capture import Camera, FakeCapture, colour

from mrnn_edge.camera.frames import ReconnectPolicy
from mrnn_edge.camera.live import LiveSource
from mrnn_edge.camera.scene import WatchOptions
from mrnn_edge.camera.video import Video
from mrnn_edge.camera.watch import Watch
from mrnn_edge.errors import CameraLostError
from mrnn_edge_cli.webcam.overlay import Overlay
from mrnn_edge_cli.webcam.view import View
from mrnn_edge_cli.webcam.window import PAINT_S, Key, WindowLostError

RED, BLUE = colour(250, 5, 5, height=96, width=128), colour(5, 5, 250, height=96, width=128)
LEFT_RED = np.concatenate([RED[:, :64], BLUE[:, :64]], axis=1)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeWindow:
    """Notes what it is shown; a script of keys by the number of the call. Waits by its clock, for
    `least_s` at least."""

    def __init__(
        self,
        keys: dict[int, Key] | None = None,
        *,
        clock: Clock | None = None,
        fails: int = 0,
        least_s: float = 0.0,
    ) -> None:
        self.least_s = least_s
        self.keys = keys or {}
        self.clock = clock or Clock()
        self.fails = fails
        self.shown: list[np.ndarray] = []
        self.waits: list[float] = []
        self.closed = False

    def show(self, bgr):
        self.shown.append(bgr.copy())
        if len(self.shown) == self.fails:
            raise WindowLostError("the display has gone")

    def key(self, wait_s):
        self.clock.now += max(wait_s, self.least_s)
        self.waits.append(wait_s)
        return self.keys.get(len(self.waits))

    def close(self):
        self.closed = True


class FakeRecording:
    failed = False

    def __init__(self) -> None:
        self.frames: list[tuple[np.ndarray, float]] = []

    def show(self, bgr, time_s):
        self.frames.append((bgr, time_s))


def view(
    captioner, source, *, window=None, recording=None, interval_s=0.0, lost=None, stop=bool,
    clock=None,
) -> View:  # fmt: skip
    if clock is None:  # what a file waits for is the window's; a live source has its own time
        clock = time.monotonic if source.live or window is None else window.clock
    scene = captioner.scene(WatchOptions(), source="s")
    return View(
        source,
        Watch(scene, interval_s=interval_s),
        device="cpu",
        explain=False,
        window=window,
        recording=recording,
        window_lost=pytest.fail if lost is None else lost,
        stop=stop,
        clock=clock,
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
    clock = Clock()
    window = FakeWindow(clock=clock)
    shown = view(captioner, video([RED, BLUE] * 2, rate=0.5), window=window, clock=clock)
    list(shown.events())
    # Four frames, two seconds apart; the last one is shown when it is due, and that is the end.
    assert clock.now == pytest.approx(100.0 + 3 * 2.0, abs=0.2)
    red = [picture[40, 60].tolist() == [5, 5, 250] for picture in window.shown]
    assert [len(list(same)) for _, same in itertools.groupby(red)] == pytest.approx(
        [1, 40, 40, 40], abs=2
    )


@pytest.mark.parametrize("rate", [25.0, 60.0, 240.0])
def test_a_file_keeps_its_speed_where_painting_takes_longer_than_a_frame(captioner, rate):
    clock = Clock()
    window, recording = FakeWindow(clock=clock, least_s=PAINT_S), FakeRecording()
    count = int(rate * 4)
    shown = view(
        captioner, video([RED] * count, rate=rate), window=window, recording=recording, clock=clock
    )
    list(shown.events())
    assert clock.now == pytest.approx(104.0, abs=0.1)
    assert len(recording.frames) == count  # what is passed by on the screen is in the film
    # As many as there are, or as can be painted.
    assert len(window.shown) >= 0.9 * min(count, 4.0 / PAINT_S)


def test_a_machine_too_slow_for_a_file_shows_every_frame(captioner):
    clock = Clock()
    window = FakeWindow(clock=clock, least_s=PAINT_S)

    class Slow(FakeCapture):
        def grab(self):
            clock.now += 0.1
            return super().grab()

    source = Video("clip", lambda: Slow([RED] * 30, rate=30.0))
    list(view(captioner, source, window=window, clock=clock).events())
    assert len(window.shown) == 30


def test_between_two_frames_the_window_is_never_left_alone_for_long(captioner):
    clock = Clock()
    window = FakeWindow(clock=clock)
    list(view(captioner, video([RED] * 3, rate=0.1), window=window, clock=clock).events())
    assert clock.now > 119.0
    assert max(window.waits) <= 0.05


@pytest.mark.parametrize(("rate", "said"), [(0.5, "0.5 fps"), (20.0, "20 fps")])
def test_the_status_tells_frames_a_second_of_slow_sources_too(captioner, monkeypatch, rate, said):
    texts = []
    monkeypatch.setattr(Overlay, "status", lambda _, text: texts.append(text))
    clock = Clock()
    window = FakeWindow(clock=clock)
    list(view(captioner, video([RED] * 40, rate=rate), window=window, clock=clock).events())
    assert texts[-1].startswith(said)


def test_keys_are_obeyed_while_the_next_frame_is_far_off(captioner):
    clock = Clock()
    window = FakeWindow({5: Key.MIRROR, 9: Key.QUIT}, clock=clock)
    list(view(captioner, video([LEFT_RED] * 3, rate=0.1), window=window, clock=clock).events())
    assert clock.now < 101.0
    assert window.shown[4][40, 10].tolist() == window.shown[5][40, 120].tolist() == [5, 5, 250]


def test_a_key_does_not_hurry_a_file(captioner):
    clock = Clock()
    window = FakeWindow({3: Key.MIRROR, 4: Key.MIRROR}, clock=clock)
    list(view(captioner, video([RED] * 2, rate=0.1), window=window, clock=clock).events())
    assert clock.now > 109.0


def test_a_window_that_fails_is_closed_and_told_once_and_captions_go_on(captioner):
    told = []
    window, recording = FakeWindow(fails=3), FakeRecording()
    shown = view(
        captioner, video([RED] * 5 + [BLUE] * 5), window=window, recording=recording,
        lost=told.append,
    )  # fmt: skip
    assert [event.frame for event in shown.events()] == [0, 5]
    assert window.closed
    assert len(window.shown) == 3
    assert [str(error) for error in told] == ["the display has gone"]
    assert len(recording.frames) == 10


def test_without_a_window_any_more_and_without_a_film_captions_go_on(captioner):
    shown = view(captioner, video([RED, BLUE]), window=FakeWindow(fails=1), lost=str)
    assert [event.frame for event in shown.events()] == [0, 1]


def test_a_wish_to_stop_ends_it_between_two_frames_and_in_a_pause(captioner):
    window = FakeWindow()
    shown = view(captioner, video([RED] * 9), window=window, stop=lambda: len(window.waits) >= 3)
    list(shown.events())
    assert len(window.shown) == 3
    window = FakeWindow({2: Key.PAUSE})
    shown = view(captioner, video([RED] * 9), window=window, stop=lambda: len(window.waits) >= 7)
    list(shown.events())
    assert len(window.waits) == 7


def test_quit_ends_it_and_closes_the_source(captioner):
    capture = FakeCapture([RED] * 100, rate=1000.0)
    window = FakeWindow({3: Key.QUIT})
    list(view(captioner, Video("clip", lambda: capture), window=window).events())
    assert len(window.shown) == 3
    assert capture.released.is_set()


def test_pause_holds_the_picture_until_it_is_pressed_again(captioner):
    window = FakeWindow({2: Key.PAUSE, 8: Key.PAUSE})
    recording = FakeRecording()
    list(view(captioner, video([RED] * 4), window=window, recording=recording).events())
    assert len(recording.frames) == 4
    assert len(window.waits) == 4 + 6


def test_mirror_turns_a_picture_that_is_paused_and_its_snapshot(captioner, tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    window = FakeWindow({1: Key.PAUSE, 3: Key.MIRROR, 4: Key.SNAPSHOT, 6: Key.QUIT})
    list(view(captioner, video([LEFT_RED] * 4), window=window).events())
    assert window.shown[2][40, 10].tolist() == window.shown[3][40, 120].tolist() == [5, 5, 250]
    (path,) = tmp_path.glob("mrnn-edge-*.png")
    assert Image.open(path).getpixel((120, 40)) == (250, 5, 5)


def test_quit_ends_a_pause_too(captioner):
    window = FakeWindow({2: Key.PAUSE, 5: Key.QUIT})
    list(view(captioner, video([RED] * 4), window=window).events())
    assert len(window.waits) == 5


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
    watching = Watch(captioner.scene(WatchOptions(), source="s"), interval_s=0.0)

    class Slow:
        def see(self, frame):
            go.wait(30)
            return watching.see(frame)

    capture = FakeCapture([RED] * 100_000, interval_s=0.002)
    window = FakeWindow({200: Key.QUIT})
    shown = View(
        LiveSource("cam", Camera(capture)), Slow(), device="cpu", explain=False,
        window=window, recording=None, window_lost=pytest.fail, stop=bool,
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
