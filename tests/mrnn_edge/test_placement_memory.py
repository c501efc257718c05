"""What `auto` remembers: by what it hangs on, and however the file looks."""

import time
from pathlib import Path

import pytest

from mrnn_edge.config import GraphFile
from mrnn_edge.doctor import machine
from mrnn_edge.placement import CANDIDATES, Measured
from mrnn_edge.placement_memory import (
    BELIEVED_S,
    Failed,
    key_of,
    memory_file,
    remember,
    remembered,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def times(cpu, cuda, mixed):
    return Measured(dict(zip(CANDIDATES, (cpu, cuda, mixed), strict=True)))


def test_what_was_measured_comes_back_for_its_key_alone():
    remember("one", times(9, 8, 6))
    remember("two", times(1, 2, 3))
    assert remembered("one") == times(9, 8, 6)
    assert remembered("two") == times(1, 2, 3)
    assert remembered("three") is None


def test_a_failure_comes_back_for_its_key_until_a_measurement_takes_its_place():
    remember("one", Failed("cuda:0 does not work here"))
    assert remembered("one") == Failed("cuda:0 does not work here")
    assert remembered("two") is None
    remember("one", times(1, 2, 3))
    assert remembered("one") == times(1, 2, 3)


@pytest.mark.parametrize(
    ("later", "believed"),
    [(0.0, True), (BELIEVED_S - 60, True), (BELIEVED_S + 60, False), (-3600.0, False)],
)
def test_a_failure_is_believed_for_a_day_and_not_from_the_future(monkeypatch, later, believed):
    remember("one", Failed("no CUDA"))
    now = time.time() + later
    monkeypatch.setattr(time, "time", lambda: now)
    assert remembered("one") == (Failed("no CUDA") if believed else None)


def test_a_reason_that_would_do_something_to_a_terminal_is_none():
    remember("one", Failed("\x1b[2J"))
    assert remembered("one") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"one": 3}',
        b'{"one": {"cpu": 1%s, "cuda:0": 1, "cuda:0+cpu": 1}}' % (b"0" * 400),
        b'{"one": {"cpu": 1}}',
        b'{"one": {"cpu": "x", "cuda:0": 1, "cuda:0+cpu": 1}}',
        b'{"one": {"cpu": NaN, "cuda:0": 1, "cuda:0+cpu": 1}}',
        b'{"one": {"cpu": -1, "cuda:0": 1, "cuda:0+cpu": 1}}',
        b'{"one": "failed"}',
        b'{"one": {"failed": "no CUDA"}}',
        b'{"one": {"failed": "no CUDA", "at": "today"}}',
        b'{"one": {"failed": "no CUDA", "at": NaN}}',
    ],
)
def test_a_damaged_memory_is_none_and_is_written_anew(content):
    memory_file().parent.mkdir(parents=True)
    memory_file().write_bytes(content)
    assert remembered("one") is None
    remember("one", times(1, 2, 3))
    assert remembered("one") == times(1, 2, 3)


def test_an_account_without_a_home_costs_the_memory_alone(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    remember("one", times(1, 2, 3))
    assert remembered("one") is None
    assert memory_file() is None


def test_a_folder_that_cannot_be_written_costs_the_memory_alone(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember("one", times(1, 2, 3))
    assert remembered("one") is None


def key(*, graphs="ab", runtime="1", threads=2):
    files = [GraphFile(file="any.onnx", sha256=each * 64, bytes=1) for each in graphs]
    return key_of(files, runtime=runtime, threads=threads)


def test_another_graph_runtime_or_number_of_threads_is_another_key():
    assert len({key(), key(graphs="ba"), key(runtime="2"), key(threads=4)}) == 4
    assert key() == key()


def test_another_processor_or_choice_of_gpus_is_another_key(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    keys = {key()}
    for visible in ("1", "0", ""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        keys.add(key())
    monkeypatch.setattr(
        machine, "processor", lambda: machine.Processor(name="Another CPU", features=None)
    )
    keys.add(key())
    assert len(keys) == 5
