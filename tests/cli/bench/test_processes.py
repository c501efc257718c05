"""Whole processes: how often they are started, what is said of one that fails, their memory."""

import sys
from pathlib import Path

import pytest

from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.bench import processes

MB = 10**6
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads files of Linux")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module `started` of some code, which children find."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    def write(code):
        (tmp_path / "started.py").write_text(code)
        return "started"

    return write


def test_one_start_more_than_counts_is_made_with_the_arguments_that_were_given(module, tmp_path):
    name = module("import sys; open(sys.argv[1], 'a').write(f'{sys.argv[2]}\\n')")
    log = tmp_path / "log"
    assert processes.cold_start_ms([name, str(log), "x y"], times=3) > 0
    assert log.read_text() == "x y\n" * 4


def test_a_module_in_the_current_folder_is_not_run_in_place_of_an_installed_one(
    module, tmp_path, monkeypatch
):
    name = module("import typer, sys; open(sys.argv[1], 'w').write(typer.__file__)")
    hostile = tmp_path / "pictures"
    hostile.mkdir()
    monkeypatch.chdir(hostile)
    (hostile / "typer.py").write_text("open('run', 'w').close()")
    for measured in (lambda of: processes.cold_start_ms(of, times=1), processes.peak_mb):
        measured([name, str(tmp_path / "log")])
        assert Path((tmp_path / "log").read_text()).parent.name == "typer"
    assert not (hostile / "run").exists()


def test_the_median_is_of_the_starts_that_count(monkeypatch):
    clock = iter([0.0, 0.5, 10.0, 10.1, 20.0, 20.3])
    monkeypatch.setattr(processes, "_run", lambda module: "")
    monkeypatch.setattr(processes.time, "perf_counter", lambda: next(clock))
    assert processes.cold_start_ms(["anything"], times=3) == pytest.approx(300.0)


def test_a_process_that_fails_is_told_with_its_last_words(module):
    name = module("import sys; print('first'); sys.exit('the disk is full')")
    for measured in (
        lambda: processes.cold_start_ms([name], times=1),
        lambda: processes.peak_mb([name]),
    ):
        with pytest.raises(MrnnEdgeError, match=r"ended with 1 .*the disk is full"):
            measured()


@linux
def test_the_memory_is_the_child_s_highest_and_not_its_parent_s(module):
    mine = bytearray(400 * MB)
    mine[:: 1 << 12] = b"x" * len(mine[:: 1 << 12])  # every page is really there
    name = module(f"import sys; data = b'x' * {150 * MB}; del data; print(sys.argv)")
    assert 150 < processes.peak_mb([name, "a"]) < 300


def test_what_the_child_says_on_standard_error_is_not_taken_for_the_number(module, monkeypatch):
    name = module("import sys; sys.stderr.write('12345')")
    assert processes.peak_mb([name]) > 1.0


def test_without_the_module_resource_the_memory_is_unknown(module, monkeypatch):
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    assert processes.peak_mb([module("")]) is None


@linux
def test_a_process_that_leaves_at_once_tells_its_memory_too(module):
    name = module("import os; block = b'x' * 60_000_000; os._exit(0)")
    assert processes.peak_mb([name]) > 60
