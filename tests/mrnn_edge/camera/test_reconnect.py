"""The pauses between tries, and limits that make sense."""

import pytest

from mrnn_edge.camera.reconnect import Reconnect, ReconnectPolicy
from mrnn_edge.errors import OptionError


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
