import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.decode.beam import beam_search
from mrnn_edge.decode.cross import cross_log_probs, log_mean_exp, sentence_log_probs
from mrnn_edge.decode.hypotheses import SearchSpace
from mrnn_edge.decode.score import path_log_probs
from mrnn_edge.errors import NumericalError

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


ID_LISTS = st.lists(st.integers(2, len(tiny.vocabulary()) - 1), max_size=5)


@given(st.lists(ID_LISTS, max_size=12), st.integers(0, 5), st.integers(1, 3))
def test_all_sentences_for_all_images_score_as_each_pair_by_hand(sentences, count, threads):
    network = tiny.TinyNetwork()
    images = np.random.default_rng(1).normal(0, 1, (count, tiny.IMAGE)).astype(np.float32)
    found = cross_log_probs(network.step, images, sentences, SPACE, threads=threads)
    assert found.shape == (count, len(sentences))
    for row, image in enumerate(images):
        for column, sentence in enumerate(sentences):
            expected = sum(by_hand(network, image, sentence))
            assert found[row, column] == pytest.approx(expected, abs=1e-4)


def test_more_images_than_a_call_takes_score_as_each_alone():
    network = tiny.TinyNetwork()
    images = np.random.default_rng(2).normal(0, 1, (1100, tiny.IMAGE)).astype(np.float32)
    sentences = [[3, 4], [3, 5, 6], []]
    found = cross_log_probs(network.step, images, sentences, SPACE, threads=2)
    for row in (0, 511, 512, 1023, 1024, 1099):
        expected = [sum(by_hand(network, images[row], sentence)) for sentence in sentences]
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_a_beginning_that_sentences_share_is_run_once_for_all_of_them():
    network, rows = tiny.TinyNetwork(), 0

    def step(token, state, image):
        nonlocal rows
        rows += len(token)
        return network.step(token, state, image)

    images = np.zeros((3, tiny.IMAGE), np.float32)
    cross_log_probs(step, images, [[3, 4, 5], [3, 4, 6], [3, 4, 5], [3]], SPACE)
    # The beginnings: nothing, 3, 3 4, 3 4 5, 3 4 6.
    assert rows == 5 * 3


def test_equal_sentences_tie_exactly_wherever_they_stand():
    network = tiny.TinyNetwork()
    images = np.random.default_rng(3).normal(0, 1, (2, tiny.IMAGE)).astype(np.float32)
    found = cross_log_probs(network.step, images, [[3, 4], [5], [3, 4], [7, 3, 4]], SPACE)
    assert (found[:, 0] == found[:, 2]).all()


def test_numbers_that_are_none_are_refused_not_ranked():
    def step(token, state, image):
        return np.full((len(token), 12), np.nan, np.float32), state

    with pytest.raises(NumericalError, match="not finite"):
        cross_log_probs(step, np.zeros((1, tiny.IMAGE), np.float32), [[3]], SPACE)


@pytest.mark.parametrize("max_words", [1, 3, 8])
def test_decoded_sentences_score_for_another_image_as_by_hand(max_words):
    network = tiny.TinyNetwork(seed=1)
    images = np.random.default_rng(4).normal(0, 1, (6, tiny.IMAGE)).astype(np.float32)
    other = np.random.default_rng(5).normal(0, 1, tiny.IMAGE).astype(np.float32)
    found = beam_search(network.step, images, SPACE, width=3, max_words=max_words)
    paths = [path for hypotheses in found for path in hypotheses]
    assert {path.ended for path in paths} == {False, True}
    for path, scored in zip(paths, path_log_probs(network.step, other, paths, SPACE), strict=True):
        expected = by_hand(network, other, list(path.tokens))
        np.testing.assert_allclose(scored, expected if path.ended else expected[:-1], atol=1e-4)


def test_the_mean_of_probabilities_is_taken_of_probabilities_not_of_their_logs():
    log_probs = np.log(np.array([[0.1, 1e-200], [0.3, 1e-100]]))
    weights = np.array([0.25, 0.75], np.float32)
    np.testing.assert_allclose(log_mean_exp(log_probs, weights), np.log([0.25, 7.5e-101]))
