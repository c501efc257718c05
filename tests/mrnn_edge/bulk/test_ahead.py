"""Results in order, a bounded number ahead, and errors where their results would come."""

import threading

import pytest

from mrnn_edge.bulk.ahead import map_ahead


def test_results_come_in_order_whoever_is_done_first():
    last_began = threading.Event()

    def wait_for_the_last(item):
        if item == 3:
            last_began.set()
        elif item == 0:
            assert last_began.wait(30)
        return item * 10

    found = list(map_ahead(wait_for_the_last, range(4), threads=4, ahead=4, name="t"))
    assert found == [0, 10, 20, 30]


def test_no_more_than_the_bound_is_drawn_before_a_result_is_taken():
    drawn = []

    def items():
        for item in range(100):
            drawn.append(item)
            yield item

    results = map_ahead(str, items(), threads=2, ahead=5, name="t")
    assert drawn == []
    for taken in range(1, 20):
        next(results)
        assert len(drawn) <= taken + 4
    results.close()


def test_an_error_comes_in_its_place_and_nothing_begins_after_it():
    begun = []

    def fail_at_two(item):
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    results = map_ahead(fail_at_two, range(1000), threads=1, ahead=3, name="t")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert len(begun) < 10


def test_closing_finishes_what_was_begun_and_leaves_no_thread():
    results = map_ahead(str, range(1000), threads=3, ahead=9, name="closing")
    next(results)
    results.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("closing")]


def test_closing_begins_nothing_that_waits():
    begun = []
    release = threading.Event()

    def wait(item):
        begun.append(item)
        if item > 0:
            assert release.wait(30)

    results = map_ahead(wait, range(1000), threads=1, ahead=50, name="t")
    next(results)  # 49 wait behind the one that is at work
    threading.Timer(0.2, release.set).start()
    results.close()
    assert len(begun) <= 2


def test_nothing_to_do_gives_nothing():
    assert list(map_ahead(str, [], threads=1, ahead=1, name="t")) == []
