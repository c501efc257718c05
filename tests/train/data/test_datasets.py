"""Own pictures and other people's sets, written here in their exact formats."""

import json

import dataset
import numpy as np
import pytest
from PIL import Image

from mrnn_edge.errors import DatasetError
from mrnn_edge_train.data.common import Split, split_of
from mrnn_edge_train.data.datasets import check_pictures, inspect, read_split


def paint(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(path)


@pytest.fixture
def table(tmp_path):
    for shade, name in enumerate("abc"):
        paint(tmp_path / "mine" / f"{name}.png", shade)
    path = tmp_path / "mine" / "captions.csv"
    path.write_text(
        "file,caption,split\n"
        'a.png,"A dog, running.",train\n'
        "b.png,A cat,dev\n"
        "a.png,The dog's ball,train\n"
        "c.png,A cow,test\n"
    )
    return path


def test_a_csv_beside_the_pictures_is_a_data_set(table):
    (picture,) = read_split(table, Split.TRAIN)
    assert picture.path == table.parent / "a.png"
    assert picture.sentences == (("a", "dog", "running"), ("the", "dog", "s", "ball"))
    found = inspect(table)
    assert found.lines() == (
        "train: 1 pictures, 2 sentences", "dev: 1 pictures, 1 sentences",
        "test: 1 pictures, 1 sentences",
    )  # fmt: skip


def test_json_lines_say_the_same(table):
    lines = [
        {"file": "a.png", "caption": "A dog, running.", "split": "train"},
        {"file": "a.png", "caption": "The dog's ball", "split": "train"},
        {"file": "b.png", "caption": "A cat", "split": "dev"},
    ]
    path = table.with_name("captions.jsonl")
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    for split in (Split.TRAIN, Split.DEV):
        assert read_split(path, split) == read_split(table, split)
    assert Split.TEST not in inspect(path).pictures


def test_a_table_from_a_spreadsheet_may_begin_with_a_byte_order_mark(table):
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert [image.name for image in read_split(table, Split.DEV)] == ["b.png"]


def test_without_splits_the_name_decides_and_a_growing_set_moves_no_picture(tmp_path):
    path = tmp_path / "captions.csv"
    names = [f"{number}.png" for number in range(200)]
    for shade, name in enumerate(names):
        paint(tmp_path / name, shade)
    path.write_text("file,caption\n" + "".join(f"{name},a dog\n" for name in names[:100]))
    few = {split: {i.name for i in read_split(path, split)} for split in Split}
    path.write_text("file,caption\n" + "".join(f"{name},a dog\n" for name in names))
    many = {split: {i.name for i in read_split(path, split)} for split in Split}
    assert all(few[split] <= many[split] for split in Split)
    assert set.union(*many.values()) == set(names)
    assert sum(map(len, many.values())) == 200
    assert all(10 <= len(many[split]) <= 30 for split in (Split.DEV, Split.TEST))
    assert split_of("0.png") is split_of("0.png")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b.png,,dev", r"line 6: found"),
        ("b.png,???,dev", r"line 6: found"),
        ("b.png,A cat,dev,and more", r"line 6: found"),
        ("b.png", r"line 6: found"),
        ("b.png,A cat,val", r"line 6: split is 'val', expected train, dev or test"),
        ("b.png,A cat,train", r"line 6: b\.png is in dev above and in train here"),
        ("gone.png,A cat,train", r"missing pictures in .*: gone\.png"),
    ],
)
def test_a_broken_line_of_a_csv_is_told_with_its_number(table, line, message):
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(DatasetError, match=message):
        inspect(table)


@pytest.mark.parametrize("line", ["{", "[1]", '{"file": "a.png"}', '{"name": "a.png"}'])
def test_a_broken_line_of_json_is_told_with_its_number(table, line):
    path = table.with_name("captions.jsonl")
    path.write_text('{"file": "a.png", "caption": "A dog", "split": "train"}\n' + line + "\n")
    with pytest.raises(DatasetError, match="line 2: .* expected file and caption"):
        inspect(path)


KARPATHY = {
    "dataset": "coco",
    "images": [
        {
            "filepath": "val2014", "filename": "1.png", "split": "restval", "imgid": 0,
            "sentids": [0, 1], "cocoid": 391895,
            "sentences": [
                {"tokens": ["a", "man"], "raw": "A man.", "imgid": 0, "sentid": 0},
                {"tokens": ["he", "rides"], "raw": "He rides", "imgid": 0, "sentid": 1},
            ],
        },
        {
            "filename": "2.png", "split": "val", "imgid": 1, "sentids": [2],
            "sentences": [{"tokens": ["a", "dog"], "raw": "A dog", "imgid": 1, "sentid": 2}],
        },
    ],
}  # fmt: skip


@pytest.mark.parametrize("folder", ["", "images"])
def test_karpathys_json_is_a_data_set_with_pictures_beside_it_or_in_images(tmp_path, folder):
    paint(tmp_path / folder / "val2014" / "1.png", 1)
    paint(tmp_path / folder / "2.png", 2)
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps(KARPATHY))
    (picture,) = read_split(path, Split.TRAIN)
    assert picture.path == tmp_path / folder / "val2014" / "1.png"
    assert picture.sentences == (("a", "man"), ("he", "rides"))
    assert inspect(path).pictures == {Split.TRAIN: 1, Split.DEV: 1}


@pytest.mark.parametrize("broken", [{}, {"images": [{"split": "train"}]}, {"images": [3]}])
def test_json_that_is_not_karpathys_is_refused(tmp_path, broken):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(DatasetError, match="expected"):
        inspect(path)


def test_a_training_picture_in_dev_is_found_by_its_content(table):
    paint(table.parent / "b.png", 0)
    with pytest.raises(DatasetError, match=r"two splits: b\.png of dev is a\.png of train"):
        inspect(table)


def test_a_training_picture_in_the_test_list_is_found_by_its_name(tmp_path):
    data = dataset.write(tmp_path / "set", train=4, dev=2, test=2)
    listing = data / "text" / "Flickr_8k.testImages.txt"
    listing.write_text(listing.read_text() + "train1.png\n")
    with pytest.raises(DatasetError, match=r"duplicate file names: train1\.png"):
        inspect(data)


def test_the_same_picture_twice_in_a_split_is_told_and_allowed(table):
    paint(table.parent / "a2.png", 0)
    table.write_text(table.read_text() + "a2.png,Again,train\n")
    assert inspect(table).lines()[-1] == "the same picture twice: a.png = a2.png"


def test_a_list_without_lines_or_with_other_columns_is_told_at_its_first_line(table):
    table.write_text("")
    with pytest.raises(DatasetError, match=r"captions\.csv: is empty; expected file and caption"):
        inspect(table)
    table.write_text("image,caption\na.png,A dog\n")
    with pytest.raises(DatasetError, match=r"line 1: found the columns image, caption; expected"):
        inspect(table)


@pytest.mark.parametrize("name", ["nothing", "captions.txt"])
def test_what_is_no_data_set_is_told_with_what_would_be(tmp_path, name):
    (tmp_path / "captions.txt").touch()
    with pytest.raises(DatasetError, match="Karpathy's JSON, or a CSV"):
        inspect(tmp_path / name)


def test_pictures_that_cannot_be_decoded_are_counted_and_named(table):
    for name in ("a.png", "c.png"):
        data = (table.parent / name).read_bytes()
        (table.parent / name).write_bytes(data[: len(data) // 2])
    images = [image for split in Split for image in read_split(table, split)]
    message = rf"2 of {len(images)} pictures cannot be read: .*a\.png.*c\.png"
    with pytest.raises(DatasetError, match=message):
        check_pictures(table, images)


def test_files_that_no_split_has_are_told_and_no_error(table):
    paint(table.parent / "new.png", 9)
    assert inspect(table).lines()[-1] == "files beside the pictures that are in no split: new.png"


def test_captions_of_flickr8k_whose_picture_is_in_no_split_are_told(tmp_path):
    data = dataset.write(tmp_path / "set", train=4, dev=2, test=2)
    tokens = data / "text" / "Flickr8k.token.txt"
    tokens.write_text(tokens.read_text() + "gone.jpg.1#0\ta dog\ngone.jpg.1#1\ta cat\n")
    assert inspect(data).lines()[-1] == "captions of pictures that are in no split: gone.jpg.1"


def test_a_folder_with_a_captions_csv_is_a_data_set(table):
    assert inspect(table.parent) == inspect(table)


def test_of_many_faults_the_first_few_are_named(table):
    lines = "".join(f"gone{number}.png,A cat,train\n" for number in range(9))
    table.write_text(table.read_text() + lines)
    with pytest.raises(DatasetError, match=r"gone4\.png and 4 more"):
        inspect(table)


def test_pictures_missing_from_several_folders_are_told_with_their_paths(table):
    table.write_text("file,caption,split\nx/gone.png,A cat,train\ny/lost.png,A cow,train\n")
    with pytest.raises(DatasetError) as caught:
        read_split(table, Split.TRAIN)
    folder = table.parent
    told = f"missing pictures: {folder / 'x' / 'gone.png'}, {folder / 'y' / 'lost.png'};"
    assert told in str(caught.value)
