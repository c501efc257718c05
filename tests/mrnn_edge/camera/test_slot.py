"""One place, newest frame."""

import threading
import time

import fake_capture

from mrnn_edge.camera.frames import Frame
from mrnn_edge.camera.slot import Slot


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
