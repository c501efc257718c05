"""Times of a file's frames, out of containers that are sound and that are not."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.camera.times import FrameTimes

YEAR = 365.0 * 86_400.0


def times(positions, *, rate: float = 10.0) -> list[float]:
    clock = FrameTimes(rate)
    return [clock.next(position) for position in positions]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([0.0, 0.1, 0.25, 0.3], [0.0, 0.1, 0.25, 0.3]),
        ([None, None, None], [0.0, 0.1, 0.2]),
        ([0.0, 0.0, 0.0], [0.0, 0.1, 0.2]),
        # A gap of some seconds is one, and so is one of an hour once the next frame has proved it.
        ([0.0, 0.1, 8.0, 8.1], [0.0, 0.1, 8.0, 8.1]),
        ([0.0, 0.1, 3600.0, 3600.1], [0.0, 0.1, 0.2, 3600.1]),
        # Slides, each for twelve seconds, in a file that says ten frames a second.
        ([0.0, 12.0, 24.0, 36.0, 48.0], [0.0, 0.1, 24.0, 36.0, 48.0]),
        ([0.0, 12.0, 30.0, 30.1, 60.0, 61.0], [0.0, 0.1, 30.0, 30.1, 30.2, 61.0]),
        # Two jumps of which the second goes back prove nothing.
        ([0.0, 0.1, YEAR, 3600.0, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([0.0, 0.1, YEAR, None, 2 * YEAR, 0.5], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        # One position far off, ahead or behind, is none.
        ([0.0, 0.1, YEAR, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([YEAR, 0.1, 0.2], [0.0, 0.1, 0.2]),
        ([0.0, 0.5, 0.2, 0.9], [0.0, 0.5, 0.6, 0.9]),
        # Two recordings that were joined.
        ([0.0, 0.2, 0.4, 0.0, 0.2, 0.4], [0.0, 0.2, 0.4, 0.5, 0.7, 0.9]),
    ],
)
def test_times_by_hand(positions, expected):
    assert times(positions) == pytest.approx(expected)


def test_the_frames_of_a_slide_show_are_far_apart():
    assert times([0.0, 40.0, 80.0], rate=1.0 / 40.0) == [0.0, 40.0, 80.0]


@given(st.lists(st.none() | st.integers(0, int(2000 * YEAR)), min_size=2))
def test_times_go_forward_whatever_the_container_says(milliseconds):
    found = times([None if each is None else each / 1000.0 for each in milliseconds])
    assert all(before < after for before, after in itertools.pairwise(found))
