"""Indexing a folder again and again, and searching it."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny
from conftest import noise_picture

from mrnn_edge import Captioner, Index
from mrnn_edge.errors import IndexFileError, NumericalError, OptionError
from mrnn_edge.index import build as indexing
from mrnn_edge.index.file import IndexFile

NAMES = ["a.png", "b.png", "sub/c.png", "z.png"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        noise_picture(tmp_path / "photos" / name, seed=seed)
    return tmp_path / "photos"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "photos.index"


@pytest.fixture
def encoded(captioner, monkeypatch):
    """The number of pictures in each call of the encoder, in order."""
    calls = []
    encoder = captioner.graphs.encoder

    class Counting:
        def __call__(self, pixels):
            calls.append(len(pixels))
            return encoder(pixels)

    object.__setattr__(captioner.graphs, "encoder", Counting())
    yield calls
    object.__setattr__(captioner.graphs, "encoder", encoder)


def contents(path) -> dict[str, np.ndarray]:
    index = IndexFile(path)
    return {index.name(row): np.array(index.vectors[row]) for row in range(len(index))}


def changes(built: Index) -> tuple[int, int, int]:
    return built.changes.encoded, built.changes.kept, built.changes.gone


def test_every_picture_below_the_folder_has_its_vector(captioner, folder, path):
    built = Index.build(captioner, folder, path)
    assert changes(built) == (4, 0, 0)
    assert (len(built), built.folder) == (4, str(folder))
    found = contents(path)
    assert list(found) == NAMES
    for name in NAMES:
        np.testing.assert_allclose(found[name], captioner.encode(folder / name), atol=1e-5)


def test_a_second_run_on_an_unchanged_folder_encodes_and_reads_nothing(
    captioner, folder, path, encoded, monkeypatch
):
    Index.build(captioner, folder, path)
    before = path.read_bytes()
    assert encoded == [4]
    monkeypatch.setattr(indexing, "open_file", None)
    assert changes(Index.build(captioner, folder, path)) == (0, 4, 0)
    assert encoded == [4]
    assert path.read_bytes() == before


def test_only_a_changed_picture_is_encoded_again(captioner, folder, path, encoded):
    Index.build(captioner, folder, path)
    old = contents(path)
    noise_picture(folder / "b.png", seed=9)
    assert changes(Index.build(captioner, folder, path)) == (1, 3, 0)
    assert encoded == [4, 1]
    new = contents(path)
    assert [name for name in NAMES if not np.array_equal(old[name], new[name])] == ["b.png"]
    np.testing.assert_allclose(new["b.png"], captioner.encode(folder / "b.png"), atol=1e-5)


def test_moved_copied_and_touched_pictures_are_known_again_and_deleted_ones_go(
    captioner, folder, path, encoded
):
    Index.build(captioner, folder, path)
    old = contents(path)
    (folder / "a.png").rename(folder / "sub" / "moved.png")
    shutil.copy(folder / "b.png", folder / "copy.png")
    os.utime(folder / "z.png", ns=(1, 1))
    (folder / "sub" / "c.png").unlink()
    assert changes(Index.build(captioner, folder, path)) == (0, 4, 2)
    assert encoded == [4]
    new = contents(path)
    assert list(new) == ["b.png", "copy.png", "sub/moved.png", "z.png"]
    for name, was in zip(new, ["b.png", "b.png", "a.png", "z.png"], strict=True):
        np.testing.assert_array_equal(new[name], old[was])


def test_two_pictures_of_one_size_and_time_that_swap_their_names_are_told_apart(
    captioner, folder, path
):
    for seed, name in enumerate(("p.bmp", "q.bmp")):
        noise_picture(folder / name, seed=20 + seed)
        os.utime(folder / name, ns=(10**9, 10**9))
    assert (folder / "p.bmp").stat().st_size == (folder / "q.bmp").stat().st_size
    Index.build(captioner, folder, path)
    old = contents(path)
    (folder / "p.bmp").rename(folder / "r")
    (folder / "q.bmp").rename(folder / "p.bmp")
    (folder / "r").rename(folder / "q.bmp")
    Index.build(captioner, folder, path)
    new = contents(path)
    np.testing.assert_array_equal(new["p.bmp"], old["q.bmp"])
    np.testing.assert_array_equal(new["q.bmp"], old["p.bmp"])


def test_a_folder_that_moved_as_a_whole_is_not_encoded_again(captioner, folder, path, encoded):
    Index.build(captioner, folder, path)
    moved = folder.rename(folder.with_name("pictures"))
    built = Index.build(captioner, moved, path)
    assert (changes(built), built.folder) == ((0, 4, 0), str(moved))
    assert encoded == [4]


def test_pictures_that_cannot_be_read_are_left_out_and_named(captioner, folder, path):
    (folder / "bad.jpg").write_bytes(b"no picture")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "link.jpg").symlink_to(folder / "nowhere")
    built = Index.build(captioner, folder, path)
    assert changes(built) == (4, 0, 0)
    assert list(contents(path)) == NAMES
    records = [failure.to_record() for failure in built.changes.failures]
    assert [record["file"] for record in records] == [
        str(folder / name) for name in ("bad.jpg", "link.jpg", "pipe.jpg")
    ]
    assert [record["error"]["type"] for record in records] == [
        "UnsupportedImageError", "FileError", "FileError",
    ]  # fmt: skip


def test_a_picture_that_the_model_chokes_on_costs_none_of_its_neighbours(
    captioner, folder, path, monkeypatch
):
    encoder = captioner.graphs.encoder
    poison = captioner.encode(folder / "b.png")

    class Choking:
        def __call__(self, pixels):
            vectors = encoder(pixels)
            if np.abs(vectors - poison).max(axis=1).min() < 1e-5:
                raise NumericalError("numbers that are not finite")
            return vectors

    object.__setattr__(captioner.graphs, "encoder", Choking())
    try:
        built = Index.build(captioner, folder, path)
    finally:
        object.__setattr__(captioner.graphs, "encoder", encoder)
    assert list(contents(path)) == ["a.png", "sub/c.png", "z.png"]
    (failure,) = built.changes.failures
    assert failure.file == str(folder / "b.png")


def test_more_pictures_than_a_batch_keep_their_order(captioner, tmp_path, path, encoded):
    (tmp_path / "many").mkdir()
    count = 2 * indexing.BATCH + 3
    for seed in range(count):
        noise_picture(tmp_path / "many" / f"{seed:03}.png", seed=seed)
    Index.build(captioner, tmp_path / "many", path)
    assert encoded == [indexing.BATCH, indexing.BATCH, 3]
    found = contents(path)
    assert list(found) == [f"{seed:03}.png" for seed in range(count)]
    for seed in (0, 40, count - 1):
        name = f"{seed:03}.png"
        wanted = captioner.encode(tmp_path / "many" / name)
        np.testing.assert_allclose(found[name], wanted, atol=1e-5)


def test_a_name_that_is_not_utf8_survives(captioner, tmp_path, path):
    folder = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    os.mkdir(folder)
    file = os.fsdecode(os.path.join(folder, b"\xff.png"))
    noise_picture(file)
    Index.build(captioner, os.fsdecode(folder), path)
    index = Index.open(path)
    assert [hit.file for hit in index.search(captioner, "a dog").hits] == [file]


def test_an_update_that_fails_leaves_the_index_as_it_was(captioner, folder, path, tmp_path):
    Index.build(captioner, folder, path)
    before = path.read_bytes()
    noise_picture(folder / "new.png", seed=9)

    def stopping(items, description, total):
        yield from list(items)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Index.build(captioner, folder, path, track=stopping)
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"photos", "photos.index"}


def test_a_killed_update_leaves_the_index_as_it_was(captioner, folder, path, bundle):
    Index.build(captioner, folder, path)
    before = path.read_bytes()
    noise_picture(folder / "new.png", seed=9)
    script = """
import os, signal, sys
from mrnn_edge import Captioner, Index
def killed(items, description, total):
    yield from list(items)
    os.kill(os.getpid(), signal.SIGKILL)
Index.build(Captioner.load(sys.argv[1]), sys.argv[2], sys.argv[3], track=killed)
"""
    done = subprocess.run([sys.executable, "-c", script, bundle, folder, path], check=False)
    assert done.returncode == -9
    assert path.read_bytes() == before
    assert changes(Index.build(captioner, folder, path)) == (1, 4, 0)


def test_an_empty_folder_does_not_empty_the_index(captioner, folder, path):
    Index.build(captioner, folder, path)
    before = path.read_bytes()
    (folder.parent / "empty").mkdir()
    for nothing, message in (
        (folder.parent / "empty", "no picture in"),
        (folder.parent / "none", "none is not there"),
        (folder / "a.png", "is a file, give its folder"),
    ):
        with pytest.raises(OptionError, match=message):
            Index.build(captioner, nothing, path)
    assert path.read_bytes() == before


def test_an_index_of_a_folder_that_is_still_there_is_not_replaced_by_one_of_another(
    captioner, folder, path
):
    Index.build(captioner, folder, path)
    before = path.read_bytes()
    other = folder.parent / "other"
    other.mkdir()
    noise_picture(other / "x.png")
    with pytest.raises(IndexFileError, match="which is still there"):
        Index.build(captioner, other, path)
    assert path.read_bytes() == before
    # A folder that has moved is another matter: its vectors are kept.
    moved = folder.rename(folder.parent / "moved")
    assert Index.build(captioner, moved, path).changes.encoded == 0


def test_a_search_goes_on_where_its_whole_short_list_has_gone(captioner, folder, path, monkeypatch):
    for number in range(12):
        noise_picture(folder / f"more{number}.png", seed=100 + number)
    index = Index.build(captioner, folder, path)
    monkeypatch.setattr("mrnn_edge.index.nearest.EXACT_UP_TO", 0)
    monkeypatch.setattr("mrnn_edge.index.index.EXACT_UP_TO", 0)
    monkeypatch.setattr("mrnn_edge.index.nearest.SHORT_LIST", 4)
    monkeypatch.setattr("mrnn_edge.index.nearest.ROWS_A_HIT", 1)
    whole = index.search(captioner, "a dog", k=len(index)).hits
    gone = [hit.file for hit in whole[:8]]
    for file in gone:
        os.unlink(file)
    found = index.search(captioner, "a dog", k=2)
    assert [hit.file for hit in found.hits] == [hit.file for hit in whole[8:10]]
    assert set(gone) <= set(found.missing)


def test_a_hit_is_as_sure_as_the_score_of_the_same_picture(captioner, folder, path):
    for hit in Index.build(captioner, folder, path).search(captioner, "a dark dog").hits:
        (score,) = captioner.score(hit.file, ["a dark dog"])
        assert hit.evidence == pytest.approx(score.evidence, abs=1e-4)


def test_a_file_that_is_no_index_is_not_overwritten(captioner, folder):
    picture = folder / "a.png"
    before = picture.read_bytes()
    with pytest.raises(IndexFileError, match="not an index of mrnn-edge"):
        Index.build(captioner, folder, picture)
    assert picture.read_bytes() == before


def test_damaged_vectors_are_found_before_they_are_copied(captioner, folder, path):
    Index.build(captioner, folder, path)
    data = bytearray(path.read_bytes())
    data[70] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexFileError, match="vectors are damaged"):
        Index.build(captioner, folder, path)
    assert path.read_bytes() == data


def test_an_index_of_another_model_is_refused_with_both_ids(captioner, folder, path, tmp_path):
    other_id = "fedcba9876543210"
    other = Captioner.load(
        tiny.write(tmp_path / "other", tiny.files(bundle_id=other_id)), device="cpu"
    )
    index = Index.build(captioner, folder, path)
    before = path.read_bytes()
    for attempt in (
        lambda: index.search(other, "a dog"),
        lambda: Index.build(other, folder, path),
    ):
        with pytest.raises(IndexFileError, match=rf"{tiny.ID}.*{other_id}"):
            attempt()
    assert path.read_bytes() == before


def log2_prob(captioner, file, sentence):
    (score,) = captioner.score(file, [sentence])
    return score.log2_prob


@pytest.mark.parametrize("sentence", ["a dark wall", "Red, red dog!"])
def test_a_search_ranks_as_scoring_each_picture_does(captioner, folder, path, sentence):
    found = Index.build(captioner, folder, path).search(captioner, sentence, k=3)
    scored = {str(folder / name): log2_prob(captioner, folder / name, sentence) for name in NAMES}
    assert [hit.file for hit in found.hits] == sorted(scored, key=lambda file: -scored[file])[:3]
    assert [hit.rank for hit in found.hits] == [1, 2, 3]
    for hit in found.hits:
        assert hit.log2_prob == pytest.approx(scored[hit.file], abs=1e-4)
    assert found.hits[0].to_record() == {
        "file": found.hits[0].file, "rank": 1, "log2_prob": found.hits[0].log2_prob,
        "evidence": found.hits[0].evidence,
    }  # fmt: skip


def test_copies_of_one_picture_come_in_the_order_of_their_names(captioner, folder, path):
    for name in ("y.png", "B.png", "sub/a.png"):
        shutil.copy(folder / "a.png", folder / name)
    found = Index.build(captioner, folder, path).search(captioner, "a dog", k=7)
    ranked = [os.path.relpath(hit.file, folder) for hit in found.hits]
    copies = [name for name in ranked if name in {"a.png", "y.png", "B.png", "sub/a.png"}]
    assert copies == ["B.png", "a.png", "sub/a.png", "y.png"]
    at = ranked.index("B.png")
    assert ranked[at : at + 4] == copies


def test_a_picture_deleted_since_is_named_left_out_and_made_up_for(captioner, folder, path):
    index = Index.build(captioner, folder, path)
    whole = index.search(captioner, "a dog", k=4).hits
    os.unlink(whole[0].file)
    found = index.search(captioner, "a dog", k=2)
    assert found.missing == (whole[0].file,)
    assert [(hit.rank, hit.file) for hit in found.hits] == [(1, whole[1].file), (2, whole[2].file)]


def test_a_folder_that_is_gone_is_one_error_and_not_one_a_picture(captioner, folder, path):
    index = Index.build(captioner, folder, path)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(IndexFileError, match=f"{folder} that was indexed is not there"):
        index.search(captioner, "a dog")


@pytest.mark.parametrize("query", ["", " ., !", "?"])
def test_a_query_without_a_word_is_refused(captioner, folder, path, query):
    with pytest.raises(OptionError, match="has no word"):
        Index.build(captioner, folder, path).search(captioner, query)


def test_unknown_words_are_named_with_the_nearest_known_ones(captioner, folder, path):
    index = Index.build(captioner, folder, path)
    found = index.search(captioner, "a doggy xylophone")
    assert found.unknown_words == {"doggy": ("dog",), "xylophone": ()}
    unknown = log2_prob(captioner, found.hits[0].file, "a doggy xylophone")
    assert found.hits[0].log2_prob == pytest.approx(unknown, abs=1e-4)
    assert index.search(captioner, "a dog").unknown_words == {}
    with pytest.raises(OptionError, match=r"knows no word .*doggy \(nearest: dog\), xylophone"):
        index.search(captioner, "doggy xylophone")


def test_a_sentence_of_a_thousand_words_is_searched(captioner, folder, path):
    found = Index.build(captioner, folder, path).search(captioner, "dog " * 1000)
    assert len(found.hits) == 4
    assert np.isfinite(found.hits[0].log2_prob)


def test_k_below_one_is_refused_and_above_the_pictures_gives_them_all(captioner, folder, path):
    index = Index.build(captioner, folder, path)
    assert len(index.search(captioner, "a dog", k=100).hits) == 4
    with pytest.raises(OptionError, match="k is 0"):
        index.search(captioner, "a dog", k=0)
