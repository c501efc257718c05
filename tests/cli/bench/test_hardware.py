"""The machine in words, and the cores that a run is kept to."""

import os
from dataclasses import asdict

import pytest

from mrnn_edge_cli.bench.hardware import Machine, pinned

pinning = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot keep to cores")


def test_the_machine_is_told_by_what_times_depend_on(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text("model name: A CPU\nflags: fpu avx2 avx512_vnni\n")
    (tmp_path / "proc/device-tree/model").write_text("Board 5\0")
    document = asdict(Machine.here(tmp_path))
    assert document["cpu"] == "A CPU"
    assert document["features"] == ("AVX2", "AVX-512 VNNI")
    assert document["board"] == "Board 5"
    assert document["cores"] == len(os.sched_getaffinity(0))


def test_a_machine_that_tells_nothing_is_still_one(tmp_path):
    found = Machine.here(tmp_path)
    assert (found.features, found.board) == (None, "")
    assert found.cpu


@pinning
def test_one_thread_is_pinned_one_core_and_let_go_afterwards():
    before = os.sched_getaffinity(0)
    with pinned(1) as cores:
        assert os.sched_getaffinity(0) == set(cores) == {min(before)}
    assert os.sched_getaffinity(0) == before
    with pytest.raises(KeyboardInterrupt), pinned(1):
        raise KeyboardInterrupt
    assert os.sched_getaffinity(0) == before


@pinning
@pytest.mark.parametrize("threads", [None, 100_000])
def test_as_many_threads_as_cores_or_more_have_all_of_them(threads):
    with pinned(threads) as cores:
        assert cores == tuple(sorted(os.sched_getaffinity(0)))
