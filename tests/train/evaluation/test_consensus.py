"""Re-ranking by the captions of near training pictures, against the coco-caption toolkit."""

import dataset
import numpy as np
import pytest
from pycocoevalcap.cider.cider_scorer import CiderScorer

from mrnn_edge.errors import OptionError
from mrnn_edge.options import DecodeOptions
from mrnn_edge_train.data.common import CaptionedImage, Split
from mrnn_edge_train.data.flickr8k import read_split
from mrnn_edge_train.evaluation.consensus import Consensus
from mrnn_edge_train.evaluation.evaluate import evaluate, image_vectors

WORDS = ("a", "dog", "runs", "on", "grass", "the", "red", "wall")


def sentence(random):
    return tuple(str(word) for word in random.choice(WORDS, random.integers(2, 9)))


@pytest.fixture
def images(tmp_path):
    random = np.random.default_rng(4)
    return tuple(
        CaptionedImage(
            path=tmp_path / f"{number}.png", sentences=tuple(sentence(random) for _ in range(3))
        )
        for number in range(20)
    )


def toolkits_cider(images, pairs):
    """CIDEr-D of candidates against one caption each, with the pictures' document frequencies."""
    counted = CiderScorer(n=4, sigma=6.0)
    for image in images:
        counted += ("", [" ".join(words) for words in image.sentences])
    counted.compute_doc_freq()
    found = []
    # The toolkit takes the number of pictures from what it scores: so many at a time.
    for at in range(0, len(pairs), len(images)):
        scorer = CiderScorer(n=4, sigma=6.0)
        for candidate, caption in pairs[at : at + len(images)]:
            scorer += (" ".join(candidate), [" ".join(caption)])
        assert len(scorer.crefs) == len(images)
        scorer.document_frequency = counted.document_frequency
        found += scorer.compute_cider()
    return np.array(found)


def test_the_choice_is_the_candidate_with_the_best_mean_of_its_best_similarities(images):
    random = np.random.default_rng(7)
    vectors = random.normal(0, 1, (20, 6)).astype(np.float32)
    consensus = Consensus(images, vectors, neighbours=4, similarities=5)
    chosen = []
    for _ in range(6):
        vector = random.normal(0, 1, 6).astype(np.float32)
        candidates = [sentence(random) for _ in range(5)]
        near = np.argsort(np.linalg.norm(vectors - vector, axis=1))[:4]
        assert consensus.nearest(vector) == near.tolist()
        captions = [caption for row in near for caption in images[row].sentences]
        pairs = [(candidate, caption) for candidate in candidates for caption in captions]
        similarities = toolkits_cider(images, pairs).reshape(5, len(captions))
        worth = np.sort(similarities, axis=1)[:, -5:].mean(axis=1)
        chosen.append(consensus.choose(vector, candidates))
        assert chosen[-1] == int(np.argmax(worth))
    assert len(set(chosen)) > 1


def test_similarities_are_those_of_the_nearest_pictures_the_nearest_first(images):
    vectors = np.random.default_rng(7).normal(0, 1, (20, 6)).astype(np.float32)
    consensus = Consensus(images, vectors, neighbours=4, similarities=1)
    candidates = [images[5].sentences[1], ("zebra",), *images[7].sentences]
    found = consensus.similarities(vectors[5], candidates)
    near = consensus.nearest(vectors[5])
    assert near[0] == 5
    captions = [caption for row in near for caption in images[row].sentences]
    pairs = [(candidate, caption) for candidate in candidates for caption in captions]
    expected = toolkits_cider(images, pairs).reshape(5, len(captions))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[0, 1] == found.max() == pytest.approx(10.0)


def test_of_equal_candidates_the_earlier_is_taken(images):
    vectors = np.random.default_rng(7).normal(0, 1, (20, 6)).astype(np.float32)
    consensus = Consensus(images, vectors, neighbours=4, similarities=5)
    assert consensus.choose(vectors[0], [("zebra",), ("yak",)]) == 0


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"neighbours": 21}, "neighbours is 21, expected 1 to 20"),
        ({"neighbours": 0}, "neighbours is 0, expected 1 to 20"),
        ({"similarities": 0}, "similarities is 0, expected 1 or more"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(images, wish, message):
    with pytest.raises(OptionError, match=message):
        Consensus(
            images, np.zeros((20, 2), np.float32), **{"neighbours": 3, "similarities": 3, **wish}
        )


def test_the_caption_is_the_chosen_one_of_the_n_best(captioner, tmp_path):
    images = read_split(dataset.write(tmp_path / "set", train=4, dev=8, test=2), Split.DEV)
    vectors = image_vectors(captioner, images)
    offered = []

    def last(vector, candidates):
        offered.append((vector, candidates))
        return len(candidates) - 1

    options = DecodeOptions(beam=2, nbest=4, max_words=4)
    found = evaluate(captioner, images, vectors, frozenset(), options, choose=last, meteor=False)
    plain = evaluate(captioner, images, vectors, frozenset(), options, meteor=False)
    for image, (vector, candidates), last_one, best in zip(
        images, offered, found.captions, plain.captions, strict=True
    ):
        caption = captioner.caption(image.path, beam=2, nbest=4, max_words=4)
        assert {" ".join(each) for each in candidates} == {
            each.caption for each in caption.alternatives
        }
        np.testing.assert_allclose(vector, captioner.encode(image.path), atol=1e-5)
        assert best[1] == caption.text == " ".join(candidates[0])
        assert last_one[1] == " ".join(candidates[-1]) != best[1]
    # What is said changes, what the model thinks of the references does not.
    assert found.perplexity == plain.perplexity
