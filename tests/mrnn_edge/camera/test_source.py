"""What an http address holds is known once it is open, and opening waits for nobody too long."""

import threading
import time

import pytest
from fake_capture import Camera, FakeCapture, colour, until_error

from mrnn_edge.camera import source as room
from mrnn_edge.camera.frames import ReconnectPolicy, Selection
from mrnn_edge.camera.source import OpenedAhead, open_source
from mrnn_edge.errors import CameraLostError, CameraUnavailableError, OptionError

PICTURE = colour(10, 20, 30)
QUICK = ReconnectPolicy(open_s=0.5, stall_s=0.2, budget_s=0.2, pauses_s=(0.01,))


@pytest.fixture
def opening(monkeypatch):
    """Lets a fake stand behind every address."""

    def by(camera) -> None:
        monkeypatch.setattr(room, "opener", lambda *_: camera)

    return by


def test_a_video_at_an_http_address_ends_and_is_opened_once(opening):
    camera = Camera(FakeCapture([PICTURE] * 6, length=6), FakeCapture([PICTURE] * 6, length=6))
    opening(camera)
    source = open_source("http://host/clip.mp4", selection=Selection(every=2), policy=QUICK)
    assert not source.live
    assert [frame.number for frame in source.frames(tick=0.01)] == [0, 2, 4]
    assert camera.opened == 1


def test_a_stream_at_an_http_address_is_live_and_keeps_its_first_connection(opening):
    camera = Camera(FakeCapture([PICTURE] * 3))
    opening(camera)
    source = open_source("http://host/live.mjpg", policy=QUICK)
    assert source.live
    assert camera.opened == 1
    came, error = until_error(source.frames(tick=0.01))
    assert isinstance(error, CameraLostError)
    assert next(frame.connection for frame in came if frame is not None) == 0
    assert camera.opened > 1


def test_a_stream_that_is_closed_before_its_first_frame_is_let_go(opening):
    capture = FakeCapture([PICTURE])
    opening(Camera(capture))
    source = open_source("http://host/live.mjpg", policy=QUICK)
    assert not capture.released.is_set()
    source.close()
    assert capture.released.is_set()


def test_what_was_opened_ahead_is_closed_or_given_away_and_never_both():
    for _ in range(200):
        capture, taken = FakeCapture([PICTURE]), []
        ahead = OpenedAhead(Camera(capture, "gone"), name="cam", limit_s=5.0)
        taker = threading.Thread(target=lambda a=ahead, t=taken: t.append(attempt(a)))
        taker.start()
        ahead.release()
        taker.join()
        assert capture.released.is_set() != (taken == [capture])


def attempt(ahead: OpenedAhead):
    try:
        return ahead()
    except CameraUnavailableError:
        return None


def test_an_http_address_that_does_not_open_is_told_with_the_first_frame(opening):
    opening(Camera("host: nobody there"))
    source = open_source("http://host/x", policy=QUICK)
    with pytest.raises(CameraUnavailableError, match="nobody there"):
        list(source.frames(tick=0.01))
    opening(Camera("host: nobody there"))
    with pytest.raises(CameraUnavailableError, match="nobody there"):
        open_source("http://host/x", selection=Selection(every=2), policy=QUICK)


def test_a_selection_of_what_turns_out_to_be_live_is_refused_and_the_stream_let_go(opening):
    capture = FakeCapture([PICTURE])
    opening(Camera(capture))
    with pytest.raises(OptionError, match="live, the newest counts"):
        open_source("http://host/live", selection=Selection(fps=2.0), policy=QUICK)
    assert capture.released.is_set()


def test_other_streams_are_not_opened_before_their_first_frame(opening):
    camera = Camera(FakeCapture([PICTURE], length=1))
    opening(camera)
    assert open_source("rtsp://host/live", policy=QUICK).live
    assert camera.opened == 0


def test_an_open_that_hangs_is_left_behind_and_closed_when_it_comes_at_last():
    go, capture = threading.Event(), FakeCapture([PICTURE])

    def late() -> FakeCapture:
        go.wait(30)
        return capture

    begun = time.monotonic()
    ahead = OpenedAhead(late, name="cam", limit_s=0.2)
    assert 0.2 <= time.monotonic() - begun < 5.0
    assert ahead.length() is None
    with pytest.raises(CameraUnavailableError, match=r"cam: does not open within 0\.2 s; check"):
        ahead()
    go.set()
    assert capture.released.wait(5)
