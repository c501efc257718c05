"""Which frames are looked at, here and in a thread beside; `Captioner.watch` from end to end."""

import threading
import time

import numpy as np
import pytest
from fake_capture import Camera, FakeCapture, colour, until_error

from mrnn_edge import Captioner
from mrnn_edge.camera.frames import Frame, ReconnectPolicy
from mrnn_edge.camera.live import LiveSource
from mrnn_edge.camera.scene import Scene, WatchOptions
from mrnn_edge.camera.watch import Watch, WatchBeside, watch
from mrnn_edge.errors import CameraLostError, ImageInputError, NumericalError, OptionError
from mrnn_edge.options import DecodeOptions

RED, BLUE, GREEN = colour(250, 5, 5), colour(5, 5, 250), colour(5, 250, 5)


def frame(number: int, *, rate: float = 30.0, connection: int = 0) -> Frame:
    return Frame(
        number=number, time_s=number / rate, captured=0.0, pixels=RED, connection=connection
    )


class Looks:
    """A scene that notes which frames it saw."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[int] = []
        self.forgotten = 0
        self.error = error

    def look(self, frame: Frame):
        self.seen.append(frame.number)
        if self.error is not None:
            raise self.error

    def forget(self) -> None:
        self.forgotten += 1


@pytest.mark.parametrize(
    ("rate", "interval", "expected"),
    [
        (30.0, 0.5, [0, 15, 30, 45]),
        (25.0, 0.5, [0, 13, 25, 38, 50]),
        (29.97, 0.1, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57]),
        (12.5, 0.5, [0, 7, 13, 19, 25, 32, 38, 44, 50, 57]),
        (30.0, 0.0, list(range(60))),
        (10.0, 0.1, list(range(60))),
        (1.0, 0.5, list(range(60))),
    ],
)
def test_a_frame_is_looked_at_when_an_interval_has_passed(rate, interval, expected):
    looks = Looks()
    watching = Watch(looks, interval_s=interval)
    for number in range(60):
        watching.see(frame(number, rate=rate))
    assert looks.seen == expected


def test_a_look_that_comes_late_does_not_put_the_next_one_off():
    looks = Looks()
    watching = Watch(looks, interval_s=0.5)
    for number in (0, 29, 30, 31, 44, 45, 46):  # nothing for 0.97 s
        watching.see(frame(number))
    assert looks.seen == [0, 29, 30, 45]


def test_after_a_long_silence_looks_are_an_interval_apart_again():
    looks = Looks()
    watching = Watch(looks, interval_s=0.5)
    for number in (0, 3000, 3001, 3014, 3015, 3029, 3030):
        watching.see(frame(number))
    assert looks.seen == [0, 3000, 3015, 3030]


def test_the_first_frame_after_a_reconnection_is_described_whatever_it_shows():
    looks = Looks()
    watching = Watch(looks, interval_s=10.0)
    for each in (frame(0), frame(1), frame(2, connection=1), frame(3, connection=1)):
        watching.see(each)
    assert looks.seen == [0, 2]
    assert looks.forgotten == 1


def test_a_frame_without_a_caption_is_told_once_and_the_next_one_looked_at():
    notices: list[str] = []
    looks = Looks(NumericalError("no number"))
    watching = Watch(looks, interval_s=0.0, notice=notices.append)
    assert list(watching.captions([frame(0), None, frame(1)])) == []
    assert looks.seen == [0, 1]
    assert notices == ["frame 0: no number"]


def test_watch_describes_each_scene_once(captioner: Captioner):
    frames = [RED] * 10 + [BLUE] * 10 + [RED] * 10
    events = list(captioner.watch(frames, interval=0.0))
    assert [event.frame for event in events] == [0, 10, 20]
    for event, picture in zip(events, (RED, BLUE, RED), strict=True):
        assert event.caption.text == captioner.caption(picture).text
        assert event.caption.log2_prob == pytest.approx(captioner.caption(picture).log2_prob)
    assert events[-1].skipped == 18


def test_watch_takes_a_rate_for_frames_of_the_caller(captioner: Captioner):
    frames = [RED] * 10 + [BLUE] * 20
    events = list(captioner.watch(frames, interval=0.5, fps=10.0))
    assert [(event.frame, event.time_s) for event in events] == [(0, 0.0), (10, 1.0)]


def test_watch_takes_frames_as_they_are_made(captioner: Captioner):
    made = []

    def endless():
        for number in range(10**9):
            made.append(number)
            yield RED if number % 2 else BLUE

    events = captioner.watch(endless(), interval=0.0)
    next(events)
    next(events)
    assert len(made) == 2
    events.close()


def test_watch_refuses_wishes_at_once(captioner: Captioner):
    with pytest.raises(OptionError, match="interval_s"):
        captioner.watch([RED], interval=-1.0)
    with pytest.raises(OptionError, match="every goes with a file"):
        captioner.watch([RED], every=2)
    with pytest.raises(OptionError, match="go with a file"):
        captioner.watch("rtsp://127.0.0.1/x", every=2)


def test_watch_says_which_frame_is_none(captioner: Captioner):
    events = captioner.watch([RED, np.zeros((3, 3))], interval=0.0)
    next(events)
    with pytest.raises(ImageInputError, match="frame 1"):
        next(events)


def test_watch_tells_what_happens_to_the_source_and_heeds_the_limits(captioner, monkeypatch):
    camera = Camera(FakeCapture([RED]), FakeCapture([RED]))
    monkeypatch.setattr("mrnn_edge.camera.source.opener", lambda *_: camera)
    policy = ReconnectPolicy(open_s=5.0, stall_s=5.0, budget_s=0.1, pauses_s=(0.001,))
    told: list[str] = []
    watching = captioner.watch("0", interval=0.0, reconnect=policy, on_notice=told.append)
    events, error = until_error(watching)
    assert isinstance(error, CameraLostError)
    assert len(events) == 2
    assert told == [
        "0: gives no more frames; trying again", "0: is back",
        "0: gives no more frames; trying again",
    ]  # fmt: skip


def test_watch_closes_a_source_that_it_cannot_describe(captioner, tmp_path, monkeypatch):
    capture = FakeCapture([RED])
    monkeypatch.setattr("mrnn_edge.camera.source.opener", lambda *_: lambda: capture)
    options = DecodeOptions(require=("zyzzyva",))
    with pytest.raises(OptionError, match="zyzzyva"):
        captioner.watch("clip.mp4", options=options)
    assert capture.released.is_set()


def scene(captioner: Captioner) -> Scene:
    return captioner.scene(WatchOptions(), source="cam")


def test_captions_come_back_every_time_a_source_was_lost(captioner: Captioner):
    policy = ReconnectPolicy(open_s=5.0, stall_s=5.0, budget_s=0.2, pauses_s=(0.001,))
    camera = Camera(*(FakeCapture([RED]) for _ in range(21)))
    source = LiveSource("cam", camera, policy=policy)
    events, error = until_error(watch(source, Watch(scene(captioner), interval_s=0.5)))
    assert isinstance(error, CameraLostError)
    assert len(events) == 21
    assert len({event.caption.text for event in events}) == 1


def test_a_source_is_closed_when_nobody_takes_any_more(captioner: Captioner):
    capture = FakeCapture([RED] * 100_000, interval_s=0.001)
    events = watch(LiveSource("cam", Camera(capture)), Watch(scene(captioner), interval_s=0.0))
    next(events)
    events.close()
    assert capture.released.wait(5)


def test_a_watch_beside_gives_captions_of_the_newest_frame_and_counts_the_others():
    started, go = threading.Event(), threading.Event()

    class Slow:
        def see(self, frame):
            started.set()
            go.wait(30)
            return frame

    beside = WatchBeside(Slow())
    beside.see(frame(0))
    assert started.wait(5)
    for number in range(1, 6):
        assert beside.see(frame(number)) is None
    go.set()
    seen = []
    while len(seen) < 2:
        event = beside.ready()
        if event is not None:
            seen.append((event.number, event.dropped))
        time.sleep(0.001)
    assert seen == [(0, 0), (5, 4)]
    beside.close()


def test_what_the_thread_beside_met_is_raised_by_the_loop():
    class Broken:
        def see(self, frame):
            raise RuntimeError("broken")

    beside = WatchBeside(Broken())

    def offer() -> None:
        for number in range(1000):
            beside.see(frame(number))
            time.sleep(0.005)

    with pytest.raises(RuntimeError, match="broken"):
        offer()
    beside.close()


def test_what_the_thread_beside_met_is_raised_while_no_frame_comes_and_after_the_last_caption():
    class Broken:
        def see(self, frame):
            if frame.number:
                raise RuntimeError("broken")
            return frame

    beside = WatchBeside(Broken())
    came = [beside.see(frame(0))]
    while came[-1] is None:
        time.sleep(0.001)
        came.append(beside.ready())
    beside._slot.put(frame(1))
    beside._thread.join(5)
    with pytest.raises(RuntimeError, match="broken"):
        beside.ready()
    beside.close()


def test_a_live_source_that_is_opened_again_and_again_leaves_no_thread_behind(captioner: Captioner):
    """Memory is the benchmark's business; threads are this one's."""
    before = threading.active_count()
    policy = ReconnectPolicy(open_s=5.0, stall_s=5.0, budget_s=0.2, pauses_s=(0.001,))
    camera = Camera(*(FakeCapture([RED, BLUE] * 5, interval_s=0.001) for _ in range(20)))
    beside = WatchBeside(Watch(scene(captioner), interval_s=0.0))
    threads = []

    def run():
        for each in LiveSource("cam", camera, policy=policy).frames(tick=0.01):
            threads.append(threading.active_count())
            yield None if each is None else beside.see(each)

    _, error = until_error(run())
    beside.close()
    assert isinstance(error, CameraLostError)
    assert max(threads) >= before + 2  # there were some to leave: this one's and the camera's
    assert camera.opened > 20
    assert threading.active_count() == before
