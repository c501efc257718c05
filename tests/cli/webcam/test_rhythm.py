"""The pace of a file in a window, and the figure of frames a second."""

import pytest

from mrnn_edge_cli.webcam.view import Rhythm


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rhythm(clock):
    return Rhythm(clock)


def test_frames_a_second_are_counted_over_the_last_thirty(rhythm, clock):
    assert rhythm.fps == 0.0
    for step in [1.0] * 10 + [0.05] * 40:
        clock.now += step
        rhythm.beat()
    assert rhythm.fps == pytest.approx(20.0)


def test_a_frame_is_due_as_long_after_the_first_as_the_file_says(rhythm, clock):
    assert rhythm.until(3.0) == 0.0
    clock.now += 0.1
    assert rhythm.until(3.5) == pytest.approx(0.4)
    clock.now += 0.5
    assert rhythm.until(3.5) == 0.0


def test_a_little_delay_is_caught_up(rhythm, clock):
    rhythm.until(0.0)
    clock.now += 0.4
    assert rhythm.until(0.2) == 0.0
    assert rhythm.until(0.5) == pytest.approx(0.1)


def test_a_long_delay_is_not(rhythm, clock):
    rhythm.until(0.0)
    clock.now += 3.0
    assert rhythm.until(1.0) == 0.0
    assert rhythm.until(1.5) == pytest.approx(0.5)


def test_a_pause_moves_the_rest_of_the_file(rhythm, clock):
    rhythm.until(0.0)
    clock.now += 60.0
    rhythm.paused(60.0)
    assert rhythm.until(0.5) == pytest.approx(0.5)
    assert rhythm.fps == 0.0
