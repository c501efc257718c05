"""Which files are found, in which order, and what becomes of folders that cannot be read."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.bulk.listing import expand_patterns, list_files
from mrnn_edge.bulk.names import parse_suffixes
from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.language.records import Outcome
from mrnn_edge.paths import local_path


def touch(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_named_files_come_as_they_were_named(tmp_path):
    paths = [str(tmp_path / "b.txt"), str(tmp_path / "missing.jpg"), str(tmp_path)]
    assert list(list_files(paths, recursive=False)) == paths


def test_a_folder_gives_its_pictures_in_byte_order_and_nothing_else(tmp_path):
    names = ["b.jpg", "B.PNG", "a/z.jpeg", "a/é.webp", "notes.txt", "a/c/1.tiff", ".hidden/x.gif"]
    touch(tmp_path, names)
    found = list(list_files([str(tmp_path)], recursive=True))
    expected = [str(tmp_path / name) for name in names if not name.endswith(".txt")]
    assert found == sorted(expected, key=os.fsencode)


# "-" and "." sort before "/", "0" and "a" after it: the places where a folder's order can go wrong.
NAMES = st.text(alphabet="-.0a", min_size=1, max_size=3).filter(lambda name: name.strip("."))


@given(st.sets(st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=12))
def test_the_order_is_that_of_the_whole_paths_bytes(tmp_path_factory, places):
    folder = tmp_path_factory.mktemp("tree")
    for place in places:
        path = folder.joinpath(*place[:-1], f"{place[-1]}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = list(list_files([str(folder)], recursive=True))
    assert found == sorted(map(str, folder.rglob("*.jpg")), key=os.fsencode)
    assert len(found) == len(places)


def test_a_tree_deeper_than_the_stack_is_walked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # relative, so that the path is not too long for the system
    folders = ["d/" * depth for depth in range(1, 1201)]
    for folder in folders:
        os.mkdir(folder)
    try:
        assert list(list_files(["."], recursive=True)) == []
    finally:
        for folder in reversed(folders):
            os.rmdir(folder)


def test_links_to_folders_are_not_followed_and_links_to_files_are_files(tmp_path):
    touch(tmp_path, ["a.jpg"])
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    # A link called like a picture is listed, and its outcome tells that it is a folder.
    (tmp_path / "c.jpg").symlink_to(tmp_path, target_is_directory=True)
    found = list(list_files([str(tmp_path)], recursive=True))
    assert found == [str(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")]


def test_a_subfolder_that_cannot_be_read_is_an_outcome_in_its_place(tmp_path, monkeypatch):
    touch(tmp_path, ["a.jpg", "locked/b.jpg", "z.jpg"])
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):  # by hand: root may read every folder
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    first, locked, last = list_files([str(tmp_path)], recursive=True)
    assert (first, last) == (str(tmp_path / "a.jpg"), str(tmp_path / "z.jpg"))
    assert isinstance(locked, Outcome)
    assert locked.file == str(tmp_path / "locked")
    assert isinstance(locked.result, FileError)
    assert "Permission denied" in str(locked.result)


def test_suffixes_choose_within_folders_alone(tmp_path):
    touch(tmp_path, ["a.jpg", "b.PNG", "c.raw"])
    chosen = parse_suffixes(["png,.RAW"])
    names = [str(tmp_path), str(tmp_path / "a.jpg")]
    found = list(list_files(names, recursive=True, suffixes=chosen))
    assert [os.path.basename(str(file)) for file in found] == ["b.PNG", "c.raw", "a.jpg"]


def test_a_pattern_gives_its_files_in_order_and_a_file_of_that_name_comes_first(tmp_path):
    touch(tmp_path, ["b.jpg", "a.jpg", "deep/c.jpg", "x.txt"])
    found = list(expand_patterns([str(tmp_path / "*.jpg"), str(tmp_path / "*/*")]))
    assert found == [str(tmp_path / name) for name in ("a.jpg", "b.jpg", "deep/c.jpg")]
    touch(tmp_path, ["[a].jpg"])
    assert list(expand_patterns([str(tmp_path / "[a].jpg")])) == [str(tmp_path / "[a].jpg")]


def test_two_stars_which_would_follow_links_round_and_round_are_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(OptionError, match="name the folder with -r"):
        list(expand_patterns([str(tmp_path / "**" / "*.jpg")]))


def test_a_pattern_that_matches_nothing_comes_as_it_is(tmp_path):
    pattern = str(tmp_path / "*.jpg")
    assert list(expand_patterns([pattern])) == [pattern]


def test_names_that_are_listed_are_no_patterns(tmp_path):
    touch(tmp_path, ["a1.jpg"])
    gone = [str(tmp_path / "a[1].jpg"), str(tmp_path / "**.jpg")]
    assert list(list_files(gone, recursive=True)) == gone


def test_debris_of_systems_is_left_out_and_told(tmp_path):
    kept = ["a.jpg", ".hidden.jpg", "@photos/b.jpg", "lost/c.jpg"]
    debris = [
        "._a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/x.png",
        ".Trash-1000/files/d.jpg",
        "lost+found/e.jpg", "#recycle/f.jpg", "$RECYCLE.BIN/g.jpg", "sub/.@__thumb/h.jpg",
    ]  # fmt: skip
    for name in (*kept, *debris):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    left_out = []
    found = list(list_files([str(tmp_path)], recursive=True, left_out=left_out))
    assert found == sorted(str(tmp_path / name) for name in kept)
    assert len(left_out) == len(debris)
    # What is named is taken.
    named = [str(tmp_path / "._a.jpg"), str(tmp_path / "lost+found")]
    assert list(list_files(named, recursive=True)) == [named[0], f"{named[1]}/e.jpg"]


def test_file_urls_and_the_home_folder_are_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in (
        "file:///p/a%20b%C3%A9.jpg",
        "file:/p/a%20b%C3%A9.jpg",
        "file://localhost/p/a%20bé.jpg",
    ):
        assert local_path(name) == "/p/a bé.jpg"
    assert local_path("~/a.jpg") == f"{tmp_path}/a.jpg"
    for name in ("a.jpg", "C:\\a.jpg", "a:b.jpg", "a~b", ""):
        assert local_path(name) == name
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "a.jpg").touch()
    assert local_path("~/a.jpg") == "~/a.jpg"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://example.org/a.jpg", "nothing is downloaded"),
        ("S3://bucket/a.jpg", "nothing is downloaded"),
        ("file://nas/a.jpg", "a file of the host nas"),
    ],
)
def test_an_address_comes_as_the_outcome_that_says_what_to_do(name, message):
    (outcome,) = list_files([name], recursive=False)
    assert outcome.file == name
    assert message in str(outcome.result)
