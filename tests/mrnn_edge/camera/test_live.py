"""A live source: newest frame, watchdog, reconnection, budget. All with fakes, in milliseconds."""

import threading
import time
from datetime import UTC, datetime

import fake_capture
import pytest
from fake_capture import Camera, FakeCapture, colour, until_error

from mrnn_edge.camera.frames import Frame, ReconnectPolicy
from mrnn_edge.camera.live import LiveSource, Reconnect, Slot
from mrnn_edge.errors import CameraLostError, CameraUnavailableError, OptionError

QUICK = ReconnectPolicy(open_s=0.5, stall_s=0.2, budget_s=0.6, pauses_s=(0.01, 0.02))
PICTURE = colour(10, 20, 30)


def source(camera: Camera, notices: list[str] | None = None, policy=QUICK) -> LiveSource:
    heard = notices if notices is not None else []
    return LiveSource("cam", camera, policy=policy, notice=heard.append)


def take(frames, count):
    """The next `count` frames, without the ticks between them."""
    taken = []
    for frame in frames:
        if frame is not None:
            taken.append(frame)
        if len(taken) == count:
            return taken
    raise AssertionError("the source ended")


def test_a_slow_taker_gets_the_newest_frame_and_the_count_of_those_it_missed():
    camera = Camera(FakeCapture([PICTURE] * 1000, interval_s=0.005))
    frames = source(camera).frames(tick=0.05)
    (first,) = take(frames, 1)
    time.sleep(0.2)
    (second,) = take(frames, 1)
    assert second.number > first.number + 5
    assert second.dropped == second.number - 1
    assert time.monotonic() - second.captured < 0.1
    frames.close()


def test_a_camera_that_is_unplugged_and_comes_back_goes_on():
    notices = []
    camera = Camera(
        FakeCapture([PICTURE] * 3), "cam: gone", "cam: gone", FakeCapture([PICTURE] * 3)
    )
    came, error = until_error(source(camera, notices).frames(tick=0.01))
    assert isinstance(error, CameraLostError)
    taken = [frame for frame in came if frame is not None]
    assert {frame.connection for frame in taken} == {0, 3}
    # Numbers go on over the gap, none is given twice.
    assert taken[-1].number == 5
    assert taken[-1].number + 1 == len(taken) + taken[-1].dropped
    assert notices[0] == "cam: gives no more frames; trying again"
    assert notices[1] == "cam: is back"


def test_times_and_dropped_frames_count_from_the_first_connection_on():
    busy = FakeCapture([PICTURE] * 9, interval_s=0.001)
    camera = Camera(busy, FakeCapture([PICTURE]), FakeCapture([PICTURE]))
    frames = source(camera).frames(tick=0.01)
    (first,) = take(frames, 1)
    assert busy.released.wait(5)
    later = take(frames, 3)
    frames.close()
    assert [frame.connection for frame in later] == [0, 1, 2]
    assert [frame.dropped for frame in later] == [7, 7, 7], "of nine the first and the last came"
    assert later[2].time_s - first.time_s == pytest.approx(later[2].captured - first.captured)


def test_a_read_that_blocks_is_abandoned_and_the_source_opened_anew():
    stuck = threading.Event()
    camera = Camera(FakeCapture([PICTURE], blocks=stuck), FakeCapture([PICTURE], blocks=stuck))
    notices = []
    frames = source(camera, notices).frames(tick=0.01)
    first, second = take(frames, 2)
    assert (first.connection, second.connection) == (0, 1)
    assert notices[0] == "cam: no frame for 0.2 s; trying again"
    stuck.set()
    frames.close()
    assert all(each.released.wait(5) for each in camera.connections)


def test_a_thread_that_wakes_up_late_disturbs_nobody():
    class Sleeper(FakeCapture):
        def grab(self):
            if self._at == 0:
                woken.wait(30)
            return super().grab()

    woken = threading.Event()
    late = Sleeper([colour(1, 1, 1)] * 5)
    camera = Camera(late, FakeCapture([colour(2, 2, 2)] * 1000, interval_s=0.005))
    frames = source(camera).frames(tick=0.01)
    take(frames, 2)
    woken.set()
    assert late.released.wait(5)
    assert all(frame.pixels[0, 0, 0] == 2 for frame in take(frames, 20))
    frames.close()


def test_a_source_that_stays_away_is_given_up_when_the_budget_is_spent():
    camera = Camera(FakeCapture([PICTURE]))
    start = time.monotonic()
    with pytest.raises(CameraLostError, match="nothing there any more; no frame for") as raised:
        list(source(camera).frames(tick=0.01))
    assert time.monotonic() - start >= QUICK.budget_s
    assert "check power, cable and network" in str(raised.value)
    assert camera.opened > 3


def test_a_frame_resets_the_budget():
    policy = ReconnectPolicy(open_s=0.5, stall_s=0.2, budget_s=0.3, pauses_s=(0.1,))
    camera = Camera(*(FakeCapture([PICTURE]) for _ in range(8)))
    start = time.monotonic()
    frames = source(camera, policy=policy).frames(tick=0.01)
    assert len(take(frames, 8)) == 8
    assert time.monotonic() - start > policy.budget_s


def test_a_connection_that_held_resets_the_pauses():
    policy = ReconnectPolicy(open_s=0.5, stall_s=0.5, budget_s=1.0, pauses_s=(0.01, 30.0))
    camera = Camera(*(FakeCapture([PICTURE] * 5, interval_s=0.01) for _ in range(5)))
    frames = source(camera, policy=policy).frames(tick=0.01)
    # A second pause in a row would be one of 30 seconds.
    start, seen = time.monotonic(), set()
    for frame in frames:
        if frame is not None:
            seen.add(frame.connection)
        if 4 in seen or time.monotonic() - start > 20.0:
            break
    frames.close()
    assert seen == set(range(5))


def test_a_camera_that_dies_with_its_first_frame_again_and_again_is_not_hammered():
    policy = ReconnectPolicy(open_s=0.5, stall_s=0.5, budget_s=1.0, pauses_s=(0.001, 0.2))
    camera = Camera(*(FakeCapture([PICTURE]) for _ in range(100)))
    frames = source(camera, policy=policy).frames(tick=0.01)
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        next(frames)
    frames.close()
    assert 3 <= camera.opened <= 6


def test_a_capture_that_keeps_the_limit_itself_is_closed_by_its_own_thread():
    class Patient(FakeCapture):
        def grab(self):
            if self._at >= 0:
                time.sleep(QUICK.stall_s)
                return False
            return super().grab()

    notices: list[str] = []
    first, second = Patient([PICTURE]), FakeCapture([PICTURE], blocks=threading.Event())
    opened_after_release: list[bool] = []

    def open_capture():
        opened_after_release.append(first.released.is_set())
        return first if len(opened_after_release) == 1 else second

    live = LiveSource("cam", open_capture, policy=QUICK, margin_s=5.0, notice=notices.append)
    frames = live.frames(tick=0.01)
    take(frames, 2)
    frames.close()
    assert opened_after_release == [False, True]
    assert notices[0] == "cam: no frame for 0.2 s; trying again"


def test_a_capture_that_does_not_keep_the_limit_is_abandoned_a_margin_later():
    camera = Camera(FakeCapture([], blocks=threading.Event()))
    live = LiveSource("cam", camera, policy=QUICK, margin_s=0.3)
    begun = time.monotonic()
    with pytest.raises(CameraUnavailableError, match=r"no frame for 0\.5 s"):
        list(live.frames(tick=0.01))
    assert time.monotonic() - begun >= 0.8


def test_frames_dropped_on_a_lost_connection_stay_counted():
    camera = Camera(
        FakeCapture([PICTURE] * 20, interval_s=0.002), FakeCapture([PICTURE] * 2, interval_s=0.2)
    )
    frames = source(camera).frames(tick=0.01)
    take(frames, 1)
    time.sleep(0.3)  # the other nineteen pass by, the last one stays
    last, new = take(frames, 2)
    assert (last.number, last.dropped, last.connection) == (19, 18, 0)
    assert (new.number, new.dropped, new.connection) == (20, 18, 1)
    frames.close()


def test_a_first_open_that_fails_ends_at_once_with_its_reason():
    camera = Camera("cam: no permission", FakeCapture([PICTURE]))
    with pytest.raises(CameraUnavailableError, match="cam: no permission"):
        list(source(camera).frames(tick=0.01))
    assert camera.opened == 1


def test_a_source_that_opens_and_never_sends_ends_when_the_time_to_open_is_over():
    camera = Camera(FakeCapture([], blocks=threading.Event()))
    with pytest.raises(CameraUnavailableError, match=r"no frame for 0\.5 s; check that it is on"):
        list(source(camera).frames(tick=0.01))


def test_an_open_that_blocks_ends_when_the_time_to_open_is_over():
    def never() -> FakeCapture:
        threading.Event().wait(30)
        raise AssertionError

    with pytest.raises(CameraUnavailableError, match=r"no frame for 0\.5 s"):
        list(LiveSource("cam", never, policy=QUICK).frames(tick=0.01))


def test_what_a_driver_raises_is_a_try_that_failed():
    class Broken(FakeCapture):
        def retrieve(self):
            raise RuntimeError("driver")

    camera = Camera(Broken([PICTURE]))
    with pytest.raises(CameraUnavailableError, match="gives no frames"):
        list(source(camera).frames(tick=0.01))


def test_frames_that_are_no_pictures_are_passed_by_and_counted():
    camera = Camera(FakeCapture([None, None, PICTURE], blocks=threading.Event()))
    (frame,) = take(source(camera).frames(tick=0.01), 1)
    assert frame.number == 2


def test_closing_lets_the_device_go_and_ends_the_thread():
    capture = FakeCapture([PICTURE] * 10_000, interval_s=0.001)
    before = threading.active_count()
    frames = source(Camera(capture)).frames(tick=0.01)
    take(frames, 1)
    frames.close()
    assert capture.released.wait(5)
    assert threading.active_count() <= before


def test_a_live_frame_has_the_date_of_its_capture():
    before = datetime.now(UTC)
    frames = source(Camera(FakeCapture([PICTURE] * 1000, interval_s=0.01))).frames(tick=0.05)
    first, second = take(frames, 2)
    frames.close()
    assert first.at is not None
    assert second.at is not None
    assert before <= first.at < second.at <= datetime.now(UTC)
    between = (second.at - first.at).total_seconds()
    assert between == pytest.approx(second.captured - first.captured, abs=0.005)


def test_a_live_source_tells_while_it_is_lost():
    camera = Camera(FakeCapture([PICTURE]), FakeCapture([PICTURE], blocks=threading.Event()))
    live = source(camera)
    frames = live.frames(tick=0.001)
    seen = []
    for frame in frames:
        seen.append((frame is not None, live.lost))
        if frame is not None and frame.connection == 1:
            break
    assert (False, True) in seen
    assert seen[-1] == (True, False)
    frames.close()


def test_a_loss_that_is_seen_late_leaves_time_for_tries():
    back = FakeCapture([PICTURE], blocks=threading.Event())
    camera = Camera(FakeCapture([PICTURE]), "cam: gone", "cam: gone", back)
    frames = source(camera).frames(tick=0.01)
    take(frames, 1)
    time.sleep(QUICK.budget_s + 0.2)  # the taker pauses
    (frame,) = take(frames, 1)
    assert frame.connection == 3
    frames.close()


def test_a_budget_below_the_stall_leaves_one_try():
    policy = ReconnectPolicy(open_s=0.5, stall_s=0.2, budget_s=0.05, pauses_s=(0.1,))
    stuck = threading.Event()
    camera = Camera(FakeCapture([PICTURE], blocks=stuck), FakeCapture([PICTURE], blocks=stuck))
    frames = source(camera, policy=policy).frames(tick=0.01)
    assert [frame.connection for frame in take(frames, 2)] == [0, 1]
    frames.close()


def test_closing_waits_once_for_a_thread_that_hangs(monkeypatch):
    joins = []
    live = source(Camera(FakeCapture([PICTURE], blocks=threading.Event())))
    frames = live.frames(tick=0.01)
    take(frames, 1)
    monkeypatch.setattr(threading.Thread, "join", lambda self, timeout=None: joins.append(self))
    frames.close()
    live.close()
    live.close()
    assert len(joins) == 1


def frame(number: int, *, dropped: int = 0) -> Frame:
    return Frame(
        number=number,
        time_s=float(number),
        captured=0.0,
        pixels=fake_capture.colour(0, 0, 0),
        dropped=dropped,
    )


def test_the_newest_frame_wins_and_the_others_are_counted():
    slot = Slot()
    for number in range(5):
        slot.put(frame(number))
    taken = slot.take(0.0)
    assert taken is not None
    assert (taken.number, taken.dropped) == (4, 4)
    assert slot.take(0.0) is None


def test_frames_dropped_before_and_here_add_up():
    slot = Slot()
    slot.put(frame(10, dropped=7))
    slot.put(frame(12, dropped=8))
    taken = slot.take(0.0)
    assert taken is not None
    assert taken.dropped == 9


def test_who_waits_gets_the_frame_that_comes():
    slot = Slot()
    threading.Timer(0.05, lambda: slot.put(frame(3))).start()
    taken = slot.take(30.0)
    assert taken is not None
    assert taken.number == 3


def test_closing_wakes_who_waits_and_keeps_the_last_frame():
    slot, taken, waits = Slot(), [], threading.Event()

    def wait() -> None:
        waits.set()
        taken.append(slot.take(60.0))

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert waits.wait(10)
    time.sleep(0.1)  # it sleeps in `take` by now
    slot.close()
    waiter.join(10)
    assert taken == [None]
    slot.put(frame(1))
    assert slot.take(30.0) is not None
    assert slot.closed


def test_pauses_grow_to_ten_seconds_while_no_frame_comes():
    reconnect = Reconnect(ReconnectPolicy())
    pauses = [reconnect.next_pause(ran_s=ran) for ran in (30.0, *[None] * 7)]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10, 10]


def test_pauses_grow_for_a_camera_that_dies_with_its_first_frame_again_and_again():
    reconnect = Reconnect(ReconnectPolicy())
    pauses = [reconnect.next_pause(ran_s=0.0) for _ in range(8)]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10, 10]


def test_a_connection_that_held_as_long_as_the_pause_before_it_starts_them_anew():
    reconnect = Reconnect(ReconnectPolicy())
    ran = (0.0, None, 1.5, 0.4, 1.0, 0.4, 0.6)
    assert [reconnect.next_pause(ran_s=each) for each in ran] == [0.5, 1, 0.5, 1, 0.5, 1, 2]


@pytest.mark.parametrize("name", ["open_s", "stall_s", "budget_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_limits_are_positive_seconds(name, value):
    with pytest.raises(OptionError, match=name):
        ReconnectPolicy(**{name: value})


def test_one_pause_at_least():
    with pytest.raises(OptionError, match="pauses_s"):
        ReconnectPolicy(pauses_s=())
