import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from mrnn_edge.errors import DatasetError, OptionError
from mrnn_edge.vocab import build_vocabulary
from mrnn_edge_train.data import everyday
from mrnn_edge_train.data.common import CaptionedImage, Split
from mrnn_edge_train.data.datasets import read_split
from mrnn_edge_train.data.everyday import NamedImage
from mrnn_edge_train.data.kinds import alike, image_classes, names_it, words_for
from mrnn_edge_train.data.mixture import mixture_vocabulary, parse_source, read_mixture
from mrnn_edge_train.data.weak import weak_pairs
from mrnn_edge_train.evaluation.naming import naming
from mrnn_edge_train.stages.batches import Examples
from mrnn_edge_train.stages.features import FeatureTable


def _named(name: str, *names: str, source: str = "grocery") -> NamedImage:
    return NamedImage(path=Path(name), names=names, source=source)


CAT = _named("imagenet_n02123597_siamese_cat.webp", "siamese cat", source="imagenet")


@pytest.fixture
def folder(tmp_path):
    """Two training pictures with three sentences, one of dev, one named, four sentences alone."""
    root = tmp_path / "everyday"
    (root / "images").mkdir(parents=True)
    rows = [
        ("a.webp", ["A cat, on a bed.", "the cat"], "train"),
        ("b.webp", ["a red cup"], "train"),
        ("c.webp", ["a dog"], "dev"),
    ]
    for name, _, _ in rows:
        (root / "images" / name).write_bytes(b"never decoded here")
    (root / "captions.jsonl").write_text(
        "".join(
            json.dumps({"file": f"images/{name}", "captions": said, "split": split, "source": "x"})
            + "\n"
            for name, said, split in rows
        )
    )
    (root / "named.jsonl").write_text(
        json.dumps({"file": "images/n.webp", "names": ["golden delicious"], "source": "ade20k"})
    )
    with gzip.open(root / "sentences.tsv.gz", "wt") as stream:
        stream.write("coco\ta cat sleeps\ncoco\ta dog sleeps\ncoco\tan apple\nx\ta zebra\n")
    return root


def test_a_picture_of_the_everyday_set_has_all_its_sentences(folder):
    first, second = read_split(folder, Split.TRAIN)
    assert first.sentences == (("a", "cat", "on", "a", "bed"), ("the", "cat"))
    assert second.path == folder / "images" / "b.webp"
    assert [image.name for image in read_split(folder, Split.DEV)] == ["c.webp"]


def test_a_line_of_another_form_is_named(folder):
    with (folder / "captions.jsonl").open("a") as stream:
        stream.write('{"file": "d.webp", "captions": [], "split": "train"}\n')
    with pytest.raises(DatasetError, match=r"captions\.jsonl, line 4: captions is \[\]"):
        read_split(folder, Split.TRAIN)
    (folder / "sentences.tsv.gz").write_bytes(gzip.compress(b"coco\tfine\nno tab\n"))
    with pytest.raises(DatasetError, match="line 2"):
        everyday.read_sentences(folder / "sentences.tsv.gz")


def test_a_mixture_has_pairs_by_weight_and_what_is_there_alone(folder):
    sources = [
        parse_source(f"{folder}=2.5"),
        parse_source(f"{folder}/named.jsonl"),
        parse_source(f"{folder}/sentences.tsv.gz"),
    ]
    mixture = read_mixture(sources)
    assert mixture.weights == (2.5, 2.5)
    assert list(mixture.dev) == ["everyday"]
    assert len(mixture.sentences) == 4
    assert [words_for(image) for image in mixture.named] == [("apple", "apples", "fruit")]


def test_names_and_frequent_words_of_sentences_alone_are_known_words(folder):
    sources = [folder, folder / "named.jsonl", folder / "sentences.tsv.gz"]
    mixture = read_mixture([parse_source(str(path)) for path in sources])
    words = mixture_vocabulary(mixture, minimum_count=2).words
    # "apple" is a name and stands in a sentence, "zebra" is ImageNet's; "sleeps" comes too seldom.
    assert {"cat", "apple", "zebra"} <= set(words)
    assert not {"sleeps", "red"} & set(words)


def test_a_weight_that_is_none_is_refused():
    assert parse_source("a/b").weight == 1.0
    for text in ("a=", "a=x", "a=0", "a=nan"):
        with pytest.raises(OptionError, match="the weight is"):
            parse_source(text)


def test_without_pairs_there_is_no_mixture(folder):
    with pytest.raises(OptionError, match="none of --data has pictures with sentences"):
        read_mixture([parse_source(f"{folder}/named.jsonl")])


def test_pictures_of_single_things_are_kept_aside_by_their_names_alone():
    many = tuple(_named(f"{number}.webp", "leek") for number in range(300))
    rooms = tuple(_named(f"room{number}.webp", "wall", source="ade20k") for number in range(50))
    aside = everyday.held_out((*many, *rooms))
    assert len(aside) == everyday.HELD_OUT
    assert everyday.held_out((*rooms, *many[::-1])) == aside[::-1]
    assert not set(rooms) & set(aside)


def test_a_siamese_cat_is_a_cat_and_an_animal():
    assert words_for(CAT) == ("cat", "animal")
    assert words_for(_named("p.webp", "red bell pepper")) == ("pepper", "peppers", "vegetable")
    room = _named("r.webp", "wall", "armchair", "door", source="ade20k")
    assert words_for(room) == ("chair", "door")


def test_every_class_of_imagenet_has_words_in_the_order_of_its_numbers():
    classes = image_classes()
    assert len(classes) == 1000
    assert [each.wordnet for each in classes] == sorted(each.wordnet for each in classes)
    assert all(word.isalnum() for each in classes for word in each.words)
    assert all(each.words for each in classes)
    assert (classes[281].name, classes[504].name) == ("tabby", "coffee mug")


def test_a_plural_names_a_thing_and_a_wide_kind_does_not():
    assert alike("strawberries", "strawberry")
    assert alike("boxes", "box")
    assert alike("glasses", "glass")
    assert not alike("bus", "bush")
    assert names_it([["two", "cats"]], words_for(CAT))
    assert not names_it([["an", "animal"]], words_for(CAT))


def test_naming_looks_at_three_captions_and_no_more():
    dog, cat = ["a", "dog"], ["a", "cat"]
    found = naming([CAT, CAT, CAT], [[cat], [dog, dog, cat], [dog, dog, dog, cat]])
    assert (found.named, found.first) == (2 / 3, 1 / 3)


def test_a_named_picture_is_lent_sentences_whose_subject_it_is():
    said = [
        ("two", "cats", "asleep"),
        ("a", "man", "with", "a", "cat"),
        ("a", "bed", "under", "a", "cat"),
        ("a", "cat", "and", "a", "dog"),
    ]
    (pair,) = weak_pairs([CAT], said, count=3, seed=1)
    assert pair.path == CAT.path
    assert pair.sentences == (("a", "close", "up", "of", "a", "cat"), ("two", "cats", "asleep"))


def test_a_thing_of_which_nobody_speaks_is_lent_nothing():
    assert weak_pairs([CAT], [("a", "dog")], count=3, seed=1) == ()


def test_sentences_come_as_often_as_their_pictures_weigh():
    images = [CaptionedImage(path=Path(f"{n}"), sentences=((str(n),),)) for n in range(40)]
    table = FeatureTable(
        names=tuple(image.name for image in images),
        features=np.arange(40, dtype=np.float32)[:, None],
        mirrored=None,
    )
    vocabulary = build_vocabulary([image.sentences[0] for image in images], minimum_count=1)
    examples = Examples(images, table, vocabulary, repeats=[2.0] * 10 + [0.5] * 20 + [0.0] * 10)
    seen = Counter(
        torch.cat([b.features[:, 0] for b in examples.epoch(size=7, seed=1, epoch=1)]).tolist()
    )
    assert examples.drawn == seen.total() == 30
    assert all(seen[row] == 2 for row in range(10))
    assert sum(seen[row] for row in range(10, 30)) == 10
    assert max(seen[row] for row in range(10, 30)) == 1
