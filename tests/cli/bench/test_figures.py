"""Percentiles, and the end of a warm-up, on times that were made up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge_cli.bench.figures import Percentiles, warm_up


def between_neighbours(samples: list[float], percent: int) -> float:
    """The percentile by its definition: the place in the sorted list, a share of two neighbours."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200))
def test_percentiles_lie_where_their_definition_says(samples):
    found = Percentiles.of(samples)
    for percent, value in ((50, found.p50), (95, found.p95), (99, found.p99)):
        assert value == pytest.approx(between_neighbours(samples, percent))


def test_percentiles_of_a_hundred_numbers_by_hand():
    assert Percentiles.of(range(1, 101)).to_dict() == pytest.approx(
        {"p50": 50.5, "p95": 95.05, "p99": 99.01}
    )


def test_a_steady_speed_is_found_after_two_windows():
    assert warm_up(lambda: 7.0, most=200) == 20


def test_a_speed_that_settles_late_is_waited_for():
    times = iter([2.0 ** (30 - step) * 3.0 for step in range(30)] + [3.0] * 100)
    # Of the ten before the last ten, six must be steady, for the median to be.
    assert warm_up(lambda: next(times), most=200) == 30 + 6 + 10


def test_a_speed_that_never_settles_is_left_at_the_limit():
    times = iter(1.1**step for step in range(200))
    assert warm_up(lambda: next(times), most=57) == 57
