"""What a source's name opens: an http address is a video by its suffix, else live."""

import pytest
from fake_capture import Camera, FakeCapture, colour, until_error

from mrnn_edge.camera import source as room
from mrnn_edge.camera.frames import ReconnectPolicy, Selection
from mrnn_edge.camera.source import open_source
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


def test_a_stream_at_an_http_address_is_live(opening):
    camera = Camera(FakeCapture([PICTURE] * 3))
    opening(camera)
    source = open_source("http://host/live.mjpg", policy=QUICK)
    assert source.live
    assert camera.opened == 0
    came, error = until_error(source.frames(tick=0.01))
    assert isinstance(error, CameraLostError)
    assert next(frame.connection for frame in came if frame is not None) == 0
    assert camera.opened > 1


def test_other_streams_are_not_opened_before_their_first_frame(opening):
    camera = Camera(FakeCapture([PICTURE], length=1))
    opening(camera)
    assert open_source("rtsp://host/live", policy=QUICK).live
    assert camera.opened == 0


def test_an_http_video_that_does_not_open_is_told_at_once(opening):
    opening(Camera("host: nobody there"))
    with pytest.raises(CameraUnavailableError, match="nobody there"):
        open_source("http://host/x.mp4", policy=QUICK)


def test_a_selection_of_a_live_source_is_refused(opening):
    opening(Camera(FakeCapture([PICTURE])))
    with pytest.raises(OptionError, match="live, the newest counts"):
        open_source("http://host/live", selection=Selection(fps=2.0), policy=QUICK)
