"""Beam search against exhaustive search, greedy decoding by hand, and its promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from walk import END, SPACE, START, UNKNOWN, TableStep, all_sentences, images

from mrnn_edge.decode.beam import beam_search
from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.errors import NumericalError


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_a_beam_as_wide_as_the_space_finds_what_exhaustive_search_finds(seed, penalty):
    step, (image,) = TableStep(seed), images(seed, 1)
    truth = all_sentences(step, image, max_words=3)
    (found,) = beam_search(
        step, image[None], SPACE, width=len(truth), max_words=3, length_penalty=penalty
    )
    ranked = sorted(truth, key=lambda tokens: -truth[tokens] / (len(tokens) + 1) ** penalty)
    assert [hypothesis.tokens for hypothesis in found] == ranked
    for hypothesis in found:
        assert hypothesis.log_prob == pytest.approx(truth[hypothesis.tokens], abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_width_one_takes_the_likeliest_allowed_word_each_time(seed):
    step, (image,) = TableStep(seed), images(seed, 1)
    (found,) = beam_search(step, image[None], SPACE, width=1, max_words=6)
    tokens, state, last = [], np.zeros((1, 3), np.float32), START
    while len(tokens) < 6:
        log_probs, state = step(np.array([last]), state, image[None])
        row = log_probs[0].copy()
        row[[START, UNKNOWN]] = -np.inf
        last = int(row.argmax())
        if last == END:
            break
        tokens.append(last)
    assert [h.tokens for h in found] == [tuple(tokens)]
    assert found[0].ended == (len(tokens) < 6 or last == END)


@given(
    seed=st.integers(0, 50),
    count=st.integers(0, 5),
    width=st.integers(1, 6),
    max_words=st.integers(1, 6),
)
def test_every_image_gets_its_hypotheses_best_first_in_few_calls(seed, count, width, max_words):
    step = TableStep(seed)
    found = beam_search(
        step, images(seed, count), SPACE, width=width, max_words=max_words, length_penalty=0.7
    )
    assert len(found) == count
    assert len(step.batches) <= max_words
    for hypotheses in found:
        assert 1 <= len(hypotheses) <= width
        scores = [each.log_prob / (len(each.tokens) + 1) ** 0.7 for each in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({(h.tokens, h.ended) for h in hypotheses}) == len(hypotheses)
        for hypothesis in hypotheses:
            assert not {START, END, UNKNOWN} & set(hypothesis.tokens)
            assert len(hypothesis.tokens) <= max_words
            assert hypothesis.ended or len(hypothesis.tokens) == max_words
            assert len(hypothesis.log_probs) == len(hypothesis.tokens) + hypothesis.ended


@given(seed=st.integers(0, 50), count=st.integers(1, 3), width=st.integers(1, 4))
def test_a_hypothesis_has_the_probabilities_of_its_own_words_however_beams_crossed(
    seed, count, width
):
    step, vectors = TableStep(seed), images(seed, count)
    for vector, hypotheses in zip(
        vectors, beam_search(step, vectors, SPACE, width=width, max_words=6), strict=True
    ):
        for hypothesis in hypotheses:
            state, last, expected = np.zeros((1, 3), np.float32), START, []
            for token in (*hypothesis.tokens, *([END] if hypothesis.ended else [])):
                log_probs, state = step(np.array([last]), state, vector[None])
                expected.append(log_probs[0, token])
                last = token
            np.testing.assert_allclose(hypothesis.log_probs, expected, atol=1e-5)


@given(seed=st.integers(0, 50), count=st.integers(2, 5), width=st.integers(1, 5))
def test_a_neighbour_in_the_batch_changes_no_sentence(seed, count, width):
    vectors = images(seed, count)
    together = beam_search(TableStep(seed), vectors, SPACE, width=width, max_words=5)
    for vector, expected in zip(vectors, together, strict=True):
        (alone,) = beam_search(TableStep(seed), vector[None], SPACE, width=width, max_words=5)
        assert [h.tokens for h in alone] == [h.tokens for h in expected]


@given(
    seed=st.integers(0, 200),
    count=st.integers(1, 3),
    width=st.integers(1, 6),
    wanted=st.integers(1, 6),
    penalty=st.sampled_from([0.0, 0.7, 1.0, 2.0]),
)
def test_fewer_wanted_are_the_first_of_all_in_no_more_calls(seed, count, width, wanted, penalty):
    def search(step, wanted):
        return beam_search(
            step,
            images(seed, count),
            SPACE,
            width=width,
            max_words=6,
            length_penalty=penalty,
            wanted=wanted,
        )

    whole, part = TableStep(seed), TableStep(seed)
    everything, first = search(whole, None), search(part, wanted)
    assert [[h.tokens for h in each[:wanted]] for each in everything] == [
        [h.tokens for h in each] for each in first
    ]
    assert sum(part.batches) <= sum(whole.batches)


def test_a_search_ends_once_no_open_hypothesis_can_come_first():
    def step(token, state, image):
        log_probs = np.full((len(token), 5), -3.0, np.float32)
        log_probs[:, END] = -0.1
        calls.append(len(token))
        return log_probs, state

    for wanted, expected in ((1, 1), (2, 2), (3, 2)):
        calls: list[int] = []
        ((best, *_),) = beam_search(step, images(0, 1), SPACE, width=3, max_words=9, wanted=wanted)
        assert best.tokens == ()
        assert len(calls) == expected


@given(seed=st.integers(0, 200), width=st.integers(1, 40), max_words=st.integers(1, 4))
def test_each_step_keeps_the_first_of_a_full_sort_where_many_are_equally_likely(
    seed, width, max_words
):
    table = np.random.default_rng(seed).integers(-6, 0, (12, 12)).astype(np.float32) / 2
    table[:, END] = -np.inf

    def step(token, state, image):
        return table[token], state

    (found,) = beam_search(step, images(seed, 1), SPACE, width=width, max_words=max_words)
    kept = [((), 0.0)]
    for _ in range(max_words):
        everything = [
            (-(total + float(table[words[-1] if words else START, token])), place, token)
            for place, (words, total) in enumerate(kept)
            for token in range(12)
            if token not in (START, END, UNKNOWN)
        ]
        first = sorted(everything)[:width]
        kept = [((*kept[place][0], token), -loss) for loss, place, token in first]
    assert [(h.tokens, h.log_prob) for h in found] == kept


def test_all_hypotheses_of_all_images_share_one_call_a_step():
    step = TableStep(1)
    beam_search(step, images(1, 4), SPACE, width=3, max_words=5)
    assert step.batches[0] == 4
    assert max(step.batches) > 4
    assert len(step.batches) <= 5


def test_a_model_that_never_ends_a_sentence_is_cut_at_the_limit():
    def step(token, state, image):
        log_probs = np.full((len(token), 5), math.log(0.5), np.float32)
        log_probs[:, END] = -np.inf
        return log_probs, state

    (found,) = beam_search(step, images(0, 1), SPACE, width=2, max_words=4)
    assert [len(h.tokens) for h in found] == [4, 4]
    assert not any(h.ended for h in found)
    assert found[0].log_prob == pytest.approx(4 * math.log(0.5))


def test_a_model_that_ends_at_once_gives_the_empty_sentence():
    def step(token, state, image):
        log_probs = np.full((len(token), 5), -9.0, np.float32)
        log_probs[:, END] = -0.1
        return log_probs, state

    (found,) = beam_search(step, images(0, 1), SPACE, width=1, max_words=4)
    assert [(h.tokens, h.ended) for h in found] == [((), True)]


def test_a_model_that_gives_no_word_a_chance_is_refused_not_an_empty_beam():
    def step(token, state, image):
        log_probs = np.full((len(token), 5), -np.inf, np.float32)
        log_probs[:, UNKNOWN] = 0.0
        return log_probs, state

    with pytest.raises(NumericalError, match="no word a chance for picture 0"):
        beam_search(step, images(0, 2), SPACE, width=2, max_words=3)


def test_a_sentence_that_cannot_go_on_leaves_those_that_ended():
    def step(token, state, image):
        log_probs = np.full((len(token), 5), -np.inf, np.float32)
        log_probs[token == START] = [-np.inf, -1.0, -np.inf, -0.5, -np.inf]
        return log_probs, state

    (found,) = beam_search(step, images(0, 1), SPACE, width=2, max_words=3)
    assert [(h.tokens, h.ended) for h in found] == [((), True)]


@pytest.mark.parametrize("required", [(), (3,)])
def test_a_sentence_that_ends_leaves_the_beam_narrower(required):
    a, b, c = 3, 4, 5
    after = {START: {a: 1.0}, a: {END: 0.5, b: 0.5}, b: {b: 0.6, c: 0.4}, c: {END: 1.0}}
    table = np.zeros((6, 6))
    for token, following in after.items():
        table[token, list(following)] = list(following.values())
    with np.errstate(divide="ignore"):
        log_probs = np.log(table).astype(np.float32)

    # Two are kept: beside `a`, which ended, one more, and of `a b b` and `a b c` the likelier.
    (found,) = beam_search(
        lambda token, state, image: (log_probs[token], state),
        images(0, 1),
        SPACE,
        width=2,
        max_words=4,
        constraints=Constraints(prefix=(a,), required=required),
    )
    assert [h.tokens for h in found] == [(a,), (a, b, b, b)]


def test_ties_go_to_the_lower_id():
    def step(token, state, image):
        return np.full((len(token), 8), math.log(1 / 8), np.float32), state

    (found,) = beam_search(step, images(0, 1), SPACE, width=3, max_words=1)
    assert [h.tokens for h in found] == [(), (3,), (4,)]


def test_the_step_functions_arrays_are_left_as_they_were():
    table = np.log(np.full((1, 5), 0.2, np.float32))
    beam_search(lambda t, s, i: (table, s), images(0, 1), SPACE, width=1, max_words=3)
    assert np.isfinite(table).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_with_the_picture_they_came_from(value):
    def step(token, state, image):
        log_probs = np.zeros((len(token), 5), np.float32)
        log_probs[image[:, 0] > 0] = value
        return log_probs, state

    vectors = np.array([[-1, 0], [-1, 0], [1, 0]], np.float32)
    with pytest.raises(
        NumericalError, match="picture 2 .*; check the model with `mrnn-edge verify`"
    ):
        beam_search(step, vectors, SPACE, width=2, max_words=3)
