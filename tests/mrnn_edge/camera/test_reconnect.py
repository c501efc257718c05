"""The pauses between tries, and limits that make sense."""

import pytest

from mrnn_edge.camera.reconnect import Reconnect, ReconnectPolicy
from mrnn_edge.errors import OptionError


def test_pauses_grow_to_ten_seconds_and_a_frame_starts_them_anew():
    reconnect = Reconnect(ReconnectPolicy())
    assert [reconnect.next_pause() for _ in range(8)] == [0.5, 1, 2, 4, 8, 10, 10, 10]
    reconnect.frame_came()
    assert reconnect.next_pause() == 0.5


def test_a_first_open_that_hangs_ends_within_thirty_seconds():
    assert ReconnectPolicy().open_s < 30.0
    assert ReconnectPolicy().budget_s == 60.0


@pytest.mark.parametrize("name", ["open_s", "stall_s", "budget_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_limits_are_positive_seconds(name, value):
    with pytest.raises(OptionError, match=name):
        ReconnectPolicy(**{name: value})


def test_one_pause_at_least():
    with pytest.raises(OptionError, match="pauses_s"):
        ReconnectPolicy(pauses_s=())
