"""Draws against the distribution of a fixed step, by chi-square; seeds and batches."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from walk import END, SPACE, START, UNKNOWN, TableStep, images

from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.decode.sample import sample
from mrnn_edge.errors import NumericalError, OptionError
from mrnn_edge.options import Sampling

PROBS = np.array([0.05, 0.15, 0.1, 0.3, 0.2, 0.12, 0.08])
"""Of start, end, unknown and four words, after every word."""
DRAWS = 20_000


def fixed_step(token, state, image):
    return np.tile(np.log(PROBS).astype(np.float32), (len(token), 1)), state


def draw_first(sampling: Sampling, constraints: Constraints | None = None) -> Counter:
    """The first word, or the end sign, of many sentences; image n draws with seed n."""
    found = Counter()
    for seed in range(DRAWS):
        seeded = Sampling(
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            seed=seed,
        )
        (hypothesis,) = sample(
            fixed_step,
            np.zeros((1, 2), np.float32),
            SPACE,
            max_words=1,
            sampling=seeded,
            constraints=constraints or Constraints(),
        )
        found[hypothesis.tokens[0] if hypothesis.tokens else END] += 1
    return found


def assert_drawn_from(found: Counter, expected: dict[int, float]) -> None:
    """Chi-square below its 99.9 % point (Wilson and Hilferty's approximation)."""
    assert set(found) <= set(expected)
    total = sum(expected.values())
    statistic = sum(
        (found[word] - DRAWS * p / total) ** 2 / (DRAWS * p / total) for word, p in expected.items()
    )
    freedom = len(expected) - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3
    assert statistic < limit


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), {1: 0.15, 3: 0.3, 4: 0.2, 5: 0.12, 6: 0.08}),
        (Sampling(temperature=0.5), {w: PROBS[w] ** 2 for w in (1, 3, 4, 5, 6)}),
        (Sampling(temperature=2.0), {w: PROBS[w] ** 0.5 for w in (1, 3, 4, 5, 6)}),
        (Sampling(top_k=2), {3: 0.3, 4: 0.2}),
        # 0.85 is left of the probability; half of it is reached by 0.3 and 0.2 together.
        (Sampling(top_p=0.5), {3: 0.3, 4: 0.2}),
        (Sampling(top_p=0.36), {3: 0.3, 4: 0.2}),
        (Sampling(top_k=3, top_p=0.9, temperature=2.0), {w: PROBS[w] ** 0.5 for w in (3, 4, 1)}),
    ],
)
def test_words_come_as_often_as_the_distribution_says(sampling, expected):
    assert_drawn_from(draw_first(sampling), expected)


def test_a_forbidden_word_is_never_drawn_and_the_others_share_its_part():
    found = draw_first(Sampling(), Constraints(forbidden=(3,)))
    assert_drawn_from(found, {1: 0.15, 4: 0.2, 5: 0.12, 6: 0.08})


def test_the_likeliest_word_is_always_left_however_small_the_share():
    assert set(draw_first(Sampling(top_p=1e-9))) == {3}


@given(seed=st.integers(0, 2**40), count=st.integers(0, 5), max_words=st.integers(1, 6))
def test_a_seed_draws_the_same_sentence_in_every_batch(seed, count, max_words):
    vectors = images(seed % 50, count)
    arguments = {
        "max_words": max_words,
        "sampling": Sampling(seed=seed, temperature=1.3),
        "constraints": Constraints(),
    }
    together = sample(TableStep(1), vectors, SPACE, **arguments)
    assert len(together) == count
    for vector, hypothesis in zip(vectors, together, strict=True):
        (alone,) = sample(TableStep(1), vector[None], SPACE, **arguments)
        assert alone == hypothesis
        assert len(hypothesis.tokens) <= max_words
        assert not {START, END, UNKNOWN} & set(hypothesis.tokens)
        assert hypothesis.ended or len(hypothesis.tokens) == max_words


def test_the_probabilities_are_the_models_own_whatever_the_temperature():
    step, vectors = TableStep(4), images(4, 3)
    for vector, hypothesis in zip(
        vectors,
        sample(
            step,
            vectors,
            SPACE,
            max_words=6,
            sampling=Sampling(seed=5, temperature=3.0, top_k=3),
            constraints=Constraints(prefix=(4,)),
        ),
        strict=True,
    ):
        assert hypothesis.tokens[0] == 4
        state, last = np.zeros((1, 3), np.float32), START
        for token, log_prob in zip(
            (*hypothesis.tokens, END)[: len(hypothesis.log_probs)],
            hypothesis.log_probs,
            strict=True,
        ):
            log_probs, state = step(np.array([last]), state, vector[None])
            assert log_prob == pytest.approx(log_probs[0, token], abs=1e-5)
            last = token


def test_without_a_seed_sentences_differ_from_draw_to_draw():
    drawn = {
        sample(
            fixed_step,
            np.zeros((1, 2), np.float32),
            SPACE,
            max_words=12,
            sampling=Sampling(),
            constraints=Constraints(),
        )[0].tokens
        for _ in range(20)
    }
    assert len(drawn) > 1


def test_a_step_that_leaves_no_word_is_refused():
    def step(token, state, image):
        log_probs = np.full((len(token), 5), -np.inf, np.float32)
        log_probs[:, UNKNOWN] = 0.0
        return log_probs, state

    with pytest.raises(NumericalError, match="no word that is allowed"):
        sample(
            step,
            np.zeros((1, 2), np.float32),
            SPACE,
            max_words=3,
            sampling=Sampling(seed=1),
            constraints=Constraints(),
        )


@pytest.mark.parametrize(
    "wish",
    [
        {"temperature": 0.0}, {"temperature": float("nan")}, {"temperature": -1.0},
        {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_p": float("nan")}, {"seed": -1},
    ],
)  # fmt: skip
def test_a_wish_out_of_range_is_refused_by_name(wish):
    with pytest.raises(OptionError, match=next(iter(wish))):
        Sampling(**wish)
