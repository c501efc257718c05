import os

from conftest import noise_picture

from mrnn_edge.config import DecodeOptions
from mrnn_edge.pipeline import caption_files, list_files
from mrnn_edge.records import Caption


def test_named_files_come_as_they_were_named(tmp_path):
    paths = [str(tmp_path / "b.txt"), str(tmp_path / "missing.jpg"), str(tmp_path)]
    assert list(list_files(paths, recursive=False)) == paths


def test_a_folder_gives_its_pictures_in_byte_order_and_nothing_else(tmp_path):
    names = ["b.jpg", "B.PNG", "a/z.jpeg", "a/é.webp", "notes.txt", "a/c/1.tiff", ".hidden/x.gif"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = list(list_files([str(tmp_path)], recursive=True))
    expected = [str(tmp_path / name) for name in names if not name.endswith(".txt")]
    assert found == sorted(expected, key=os.fsencode)


def test_a_loop_of_links_is_not_followed(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert list(list_files([str(tmp_path)], recursive=True)) == [str(tmp_path / "a.jpg")]


def test_every_file_has_one_outcome_in_order(captioner, tmp_path):
    good = str(noise_picture(tmp_path / "good.jpg"))
    bad = str(tmp_path / "bad.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    outcomes = list(caption_files(captioner, [bad, good, bad], DecodeOptions()))
    assert [outcome.file for outcome in outcomes] == [bad, good, bad]
    record = outcomes[0].to_record()
    assert record == {
        "file": bad,
        "error": {"type": "UnsupportedImageError", "message": record["error"]["message"]},
    }
    assert isinstance(outcomes[1].result, Caption)
    assert outcomes[1].to_record()["caption"] == captioner.caption(good).text
