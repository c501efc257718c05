"""Percentiles of times that were made up."""

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge_cli.bench.record import Percentiles


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
    assert asdict(Percentiles.of(range(1, 101))) == pytest.approx(
        {"p50": 50.5, "p95": 95.05, "p99": 99.01}
    )
