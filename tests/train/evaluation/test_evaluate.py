"""The figures of `eval` against the tiny model computed by hand in numpy."""

import dataclasses
from itertools import pairwise

import dataset
import numpy as np
import pytest
import tiny

from mrnn_edge.errors import FileError
from mrnn_edge.image.read import read_pixels
from mrnn_edge.options import DecodeOptions
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.datasets import read_sentences, read_split
from mrnn_edge_train.evaluation.evaluate import evaluate, image_vectors
from mrnn_edge_train.evaluation.retrieval import evaluate_retrieval


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=4, dev=30, test=2)


def measure(captioner, images, known, options):
    vectors = image_vectors(captioner, images)
    return evaluate(captioner, images, vectors, known, options, meteor=False)


def test_perplexity_is_over_all_words_and_end_signs_of_all_references(captioner, data):
    images = read_split(data, Split.DEV)
    found = measure(captioner, images, frozenset(), DecodeOptions(max_words=4))
    network, vocabulary = tiny.TinyNetwork(), tiny.vocabulary()
    bits, positions = 0.0, 0
    for image in images:
        vector = network.encode(read_pixels(image.path, captioner.config.image)[None])
        for sentence in image.sentences:
            state, last = np.zeros((1, tiny.STATE)), vocabulary.start
            for token in [*vocabulary.encode(sentence), vocabulary.end]:
                log_probs, state = network.step(np.array([last]), state, vector)
                bits -= log_probs[0, token] / np.log(2)
                positions += 1
                last = token
    # Five sentences of 3, 4, 4, 6 and 1 words.
    assert positions == 30 * (3 + 4 + 4 + 6 + 1 + 5)
    assert found.perplexity == pytest.approx(2 ** (bits / positions), rel=1e-4)


def test_the_captions_are_the_captioners_and_their_figures_are_counted_by_hand(captioner, data):
    images = read_split(data, Split.DEV)
    options = DecodeOptions(beam=2, max_words=4)
    texts = [captioner.caption(image.path, beam=2, max_words=4).text for image in images]
    known = frozenset({tuple(texts[0].split())})
    found = measure(captioner, images, known, options)
    assert found.captions == tuple(zip((i.name for i in images), texts, strict=True))
    assert found.images == 30
    assert found.novel == sum(text != texts[0] for text in texts) / 30
    assert found.vocabulary_used == len({word for text in texts for word in text.split()})
    assert found.mean_words == sum(len(text.split()) for text in texts) / 30
    pairs = [pair for text in texts for pair in pairwise(text.split())]
    assert found.distinct[1] == len(set(pairs)) / len(pairs)
    # The tiny model says more than one thing, and says things twice.
    assert 0.0 < found.distinct[0] < found.distinct[1] < found.distinct[2] <= 1.0


def test_every_picture_is_read_and_encoded_once(captioner, data, monkeypatch):
    images = read_split(data, Split.DEV)
    expected = np.stack([captioner.encode(image.path) for image in images])
    reads, encoder = [], captioner.graphs.encoder
    read = type(captioner).read

    def noted(self, image, **wishes):
        reads.append(image)
        return read(self, image, **wishes)

    rows = []

    def counted(pixels):
        rows.append(len(pixels))
        return encoder(pixels)

    monkeypatch.setattr(type(captioner), "read", noted)
    graphs = dataclasses.replace(captioner.graphs, encoder=counted)
    monkeypatch.setattr(captioner, "graphs", graphs)
    vectors = image_vectors(captioner, images)
    options = DecodeOptions(max_words=4)
    evaluate(captioner, images, vectors, frozenset(), options, meteor=False)
    evaluate_retrieval(captioner, images, vectors, ["a dog"] * 30)
    assert reads == [image.path for image in images]
    assert sum(rows) == 30
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_picture_that_cannot_be_read_stops_the_evaluation(captioner, data):
    images = read_split(data, Split.DEV)
    images[7].path.unlink()
    with pytest.raises(FileError, match=r"dev7\.png"):
        image_vectors(captioner, images)


def test_the_training_sentences_are_had_without_their_pictures(data):
    for path in (data / "images").glob("train*"):
        path.unlink()
    sentences = read_sentences(data, Split.TRAIN)
    assert ("a", "red", "wall") in sentences
    assert len(sentences) == 15
