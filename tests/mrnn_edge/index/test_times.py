"""Files whose times lie outside what an index holds of them, indexed and known again."""

import os
from types import SimpleNamespace

import pytest
from conftest import noise_picture

from mrnn_edge import Index
from mrnn_edge.index import build as indexing
from mrnn_edge.index.file import Stamp

NAMES = ["a.png", "b.png", "c.png"]


def changes(built: Index) -> tuple[int, int, int]:
    return built.changes.encoded, built.changes.kept, built.changes.gone


AFTER_2262 = 2**63
"""Nanoseconds since 1970: the first that 64 bits with a sign do not hold."""


def test_pictures_of_times_that_64_bits_do_not_hold_are_indexed_and_known_again(
    captioner, tmp_path, monkeypatch
):
    folder, path = tmp_path / "photos", tmp_path / "photos.index"
    folder.mkdir()
    for days, name in enumerate(NAMES):
        noise_picture(folder / name, seed=days)
        os.utime(folder / name, ns=(0, AFTER_2262 + days * 86_400 * 10**9))
    assert (folder / "a.png").stat().st_mtime_ns == AFTER_2262  # this disk keeps such times
    assert changes(Index.build(captioner, folder, path)) == (3, 0, 0)
    os.utime(folder / "b.png", ns=(0, 2 * AFTER_2262 - 1))
    with monkeypatch.context() as patched:
        opened, real = [], indexing.open_file
        patched.setattr(indexing, "open_file", lambda file: opened.append(file) or real(file))
        assert changes(Index.build(captioner, folder, path)) == (0, 3, 0)
    assert opened == [str(folder / "b.png")]


@pytest.mark.parametrize(
    "time", [-11_644_473_600 * 10**9, -(2**63) - 1, 2**64, 253_402_300_800 * 10**9]
)
def test_every_time_that_a_disk_may_give_is_kept_in_64_bits(tmp_path, time):
    found = SimpleNamespace(st_size=1, st_mtime_ns=time, st_ctime_ns=time)
    stamp = indexing._stamp(found)
    assert -(2**63) <= stamp.modified == stamp.changed < 2**63
    assert (stamp.modified - time) % 2**64 == 0


@pytest.mark.parametrize("time", [-(2**63), -1, 0, 1_700_000_000 * 10**9, 2**63 - 1])
def test_a_time_that_64_bits_hold_is_kept_as_before(time):
    found = SimpleNamespace(st_size=1, st_mtime_ns=time, st_ctime_ns=time)
    assert indexing._stamp(found) == Stamp(size=1, modified=time, changed=time)
