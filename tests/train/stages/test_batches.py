import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mrnn_edge.vocab import build_vocabulary
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.stages.batches import Examples
from mrnn_edge_train.stages.features import FeatureTable

SENTENCES = [
    ("a dog runs", "a dog"),
    ("the dog on the left sees a dog", "dog"),
    ("a cat", "a cat sits here"),
]
IMAGES = [
    CaptionedImage(path=Path(f"{n}.jpg"), sentences=tuple(tuple(s.split()) for s in group))
    for n, group in enumerate(SENTENCES)
]
VOCABULARY = build_vocabulary(
    (words for image in IMAGES for words in image.sentences), minimum_count=1
)
# The vector of picture n is (n, 0), that of its mirror image (n, 1).
TABLE = FeatureTable(
    names=tuple(image.name for image in IMAGES),
    features=np.array([[n, 0] for n in range(3)], np.float32),
    mirrored=np.array([[n, 1] for n in range(3)], np.float32),
)


def sentences(batch):
    """What a batch says: (picture, mirrored, words that are fed, words that are predicted)."""
    rows, targets = [], batch.targets.tolist()
    for inputs, mask, features in zip(batch.inputs, batch.mask, batch.features, strict=True):
        count = int(mask.sum())
        rows.append(
            (
                int(features[0]),
                bool(features[1]),
                VOCABULARY.decode(inputs[:count].tolist()),
                VOCABULARY.decode(targets[:count]),
            )
        )
        targets = targets[count:]
    assert targets == []
    return rows


def test_words_are_fed_behind_the_start_sign_and_predicted_up_to_the_end_sign():
    examples = Examples(IMAGES, TABLE, VOCABULARY)
    (batch,) = examples.in_order(size=10)
    expected = [
        (n, False, ("<start>", *words.split()), (*words.split(), "<end>"))
        for n, group in enumerate(SENTENCES)
        for words in group
    ]
    assert sentences(batch) == expected


@pytest.mark.parametrize("size", [1, 2, 4, 10])
def test_an_epoch_holds_every_sentence_once(size):
    examples = Examples(IMAGES, TABLE, VOCABULARY)
    batches = list(examples.epoch(size=size, seed=1, epoch=1))
    assert all(len(batch.inputs) <= size for batch in batches)
    seen = sorted(row[2] for batch in batches for row in sentences(batch))
    assert seen == sorted(("<start>", *w.split()) for group in SENTENCES for w in group)


def test_the_same_seed_and_epoch_deal_the_same_batches_and_others_do_not():
    examples = Examples(IMAGES, TABLE, VOCABULARY)

    def dealt(seed, epoch):
        return [sentences(b) for b in examples.epoch(size=2, seed=seed, epoch=epoch)]

    assert dealt(1, 1) == dealt(1, 1)
    assert dealt(1, 1) != dealt(1, 2)
    assert dealt(1, 1) != dealt(2, 1)


def test_mirror_images_come_for_half_but_never_where_left_or_right_is_said():
    examples = Examples(IMAGES, TABLE, VOCABULARY)
    mirrored = {True: 0, False: 0}
    for epoch in range(100):
        for batch in examples.epoch(size=4, seed=0, epoch=epoch):
            for _, mirror, words, _ in sentences(batch):
                if "left" in words:
                    assert not mirror
                else:
                    mirrored[mirror] += 1
    assert 0.4 < mirrored[True] / 500 < 0.6


def test_a_table_without_mirror_images_gives_the_pictures_alone():
    examples = Examples(IMAGES, dataclasses.replace(TABLE, mirrored=None), VOCABULARY)
    for batch in examples.epoch(size=4, seed=0, epoch=0):
        assert not batch.features[:, 1].any()
