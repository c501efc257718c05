"""The paper's two sets that are not at hand, in small and in their exact formats."""

import json

import numpy as np
import pytest
from PIL import Image

from mrnn_edge.errors import DatasetError
from mrnn_edge_train.data.common import Split, split_of
from mrnn_edge_train.data.datasets import inspect, read_split

ENG = """<DOC>
<DOCNO>annotations/{key}.eng</DOCNO>
<TITLE>In the Tafí del Valle & further</TITLE>
<DESCRIPTION>{description}</DESCRIPTION>
<NOTES>it is a weekend destination;</NOTES>
<LOCATION>Tucumán, Argentina</LOCATION>
<DATE>January 2002</DATE>
<IMAGE>images/{key}.jpg</IMAGE>
<THUMBNAIL>thumbnails/{key}.jpg</THUMBNAIL>
</DOC>
"""


def paint(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (int(path.stem) % 256, int(path.stem) // 256, 0)
    Image.fromarray(np.full((8, 8, 3), colour, np.uint8)).save(path, format="PNG")


def annotate(root, key, description, folder="annotations_complete_eng"):
    path = root / folder / f"{key}.eng"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ENG.format(key=key, description=description), encoding="latin-1")
    paint(root / "images" / f"{key}.jpg")


def keys(count, start=1000):
    return [f"{number // 1000:02}/{number}" for number in range(start, start + count)]


@pytest.fixture
def iapr(tmp_path):
    root = tmp_path / "iaprtc12"
    for key in keys(40):
        annotate(root, key, "a man on a dry slope; a lake & a brown, bald mountain;")
    (root / "iaprtc12_train_list.txt").write_text("\n".join(keys(30)) + "\n")
    (root / "iaprtc12_test_list.txt").write_text("\n".join(keys(10, 1030)) + "\n")
    return root


def test_iapr_tc_12_has_a_sentence_for_each_part_of_a_description(iapr):
    image = read_split(iapr, Split.TEST)[0]
    assert image.path == iapr / "images" / "01" / "1030.jpg"
    assert image.sentences == (
        ("a", "man", "on", "a", "dry", "slope"), ("a", "lake", "a", "brown", "bald", "mountain"),
    )  # fmt: skip


def test_iapr_tc_12_takes_its_dev_split_out_of_the_training_list_by_name(iapr):
    counts = inspect(iapr).pictures
    dev = [key for key in keys(30) if split_of(key) is Split.DEV]
    assert counts == {Split.TRAIN: 30 - len(dev), Split.DEV: len(dev), Split.TEST: 10}
    assert [image.path.stem for image in read_split(iapr, Split.DEV)] == [k[3:] for k in dev]


def test_pictures_of_iapr_tc_12_that_are_described_and_in_no_list_are_told(iapr):
    (iapr / "iaprtc12_test_list.txt").write_text("\n".join(keys(8, 1030)) + "\n")
    last = inspect(iapr).lines()[-1]
    assert last == "captions of pictures that are in no split: 1038.jpg, 1039.jpg"


def test_iapr_tc_12_without_lists_is_split_by_name(iapr):
    for file in iapr.glob("*.txt"):
        file.unlink()
    assert sum(inspect(iapr).pictures.values()) == 40


def test_an_annotation_that_the_complete_folder_lacks_is_looked_for_in_the_other(iapr):
    (iapr / "annotations_complete_eng" / "01" / "1030.eng").unlink()
    with pytest.raises(DatasetError, match=r"1030\.eng: cannot be read"):
        read_split(iapr, Split.TEST)
    annotate(iapr, "01/1030", "a dog;", folder="annotations")
    assert read_split(iapr, Split.TEST)[0].sentences == (("a", "dog"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<DOC></DOC>", r"1031\.eng: found '<DOC></DOC>', expected <DESCRIPTION>"),
        ("<DOC><DESCRIPTION> ; </DESCRIPTION></DOC>", r"no sentence for: 1031\.jpg"),
    ],
)
def test_a_broken_annotation_of_iapr_tc_12_is_named(iapr, text, message):
    (iapr / "annotations_complete_eng" / "01" / "1031.eng").write_text(text)
    with pytest.raises(DatasetError, match=message):
        inspect(iapr)


def test_half_of_the_lists_of_iapr_tc_12_is_too_little(iapr):
    (iapr / "iaprtc12_test_list.txt").unlink()
    with pytest.raises(DatasetError, match="expected all of"):
        inspect(iapr)


TOKENS = (
    "1.jpg#0\tTwo young guys with shaggy hair look at their hands .\n"
    "1.jpg#1\tTwo young , White males are outside .\n"
    "2.jpg#0\tA dog runs across the grass .\n"
    "3.jpg#0\tA girl .\n"
)
TABLE = (
    "image_name| comment_number| comment\n"
    "1.jpg| 0| Two young guys with shaggy hair look at their hands .\n"
    "1.jpg| 1| Two young , White males are outside .\n"
    "2.jpg| 0   A dog runs across the grass .\n"
    "3.jpg| 0| A girl .\n"
)


@pytest.fixture
def flickr30k(tmp_path):
    root = tmp_path / "flickr30k"
    for number in (1, 2, 3):
        paint(root / "flickr30k-images" / f"{number}.jpg")
    for name, number in (("train", 1), ("val", 2), ("test", 3)):
        (root / f"{name}.txt").write_text(f"{number}\n")
    (root / "results_20130124.token").write_text(TOKENS, encoding="utf-8")
    return root


def test_flickr30k_is_read_with_the_lists_of_its_splits(flickr30k):
    (image,) = read_split(flickr30k, Split.TRAIN)
    assert image.path == flickr30k / "flickr30k-images" / "1.jpg"
    assert len(image.sentences) == 2
    assert image.sentences[1] == ("two", "young", "white", "males", "are", "outside")
    assert inspect(flickr30k).pictures == dict.fromkeys(Split, 1)


def test_captions_of_flickr30k_without_a_split_or_a_picture_are_told_and_no_error(flickr30k):
    assert inspect(flickr30k).unshown == ()
    for name in ("results_20130124.token", "results.csv"):
        file = flickr30k / name
        with file.open("a", encoding="utf-8") as lines:
            lines.write("4.jpg#0\tNobody .\n" if name.endswith("token") else TABLE)
            lines.write("" if name.endswith("token") else "4.jpg| 0| Nobody .\n")
        assert inspect(flickr30k).lines()[-1] == "captions of pictures that are in no split: 4.jpg"
        file.unlink()


def test_results_csv_says_the_same_its_famous_broken_line_included(flickr30k):
    wanted = {split: read_split(flickr30k, split) for split in Split}
    (flickr30k / "results_20130124.token").unlink()
    (flickr30k / "results.csv").write_text(TABLE, encoding="utf-8")
    assert {split: read_split(flickr30k, split) for split in Split} == wanted


def test_karpathys_splits_serve_where_there_are_no_lists(flickr30k):
    for file in flickr30k.glob("*.txt"):
        file.unlink()
    splits = {"3.jpg": "train", "1.jpg": "val", "2.jpg": "test"}
    entries = [{"filename": n, "split": s, "sentences": []} for n, s in splits.items()]
    (flickr30k / "dataset_flickr30k.json").write_text(json.dumps({"images": entries}))
    assert [image.name for image in read_split(flickr30k, Split.TRAIN)] == ["3.jpg"]
    assert [image.name for image in read_split(flickr30k, Split.DEV)] == ["1.jpg"]


def test_faults_of_flickr30k_are_named(flickr30k):
    (flickr30k / "flickr30k-images" / "2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"missing pictures in .*: 2\.jpg"):
        inspect(flickr30k)
    (flickr30k / "train.txt").write_text("1\n4\n")
    with pytest.raises(DatasetError, match=r"missing pictures in .*: 4\.jpg"):
        inspect(flickr30k)
    (flickr30k / "val.txt").unlink()
    with pytest.raises(DatasetError, match="expected all of"):
        inspect(flickr30k)
    (flickr30k / "results_20130124.token").rename(flickr30k / "results.csv")
    with pytest.raises(DatasetError, match=r"results\.csv, line 1: .* is not NAME\| K\| sentence"):
        inspect(flickr30k)
