"""Where the graphs run: the choice among measured times."""

import pytest

from mrnn_edge.placement import CANDIDATES, Measured


def times(cpu, cuda, mixed):
    return Measured(dict(zip(CANDIDATES, (cpu, cuda, mixed), strict=True)))


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        (times(11, 16, 12), "cpu"),
        (times(11, 2, 3), "cuda:0"),
        (times(11, 7, 3), "cuda:0+cpu"),
        (times(11, 11, 11), "cpu"),  # no reason to leave it
    ],
)
def test_the_shortest_caption_decides(measured, best):
    assert str(measured.best()) == best


def test_a_measurement_is_said_in_milliseconds_of_each_placement():
    assert str(times(11, 7, 3)) == "cpu 11.0 ms, cuda:0 7.0 ms, cuda:0+cpu 3.0 ms"
