"""The file of an index: what was written is read, and nothing else is."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mrnn_edge.errors import IndexFileError
from mrnn_edge.index.file import Entry, IndexFile, IndexOrigin, Stamp, write_index

NUMBERS = st.integers(0, 2**63 - 1)
NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name)


def origin(image: int = 3, folder: str = "/photos") -> IndexOrigin:
    return IndexOrigin(
        bundle_id="0123456789abcdef", model="m", precision="float32", folder=folder, image=image
    )


@st.composite
def entries(draw, image: int = 3):
    names = sorted(draw(st.sets(NAMES, max_size=6)))
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return [
        Entry(
            name=os.fsdecode(name),
            stamp=Stamp(size=draw(NUMBERS), modified=draw(NUMBERS), changed=draw(NUMBERS)),
            digest=draw(st.binary(min_size=32, max_size=32)),
            vector=np.array(draw(st.lists(floats, min_size=image, max_size=image)), np.float32),
        )
        for name in names
    ]


def write(path, rows, **changes):
    with write_index(path, origin(**changes)) as writer:
        for row in rows:
            writer.add(row)
    return path


def some_rows(count: int) -> list[Entry]:
    random = np.random.default_rng(count)
    return [
        Entry(
            name=f"{row:03}.jpg",
            stamp=Stamp(size=row, modified=row + 1, changed=row + 2),
            digest=bytes([row]) * 32,
            vector=random.normal(0, 1, 3).astype(np.float32),
        )
        for row in range(count)
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=entries(), folder=NAMES.map(os.fsdecode))
def test_what_was_written_is_read(tmp_path, rows, folder):
    index = IndexFile(write(tmp_path / "index", rows, folder=folder))
    assert index.origin == origin(folder=folder)
    assert len(index) == len(rows)
    assert index.vectors.shape == (len(rows), 3)
    for row, wanted in enumerate(rows):
        found = index.entry(row)
        np.testing.assert_array_equal(found.vector, wanted.vector)
        assert (found.name, found.stamp, found.digest) == (wanted.name, wanted.stamp, wanted.digest)
        assert index.by_name[wanted.name] == row
    index.check_vectors()


def test_the_mean_is_that_of_the_vectors_and_the_vectors_are_mapped(tmp_path):
    rows = some_rows(7)
    index = IndexFile(write(tmp_path / "index", rows))
    np.testing.assert_allclose(index.mean, np.mean([row.vector for row in rows], 0), rtol=1e-6)
    assert isinstance(index.vectors.base, np.memmap)
    assert not index.vectors.flags.writeable
    assert index.vectors.__array_interface__["data"][0] % 64 == 0


@pytest.mark.parametrize("count", [0, 3])
def test_every_truncation_is_refused(tmp_path, count):
    whole = write(tmp_path / "index", some_rows(count)).read_bytes()
    cut = tmp_path / "cut"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(IndexFileError, match="truncated|not an index"):
            IndexFile(cut)
    cut.write_bytes(whole + b"\0")
    with pytest.raises(IndexFileError, match="truncated or damaged"):
        IndexFile(cut)


def test_every_flipped_byte_outside_the_vectors_and_the_padding_is_refused(tmp_path):
    whole = write(tmp_path / "index", some_rows(2)).read_bytes()
    damaged = tmp_path / "damaged"
    unseen = []
    for at in range(len(whole)):
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        try:
            index = IndexFile(damaged)
            index.check_vectors()
        except IndexFileError:
            continue
        unseen.append(at)
    assert all(whole[at] == 0 for at in unseen)  # padding
    assert len(unseen) < 5 * 64


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"mrnn-idx", b"mrnn-idx" + bytes(200)])
def test_a_file_that_is_no_index_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(IndexFileError) as caught:
        IndexFile(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_index_is_refused_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(IndexFileError, match="mrnn-edge index FOLDER -o"):
        IndexFile(tmp_path / "none")
    with pytest.raises(IndexFileError, match="is not a regular file"):
        IndexFile(tmp_path)


def test_an_index_of_a_newer_version_is_refused(tmp_path):
    path = write(tmp_path / "index", some_rows(1))
    data = bytearray(path.read_bytes())
    data[8] = 9
    path.write_bytes(data)
    with pytest.raises(IndexFileError, match="version 9, expected 1; upgrade"):
        IndexFile(path)


def test_an_exception_while_it_is_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = write(tmp_path / "index", some_rows(2))
    before = path.read_bytes()

    def interrupted():
        yield some_rows(1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, interrupted())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
