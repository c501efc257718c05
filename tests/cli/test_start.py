"""What a start does without: a collector that finds nothing, threads of a BLAS nobody calls."""

import gc
import os
import subprocess
import sys

import pytest

from mrnn_edge_cli.start import collector_at_rest, one_blas_thread

THREADS = "OPENBLAS_NUM_THREADS"


@pytest.fixture
def collector():
    """As Python starts it, and again afterwards."""
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


def test_no_cycle_is_looked_for_until_the_start_is_over(collector):
    with collector_at_rest():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_the_start_made_is_not_looked_through_later(collector):
    with collector_at_rest():
        kept = [[] for _ in range(5000)]
    assert gc.get_freeze_count() >= len(kept)
    assert gc.get_count()[0] < len(kept)


def test_a_start_that_fails_leaves_the_collector_on(collector):
    with pytest.raises(ZeroDivisionError), collector_at_rest():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(collector):
    gc.disable()
    with collector_at_rest():
        pass
    assert not gc.isenabled()


def test_one_thread_is_asked_for_while_numpy_is_imported_and_no_longer(monkeypatch):
    monkeypatch.delenv(THREADS, raising=False)
    with one_blas_thread():
        assert os.environ[THREADS] == "1"
    assert THREADS not in os.environ


def test_what_the_user_said_of_threads_holds(monkeypatch):
    monkeypatch.setenv(THREADS, "7")
    with one_blas_thread():
        assert os.environ[THREADS] == "7"
    assert os.environ[THREADS] == "7"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the system lists no threads")
def test_numpy_makes_no_threads_at_the_start():
    code = """
import os
from mrnn_edge_cli.start import one_blas_thread
with one_blas_thread():
    import numpy
print(len(os.listdir("/proc/self/task")))
"""
    # As a user's shell has it. On one core there is no other thread in any case.
    unset = (THREADS, "OMP_NUM_THREADS", "GOTO_NUM_THREADS")
    without = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=without,
    )
    assert done.stdout.strip() == "1"
