import numpy as np
import pytest
import tiny

from mrnn_edge.decode import SearchSpace
from mrnn_edge.score import sentence_log_probs

SPACE = SearchSpace(start=0, end=1, banned=(0, 2), state=tiny.STATE)


def by_hand(network: tiny.TinyNetwork, image: np.ndarray, sentence: list[int]) -> list[float]:
    state, last, found = np.zeros((1, tiny.STATE)), 0, []
    for token in [*sentence, SPACE.end]:
        log_probs, state = network.step(np.array([last]), state, image[None])
        found.append(log_probs[0, token])
        last = token
    return found


def test_sentences_of_all_lengths_score_as_word_for_word_by_hand():
    network = tiny.TinyNetwork()
    images = np.random.default_rng(0).normal(0, 1, (5, tiny.IMAGE)).astype(np.float32)
    sentences = [[3, 4, 9], [], [11], [2, 3, 4, 5, 6, 7, 8], [3, 4, 9]]
    scored = sentence_log_probs(network.step, images, sentences, SPACE)
    for found, image, sentence in zip(scored, images, sentences, strict=True):
        np.testing.assert_allclose(found, by_hand(network, image, sentence), rtol=1e-5)


def test_no_sentences_give_no_scores():
    network = tiny.TinyNetwork()
    assert sentence_log_probs(network.step, np.zeros((0, tiny.IMAGE), np.float32), [], SPACE) == []


@pytest.mark.parametrize("image", range(3))
def test_the_probabilities_of_all_sentences_add_up_to_one_at_most(image):
    network = tiny.TinyNetwork(seed=image)
    vector = np.random.default_rng(image).normal(0, 1, tiny.IMAGE).astype(np.float32)
    words = [w for w in range(len(tiny.vocabulary())) if w != SPACE.end]
    sentences = [[], *([a] for a in words), *([a, b] for a in words for b in words)]
    images = np.repeat(vector[None], len(sentences), axis=0)
    scored = sentence_log_probs(network.step, images, sentences, SPACE)
    total = sum(np.exp(each.sum()) for each in scored)
    # What is missing to one is the mass of sentences of three words and more, found another way.
    longer = 0.0
    for pair in ([a, b] for a in words for b in words):
        prefix = by_hand(network, vector, pair)
        longer += np.exp(sum(prefix[:-1])) * (1 - np.exp(prefix[-1]))
    assert total + longer == pytest.approx(1.0, abs=1e-5)
