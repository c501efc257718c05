import time

import pytest

from mrnn_edge.timing import StageTimer


def test_a_stage_that_runs_twice_is_added_up_and_shared_among_the_pictures(monkeypatch):
    clock = iter([0.0, 0.010, 1.0, 1.030, 2.0, 2.020])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer = StageTimer()
    for stage in ("decode", "encode", "decode"):
        with timer(stage):
            pass
    assert timer.milliseconds(pictures=2) == pytest.approx(
        {"decode": 15.0, "encode": 15.0, "total": 30.0}
    )


def test_a_stage_that_fails_is_timed_too(monkeypatch):
    clock = iter([0.0, 0.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer = StageTimer()
    with pytest.raises(RuntimeError), timer("decode"):
        raise RuntimeError
    assert timer.milliseconds() == pytest.approx({"decode": 500.0, "total": 500.0})
