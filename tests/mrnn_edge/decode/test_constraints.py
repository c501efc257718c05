"""Prefix, forbidden, required and repeated words in the search, against exhaustive search."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from walk import END, SPACE, START, UNKNOWN, TableStep, all_sentences, images

from mrnn_edge.decode.beam import beam_search
from mrnn_edge.decode.constraints import Constraints

WORDS = (3, 4, 5)
SPACE_OF_4 = dataclasses.replace(SPACE, banned=())


def best_of(truth: dict, allowed) -> list[tuple[int, ...]]:
    return sorted((t for t in truth if allowed(t)), key=lambda tokens: -truth[tokens])


def search(seed: int, constraints: Constraints, *, width: int = 200, max_words: int = 3):
    (found,) = beam_search(
        TableStep(seed),
        images(seed, 1),
        SPACE,
        width=width,
        max_words=max_words,
        constraints=constraints,
    )
    return [hypothesis.tokens for hypothesis in found]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("required", [(3,), (4, 5), (5, 3, 4)])
def test_required_words_give_the_sentences_of_the_space_that_hold_them_all(seed, required):
    truth = all_sentences(TableStep(seed), images(seed, 1)[0], max_words=3)
    expected = best_of(truth, lambda tokens: set(required) <= set(tokens))
    assert search(seed, Constraints(required=required)) == expected


def test_a_required_word_that_cannot_come_gives_no_sentence():
    table = TableStep(0)

    def never(token, state, image):
        log_probs, state = table(token, state, image)
        log_probs = log_probs.copy()
        log_probs[:, 4] = -np.inf
        return log_probs, state

    wishes = Constraints(required=(3, 4))
    (found,) = beam_search(never, images(0, 1), SPACE, width=200, max_words=3, constraints=wishes)
    assert found == []


def sequel(table: np.ndarray):
    """A step function of [last word, next word]."""

    def step(token, state, image):
        return table[token].astype(np.float32), state

    return step


def test_a_sentence_competes_for_a_required_word_with_all_that_it_has_lost():
    table = np.full((6, 6), -np.inf)
    table[START, [3, 5]] = -1, -5
    table[3, 5], table[5, 4] = -4.5, -0.1
    wishes = Constraints(required=(5,))
    (found,) = beam_search(
        sequel(table), images(0, 1), SPACE, width=1, max_words=2, constraints=wishes
    )
    # After 3 the required 5 is likelier than at first, but 3 has lost more than the difference.
    assert [h.tokens for h in found] == [(5, 4)]


def test_an_impossible_prefix_holds_no_required_word_either():
    table = np.full((6, 6), -1.0)
    table[START, 3] = -np.inf
    wishes = Constraints(prefix=(3,), required=(4, 5))
    for max_words in (3, 4):
        (found,) = beam_search(
            sequel(table), images(0, 1), SPACE, width=4, max_words=max_words, constraints=wishes
        )
        assert found == []


@pytest.mark.parametrize("seed", range(5))
def test_forbidden_words_give_the_sentences_of_the_space_without_them(seed):
    truth = all_sentences(TableStep(seed), images(seed, 1)[0], max_words=3)
    expected = best_of(truth, lambda tokens: not {3, 5} & set(tokens))
    assert search(seed, Constraints(forbidden=(3, 5))) == expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prefix", [(4,), (5, 3), (3, 3, 3)])
def test_a_prefix_gives_the_sentences_of_the_space_that_begin_so(seed, prefix):
    truth = all_sentences(TableStep(seed), images(seed, 1)[0], max_words=3)
    expected = best_of(truth, lambda tokens: tokens[: len(prefix)] == prefix)
    assert search(seed, Constraints(prefix=prefix)) == expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 2])
def test_no_repeat_gives_the_sentences_of_the_space_without_an_ngram_said_twice(seed, size):
    def fresh(tokens):
        ngrams = list(zip(*(tokens[at:] for at in range(size)), strict=False))
        return len(set(ngrams)) == len(ngrams)

    truth = all_sentences(TableStep(seed), images(seed, 1)[0], max_words=4)
    expected = best_of(truth, fresh)
    assert search(seed, Constraints(no_repeat_ngram=size), width=400, max_words=4) == expected


def test_a_required_word_in_the_prefix_has_been_said():
    with_prefix = search(2, Constraints(prefix=(3,), required=(3,)))
    assert with_prefix == search(2, Constraints(prefix=(3,)))


def test_a_prefix_may_hold_what_is_forbidden_or_unknown():
    found = search(1, Constraints(prefix=(UNKNOWN, 4), forbidden=(4,)))
    assert {tokens[:2] for tokens in found} == {(UNKNOWN, 4)}
    assert not any(4 in tokens[2:] for tokens in found)


@given(
    seed=st.integers(0, 30),
    width=st.integers(1, 4),
    required=st.sets(st.sampled_from(WORDS), max_size=3),
)
def test_a_narrow_beam_keeps_its_promises(seed, width, required):
    constraints = Constraints(required=tuple(sorted(required)))
    step, vectors = TableStep(seed), images(seed, 3)
    for vector, found in zip(
        vectors,
        beam_search(step, vectors, SPACE, width=width, max_words=5, constraints=constraints),
        strict=True,
    ):
        assert 1 <= len(found) <= width
        for hypothesis in found:
            assert required <= set(hypothesis.tokens)
            assert hypothesis.ended or len(hypothesis.tokens) == 5
        (alone,) = beam_search(
            TableStep(seed), vector[None], SPACE, width=width, max_words=5, constraints=constraints
        )
        assert [h.tokens for h in alone] == [h.tokens for h in found]


def test_more_required_words_than_a_sentence_has_room_for_give_none():
    assert search(0, Constraints(required=(3, 4, 5)), max_words=2) == []


def test_an_unlikely_required_word_is_found_by_a_beam_of_one():
    def step(token, state, image):
        log_probs = np.full((len(token), 6), -30.0, np.float32)
        log_probs[:, 3] = -0.01
        return log_probs, state

    (found,) = beam_search(
        step, images(0, 1), SPACE, width=1, max_words=4, constraints=Constraints(required=(5,))
    )
    assert [5 in hypothesis.tokens for hypothesis in found] == [True]


def test_a_prefix_is_scored_and_keeps_its_states():
    step, (vector,) = TableStep(3), images(3, 1)
    (found,) = beam_search(
        step, vector[None], SPACE, width=2, max_words=5, constraints=Constraints(prefix=(4, 3))
    )
    for hypothesis in found:
        state, last = np.zeros((1, 3), np.float32), START
        said = [*hypothesis.tokens, *([END] if hypothesis.ended else [])]
        for position, token in enumerate(said):
            np.testing.assert_allclose(hypothesis.states[position], state[0], atol=1e-5)
            log_probs, state = step(np.array([last]), state, vector[None])
            assert hypothesis.log_probs[position] == pytest.approx(log_probs[0, token], abs=1e-5)
            last = token


@pytest.mark.parametrize("seed", range(5))
def test_a_conjunction_never_has_one_word_on_both_sides(seed):
    joined = WORDS[1]

    def differ(tokens):
        triples = zip(tokens, tokens[1:], tokens[2:], strict=False)
        return all(middle != joined or left != right for left, middle, right in triples)

    truth = all_sentences(TableStep(seed), images(seed, 1)[0], max_words=4)
    expected = best_of(truth, differ)
    assert len(expected) < len(truth)
    space = dataclasses.replace(SPACE, conjunction=joined)
    (found,) = beam_search(
        TableStep(seed), images(seed, 1), space, width=400, max_words=4,
        constraints=Constraints(no_repeat_ngram=4),
    )  # fmt: skip
    assert [hypothesis.tokens for hypothesis in found] == expected


@given(st.lists(st.integers(0, 3), max_size=8))
def test_a_content_word_comes_once_and_other_words_again(tokens):
    scores = np.zeros((1, 4))
    space = dataclasses.replace(SPACE_OF_4, content=frozenset((2, 3)))
    Constraints(no_repeat_ngram=9).rule_out(scores, [tuple(tokens)], space)
    assert set(np.flatnonzero(scores[0] == -np.inf)) == {2, 3} & set(tokens)


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(1, 4))
def test_the_words_ruled_out_are_those_that_would_repeat_an_ngram(tokens, size):
    scores = np.zeros((1, 4))
    Constraints(no_repeat_ngram=size).rule_out(scores, [tuple(tokens)], SPACE_OF_4)
    ngrams = {tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1)}
    for word in range(4):
        said_again = tuple([*tokens, word][-size:]) in ngrams and len(tokens) >= size - 1
        assert (scores[0, word] == -np.inf) == said_again


def test_the_space_of_the_oracle_is_the_whole_space():
    truth = all_sentences(TableStep(0), images(0, 1)[0], max_words=3)
    assert set(truth) == {t for n in range(4) for t in itertools.product(WORDS, repeat=n)}
