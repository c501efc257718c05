"""Where the graphs run: the choice among measured times, and what is remembered of them."""

from pathlib import Path

import pytest

from mrnn_edge.placement import Measured, Placement, key_of, memory_file, remember, remembered


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def times(cpu_encoder, cpu_steps, cuda_encoder, cuda_steps):
    return Measured(
        cpu_encoder=cpu_encoder,
        cpu_steps=cpu_steps,
        cuda_encoder=cuda_encoder,
        cuda_steps=cuda_steps,
    )


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        (times(9, 2, 10, 6), Placement.CPU),
        (times(9, 2, 1, 1), Placement.CUDA),
        (times(9, 2, 1, 6), Placement.MIXED),
        (times(9, 2, 9, 2), Placement.CPU),  # no reason to leave it
    ],
)
def test_the_shortest_caption_decides(measured, best):
    assert measured.best() is best


def test_a_measurement_is_said_in_milliseconds_of_each_placement():
    assert str(times(9, 2, 1, 6)) == "cpu 11.0 ms, cuda 7.0 ms, mixed 3.0 ms"


def test_what_was_measured_comes_back_for_its_key_alone():
    remember("one", times(9, 2, 8, 6))
    remember("two", times(1, 2, 3, 4))
    assert remembered("one") == times(9, 2, 8, 6)
    assert remembered("two") == times(1, 2, 3, 4)
    assert remembered("three") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"one": 3}',
        b'{"one": {"cpu_encoder": 1%s, "cpu_steps": 1, "cuda_encoder": 1, "cuda_steps": 1}}'
        % (b"0" * 400),
        b'{"one": {"cpu_encoder": 1}}',
        b'{"one": {"cpu_encoder": "x", "cpu_steps": 1, "cuda_encoder": 1, "cuda_steps": 1}}',
        b'{"one": {"cpu_encoder": NaN, "cpu_steps": 1, "cuda_encoder": 1, "cuda_steps": 1}}',
        b'{"one": {"cpu_encoder": -1, "cpu_steps": 1, "cuda_encoder": 1, "cuda_steps": 1}}',
    ],
)
def test_a_damaged_memory_is_none_and_is_written_anew(content):
    memory_file().parent.mkdir(parents=True)
    memory_file().write_bytes(content)
    assert remembered("one") is None
    remember("one", times(1, 2, 3, 4))
    assert remembered("one") == times(1, 2, 3, 4)


def test_an_account_without_a_home_costs_the_memory_alone(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    remember("one", times(1, 2, 3, 4))
    assert remembered("one") is None
    assert memory_file() is None


def test_a_folder_that_cannot_be_written_costs_the_memory_alone(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember("one", times(1, 2, 3, 4))
    assert remembered("one") is None


def test_another_graph_runtime_or_number_of_threads_is_another_key():
    keys = {
        key_of((b"a", b"b"), runtime="1", threads=2),
        key_of((b"ab", b""), runtime="1", threads=2),
        key_of((b"a", b"b"), runtime="2", threads=2),
        key_of((b"a", b"b"), runtime="1", threads=4),
    }
    assert len(keys) == 4
    assert key_of((b"a", b"b"), runtime="1", threads=2) in keys
