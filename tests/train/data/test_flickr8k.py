import dataset
import pytest

from mrnn_edge.errors import DatasetError
from mrnn_edge.vocab import build_vocabulary
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.datasets import read_split


def test_a_split_has_its_pictures_in_order_with_all_their_sentences(tmp_path):
    root = dataset.write(tmp_path / "set", train=4, dev=2, test=1)
    train = read_split(root, Split.TRAIN)
    assert [image.name for image in train] == [f"train{n}.png" for n in range(4)]
    assert train[1].sentences[0] == ("a", "green", "wall")
    assert all(len(image.sentences) == 5 for image in train)
    assert [image.name for image in read_split(root, Split.DEV)] == ["dev0.png", "dev1.png"]


def test_a_missing_picture_is_named(tmp_path):
    root = dataset.write(tmp_path / "set", train=4, dev=2, test=1)
    (root / "images" / "train2.png").unlink()
    with pytest.raises(DatasetError, match=r"missing pictures in .*images: train2\.png"):
        read_split(root, Split.TRAIN)


def test_a_picture_without_sentences_is_named(tmp_path):
    root = dataset.write(tmp_path / "set", train=4, dev=2, test=1)
    captions = root / "text" / "Flickr8k.token.txt"
    kept = [line for line in captions.read_text().splitlines() if not line.startswith("dev1")]
    captions.write_text("\n".join(kept))
    with pytest.raises(DatasetError, match=r"no sentence for: dev1\.png"):
        read_split(root, Split.DEV)


def test_a_line_that_is_no_caption_is_named_by_its_number(tmp_path):
    root = dataset.write(tmp_path / "set", train=1, dev=1, test=1)
    captions = root / "text" / "Flickr8k.token.txt"
    captions.write_text("train0.png#0\ta wall\nno tab here\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_split(root, Split.TRAIN)


def test_a_number_sign_in_a_name_and_odd_white_space_in_a_sentence_are_kept(tmp_path):
    root = dataset.write(tmp_path / "set", train=1, dev=1, test=1)
    (root / "images" / "train0.png").rename(root / "images" / "train#0.png")
    (root / "text" / "Flickr_8k.trainImages.txt").write_text("train#0.png\n")
    captions = root / "text" / "Flickr8k.token.txt"
    captions.write_text("train#0.png#0\ta\u2028wall\n", encoding="utf-8")
    (image,) = read_split(root, Split.TRAIN)
    assert image.sentences == (("a", "wall"),)


def test_an_empty_split_is_refused(tmp_path):
    root = dataset.write(tmp_path / "set", train=1, dev=1, test=0)
    with pytest.raises(DatasetError, match="the test list .* is empty"):
        read_split(root, Split.TEST)


def test_a_folder_that_is_no_data_set_is_told_the_layout(tmp_path):
    with pytest.raises(DatasetError, match="laid out like Flickr8K"):
        read_split(tmp_path, Split.TRAIN)


def test_the_real_splits_are_the_official_ones(flickr8k):
    splits = {split: read_split(flickr8k, split) for split in Split}
    assert [len(splits[split]) for split in Split] == [6000, 1000, 1000]
    names = [image.name for images in splits.values() for image in images]
    assert len(set(names)) == 8000
    assert all(len(image.sentences) == 5 for images in splits.values() for image in images)
    train = (words for image in splits[Split.TRAIN] for words in image.sentences)
    assert len(build_vocabulary(train, minimum_count=5)) == 2535 + 3
