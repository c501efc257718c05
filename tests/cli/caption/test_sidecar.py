"""Captions beside pictures: what is written, and what is never overwritten."""

import os
import xml.etree.ElementTree as ET

import pytest

from mrnn_edge.errors import SidecarError
from mrnn_edge_cli.caption.sidecar import SidecarKind, has_other_xmp, sidecar_path, write_sidecar

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
}


@pytest.fixture
def picture(tmp_path):
    return str(tmp_path / "a b.JPG")


def description(path):
    """What a reader of XMP finds as the description."""
    (found,) = (
        ET.parse(path)
        .getroot()
        .iterfind("rdf:RDF/rdf:Description/dc:description/rdf:Alt/rdf:li", NAMESPACES)
    )
    assert found.get("{http://www.w3.org/XML/1998/namespace}lang") == "x-default"
    return found.text


def test_a_text_holds_the_caption_and_stands_under_the_whole_name(picture, tmp_path):
    write_sidecar(picture, "a dog runs", SidecarKind.TEXT)
    assert sidecar_path(picture, SidecarKind.TEXT) == tmp_path / "a b.JPG.txt"
    assert (tmp_path / "a b.JPG.txt").read_bytes() == b"a dog runs\n"
    assert os.listdir(tmp_path) == ["a b.JPG.txt"]


def test_xmp_holds_the_caption_as_the_description(picture, tmp_path):
    write_sidecar(picture, "a <b> & 'c'", SidecarKind.XMP)
    assert description(tmp_path / "a b.JPG.xmp") == "a <b> & 'c'"


def test_xmp_of_ours_is_replaced(picture, tmp_path):
    write_sidecar(picture, "a dog", SidecarKind.XMP)
    write_sidecar(picture, "a cat", SidecarKind.XMP)
    assert description(tmp_path / "a b.JPG.xmp") == "a cat"


@pytest.mark.parametrize("kind", list(SidecarKind))
def test_what_others_wrote_stays_unless_forced(picture, kind):
    path = sidecar_path(picture, kind)
    path.write_text('<x:xmpmeta x:xmptk="XMP Core 6.0">my words')
    with pytest.raises(SidecarError, match="--force replaces it"):
        write_sidecar(picture, "a dog", kind)
    assert "my words" in path.read_text()
    write_sidecar(picture, "a dog", kind, force=True)
    assert "my words" not in path.read_text()
    assert "a dog" in path.read_text()


def test_a_text_of_the_same_words_is_no_matter(picture, tmp_path):
    for _ in range(2):
        write_sidecar(picture, "a dog", SidecarKind.TEXT)
    with pytest.raises(SidecarError):
        write_sidecar(picture, "a dog runs", SidecarKind.TEXT)
    assert (tmp_path / "a b.JPG.txt").read_text() == "a dog\n"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a dog", "a cat"),  # the caption corrected, by a script or by hand
        ("</rdf:Description>", '<xmp:Rating xmlns:xmp="x">5</xmp:Rating></rdf:Description>'),
        ('"?>', '"?> '),
    ],
)
def test_xmp_of_ours_that_was_edited_stays(picture, ours, theirs):
    path = sidecar_path(picture, SidecarKind.XMP)
    write_sidecar(picture, "a dog", SidecarKind.XMP)
    edited = path.read_text(encoding="utf-8").replace(ours, theirs)
    path.write_text(edited, encoding="utf-8")
    with pytest.raises(SidecarError, match="was changed since"):
        write_sidecar(picture, "a bird", SidecarKind.XMP)
    assert path.read_text(encoding="utf-8") == edited
    write_sidecar(picture, "a bird", SidecarKind.XMP, force=True)
    assert description(path) == "a bird"


@pytest.mark.parametrize("kind", list(SidecarKind))
def test_a_sidecar_may_have_the_longest_name_there_is(tmp_path, kind):
    name = "n" * (255 - len(kind) - len(".jpg")) + ".jpg"
    write_sidecar(str(tmp_path / name), "a dog", kind)
    assert os.listdir(tmp_path) == [name + kind]


@pytest.mark.parametrize("suffix", [".xmp", ".XMP"])
def test_a_sidecar_of_another_program_is_noticed(tmp_path, suffix):
    picture = str(tmp_path / "a.b.jpg")
    assert not has_other_xmp(picture)
    sidecar_path(picture, SidecarKind.XMP).touch()
    assert not has_other_xmp(picture)
    (tmp_path / f"a.b{suffix}").touch()
    assert has_other_xmp(picture)


def test_a_text_about_our_xmp_is_not_ours(picture):
    path = sidecar_path(picture, SidecarKind.TEXT)
    path.write_text('how to find x:xmptk="mrnn-edge 1.0" in a folder')
    with pytest.raises(SidecarError):
        write_sidecar(picture, "a dog", SidecarKind.TEXT)


@pytest.mark.parametrize("force", [False, True])
def test_a_link_is_never_followed(picture, tmp_path, force):
    target = tmp_path / "elsewhere"
    sidecar_path(picture, SidecarKind.TEXT).symlink_to(target)
    with pytest.raises(SidecarError, match="is a link"):
        write_sidecar(picture, "a dog", SidecarKind.TEXT, force=force)
    assert not target.exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_in_its_place_is_refused(picture, force):
    sidecar_path(picture, SidecarKind.TEXT).mkdir()
    with pytest.raises(SidecarError):
        write_sidecar(picture, "a dog", SidecarKind.TEXT, force=force)


def test_a_pipe_in_its_place_does_not_block(picture):
    os.mkfifo(sidecar_path(picture, SidecarKind.XMP))
    with pytest.raises(SidecarError):
        write_sidecar(picture, "a dog", SidecarKind.XMP)
