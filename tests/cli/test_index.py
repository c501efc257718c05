"""`mrnn-edge index` and `search` as processes: what they print where, and how they end."""

import json
import os

import pytest
import tiny
from conftest import noise_picture


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        noise_picture(tmp_path / "photos" / f"{seed}.png", seed=seed)
    return tmp_path / "photos"


def test_a_folder_is_indexed_brought_up_to_date_and_searched(command, model, photos, captioner):
    done = command("index", "photos", "-o", "my.index", "--model", model, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "my.index: 3 pictures, 3 encoded, 0 kept, 0 gone\n"
    noise_picture(photos / "new.png", seed=7)
    (photos / "0.png").unlink()
    done = command("index", "photos", "-o", "my.index", "--model", model, "--json")
    assert json.loads(done.stdout) == {
        "index": "my.index", "folder": str(photos), "pictures": 3, "encoded": 1, "kept": 2,
        "gone": 1, "left_out": 0, "failures": [],
    }  # fmt: skip
    assert done.stderr == "mrnn-edge: device cpu\n"
    search = ("search", "a dark dog", "--index", "my.index", "--model", model, "--quiet", "-k", 2)
    records = json.loads(command(*search, "--json").stdout)
    assert [list(record) for record in records] == [["file", "rank", "log2_prob", "evidence"]] * 2
    for record in records:
        (score,) = captioner.score(record["file"], ["a dark dog"])
        assert record["log2_prob"] == pytest.approx(score.log2_prob, abs=1e-4)
        assert record["evidence"] == pytest.approx(score.evidence, abs=1e-4)
    lines = command(*search).stdout.splitlines()
    assert lines == [
        f"{record['evidence']:+.1f}\t{record['log2_prob']:.2f}\t{record['file']}"
        for record in records
    ]


def test_a_picture_that_cannot_be_read_is_one_line_one_record_and_exit_3(command, model, photos):
    (photos / "bad.jpg").write_text("no picture at all")
    done = command("index", "photos", "-o", "my.index", "--model", model, "--quiet", "--json")
    assert done.returncode == 3
    (failure,) = json.loads(done.stdout)["failures"]
    assert failure["file"] == "photos/bad.jpg"
    assert failure["error"]["type"] == "UnsupportedImageError"
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mrnn-edge: photos/bad.jpg: looks like text")


def test_unknown_words_and_deleted_pictures_are_said_on_stderr(command, model, photos):
    command("index", "photos", "-o", "my.index", "--model", model)
    (photos / "1.png").unlink()
    done = command("search", "a doggy", "--index", "my.index", "--model", model, "--device", "cpu")
    assert (done.returncode, done.stdout.count("\n")) == (0, 2)
    unknown, missing = done.stderr.splitlines()
    assert unknown.endswith("unknown to the model: doggy (nearest: dog)")
    assert missing.startswith(f"mrnn-edge: {photos / '1.png'} no longer exists, left out")


@pytest.mark.parametrize(
    ("words", "index", "message"),
    [
        ("", "my.index", "has no word"),
        ("zzz qqq", "my.index", "knows no word of the query: zzz, qqq"),
        ("a dog", "none.index", "no such index"),
        ("a dog", "photos/0.png", "is not an index of mrnn-edge"),
        ("a dog", "cut.index", "truncated"),
    ],
)
def test_a_bad_query_or_index_is_a_usage_error_in_one_line(
    command, model, photos, tmp_path, words, index, message
):
    command("index", "photos", "-o", "my.index", "--model", model)
    (tmp_path / "cut.index").write_bytes((tmp_path / "my.index").read_bytes()[:-1])
    done = command("search", words, "--index", index, "--model", model, "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_that_is_not_utf8_is_found_and_printed(command, model, photos):
    noise_picture(os.fsdecode(os.path.join(os.fsencode(photos), b"caf\xe9\n.png")))
    assert command("index", "photos", "-o", "my.index", "--model", model).returncode == 0
    done = command("search", "a dog", "--index", "my.index", "--model", model)
    assert done.stdout.count("\n") == 4
    assert "/caf\\udce9\\n.png\n" in done.stdout


def test_a_folder_without_pictures_is_a_usage_error(command, model, tmp_path):
    (tmp_path / "empty").mkdir()
    done = command("index", "empty", "-o", "my.index", "--model", model)
    assert done.returncode == 2
    assert "no picture in empty" in done.stderr
    assert not (tmp_path / "my.index").exists()
