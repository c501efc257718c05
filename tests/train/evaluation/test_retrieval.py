"""Recalls and ranks against the tiny model computed by hand in numpy, pair by pair."""

import dataset
import numpy as np
import pytest
import tiny

from mrnn_edge.image.read import read_pixels
from mrnn_edge.options import Prior
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.flickr8k import read_split
from mrnn_edge_train.evaluation.evaluate import image_vectors
from mrnn_edge_train.evaluation.retrieval import evaluate_retrieval

CAPTIONS = ("a dog", "red wall", "a bright sky", "a dog", "wall", "blue", "green sky", "a", "dog")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = dataset.write(tmp_path_factory.mktemp("data") / "set", train=3, dev=9, test=2)
    return read_split(folder, Split.DEV)


@pytest.fixture(scope="module")
def found(captioner, images):
    return evaluate_retrieval(captioner, images, image_vectors(captioner, images), CAPTIONS)


def log2(vector: np.ndarray, words) -> float:
    network, vocabulary = tiny.TinyNetwork(), tiny.vocabulary()
    state, last, total = np.zeros((1, tiny.STATE)), vocabulary.start, 0.0
    for token in [*vocabulary.encode(words), vocabulary.end]:
        log_probs, state = network.step(np.array([last]), state, vector[None])
        total += float(log_probs[0, token]) / np.log(2)
        last = token
    return total


def vectors_by_hand(captioner, images) -> list[np.ndarray]:
    spec = captioner.config.image
    return [tiny.TinyNetwork().encode(read_pixels(image.path, spec)[None])[0] for image in images]


def prior_by_hand(words, kind: Prior) -> float:
    prior = tiny.prior()
    if kind is Prior.NONE:
        return 0.0
    if kind is Prior.MEAN:
        return log2(prior.mean, words)
    terms = [2 ** log2(centre, words) for centre in prior.centres]
    return float(np.log2(np.dot(terms, prior.weights)))


def figures(ranks: list[int]) -> tuple[float, float, float, float]:
    shares = [sum(rank <= limit for rank in ranks) / len(ranks) for limit in (1, 5, 10)]
    return (*shares, float(np.median(ranks)))


def as_figures(recall) -> tuple[float, float, float, float]:
    return recall.r1, recall.r5, recall.r10, recall.median_rank


def test_pictures_rank_for_sentences_as_by_hand(captioner, images, found):
    vectors = vectors_by_hand(captioner, images)
    ranks = []
    for row, image in enumerate(images):
        for words in image.sentences:
            scores = [log2(vector, words) for vector in vectors]
            ranks.append(1 + sum(score > scores[row] for score in scores))
    assert as_figures(found.sentence_to_image) == pytest.approx(figures(ranks))
    assert found.sentences == 45
    # The tiny model tells the pictures apart: the figures are not those of chance or perfection.
    assert 0.0 < found.sentence_to_image.r1 < 1.0


@pytest.mark.parametrize("kind", list(Prior))
def test_sentences_rank_for_pictures_as_by_hand_under_each_prior(captioner, images, found, kind):
    texts = [(row, words) for row, image in enumerate(images) for words in image.sentences]
    priors = [prior_by_hand(words, kind) for _, words in texts]
    ranks = []
    for row, vector in enumerate(vectors_by_hand(captioner, images)):
        worth = [log2(vector, words) - p for (_, words), p in zip(texts, priors, strict=True)]
        best = max(w for w, (owner, _) in zip(worth, texts, strict=True) if owner == row)
        # Another picture's sentence that reads the same counts as better.
        others = [w for w, (owner, _) in zip(worth, texts, strict=True) if owner != row]
        ranks.append(1 + sum(w >= best - 1e-9 for w in others))
    assert as_figures(found.image_to_sentence[kind]) == pytest.approx(figures(ranks))


def test_the_share_of_captions_that_are_likelier_for_their_own_picture_is_counted(
    captioner, images, found
):
    vectors = vectors_by_hand(captioner, images)
    right = total = 0
    for row, caption in enumerate(CAPTIONS):
        own = log2(vectors[row], caption.split())
        for other, vector in enumerate(vectors):
            if other != row:
                right += own > log2(vector, caption.split())
                total += 1
    assert found.right_picture == pytest.approx(right / total)


def test_the_record_has_the_fields_of_the_contract(found):
    record = found.to_record()
    for direction in ("image_to_sentence", "sentence_to_image"):
        assert set(record[direction]) == {"r1", "r5", "r10", "median_rank"}
    assert record["image_to_sentence"] == record["image_to_sentence_by_prior"]["train"]
    assert set(record["image_to_sentence_by_prior"]) == {"none", "mean", "train"}
