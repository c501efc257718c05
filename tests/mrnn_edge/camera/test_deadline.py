"""The beam that is ready in time."""

from mrnn_edge.camera.deadline import BeamClock


def test_before_anything_is_known_the_beam_is_one():
    assert BeamClock(3).widest_within(1000.0) == 1


def test_the_beam_widens_as_far_as_the_time_allows():
    clock = BeamClock(5)
    clock.took(1, 10.0)
    assert clock.widest_within(29.0) == 2
    assert clock.widest_within(30.0) == 3
    clock.took(3, 15.0)
    assert clock.widest_within(15.0) == 3
    assert clock.widest_within(25.0) == 5


def test_where_no_beam_is_ready_in_time_it_is_one():
    clock = BeamClock(5)
    clock.took(1, 10.0)
    assert clock.widest_within(1.0) == 1
    assert clock.widest_within(-5.0) == 1


def test_one_slow_search_narrows_the_beam_and_is_forgotten():
    clock = BeamClock(3)
    clock.took(3, 15.0)
    clock.took(3, 80.0)
    assert clock.widest_within(20.0) == 1
    for _ in range(60):
        clock.took(1, 5.0)
    assert clock.widest_within(20.0) == 3
