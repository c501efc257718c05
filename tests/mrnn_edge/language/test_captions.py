"""The caller's wishes for words, through the captioner, on the tiny model."""

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge import DecodeOptions, Sampling
from mrnn_edge.errors import ConstraintError, InputError, OptionError
from mrnn_edge.language.records import Caption

PICTURE = np.full((tiny.SIDE, tiny.SIDE, 3), (200, 40, 90), np.uint8)


def test_a_prefix_begins_the_caption_and_counts_in_all_its_figures(captioner):
    caption = captioner.caption(PICTURE, prefix="A dark  DOG!", max_words=20, length_penalty=0.0)
    assert not caption.truncated
    assert caption.text.split()[:3] == ["a", "dark", "dog"]
    assert caption.unknown_words == ()
    (score,) = captioner.score(PICTURE, [caption.text])
    assert caption.log2_prob == pytest.approx(score.log2_prob, abs=1e-4)
    assert caption.evidence == pytest.approx(score.evidence, abs=1e-4)
    assert [w.prob for w in caption.words] == pytest.approx([w.prob for w in score.words], abs=1e-5)


def test_an_unknown_word_of_a_prefix_is_shown_as_given_scored_as_unknown_and_listed(captioner):
    caption = captioner.caption(PICTURE, prefix="a zebra", max_words=5)
    assert caption.text.split()[:2] == ["a", "zebra"]
    assert caption.unknown_words == ("zebra",)
    assert caption.to_record("x")["unknown_words"] == ["zebra"]
    (score,) = captioner.score(PICTURE, [caption.text])
    assert caption.words[1].prob == pytest.approx(score.words[1].prob, abs=1e-5)
    assert "<unk>" not in caption.text


def test_a_prefix_as_long_as_the_limit_is_the_whole_caption(captioner):
    caption = captioner.caption(PICTURE, prefix="a red dog", max_words=3)
    assert (caption.text, caption.truncated) == ("a red dog", True)
    assert caption.to_record("x")["truncated"] is True


def test_a_caption_that_ended_says_no_more_of_it_and_one_without_words_says_so(captioner):
    caption = captioner.caption(PICTURE, forbid=[*tiny.vocabulary().words], max_words=9)
    assert (caption.text, caption.truncated) == ("", False)
    record = caption.to_record("x")
    assert (record["caption"], record["empty"], "truncated" in record) == ("", True, False)
    assert "empty" not in captioner.caption(PICTURE, max_words=1, prefix="a").to_record("x")


def test_forbidden_words_do_not_come_and_required_ones_do(captioner):
    plain = captioner.caption(PICTURE, max_words=6)
    banned = plain.text.split()[0]
    assert banned not in captioner.caption(PICTURE, forbid=[banned], max_words=6).text.split()
    for word in ("sky", "wall"):
        found = captioner.caption(PICTURE, require=[word.upper()], max_words=6)
        assert word in found.text.split()
        assert found.log2_prob <= 0


def test_a_word_the_model_does_not_know_may_be_forbidden_but_not_required(captioner):
    assert captioner.caption(PICTURE, forbid=["zebra"]).text == captioner.caption(PICTURE).text
    with pytest.raises(OptionError, match="the vocabulary lacks zebra"):
        captioner.caption(PICTURE, require=["dog", "zebra"])


def test_a_required_word_without_a_place_is_an_error_of_that_picture(captioner):
    options = DecodeOptions(require=("dog", "sky", "wall"), max_words=2)
    first, second = captioner.caption_batch([PICTURE, PICTURE], options)
    assert isinstance(first, ConstraintError)
    assert "dog, sky, wall" in str(second)
    with pytest.raises(ConstraintError):
        captioner.caption(PICTURE, require=["dog", "sky", "wall"], max_words=2)


def test_a_picture_without_a_place_takes_nothing_from_its_neighbours(captioner, monkeypatch):
    from mrnn_edge.language import captions as generation

    search = generation.beam_search
    alone = captioner.caption(PICTURE)

    def with_a_gap(*arguments, **wishes):
        found = search(*arguments, **wishes)
        return [[], *found[1:]]

    monkeypatch.setattr(generation, "beam_search", with_a_gap)
    failed, caption = captioner.caption_batch([PICTURE, PICTURE], DecodeOptions())
    assert isinstance(failed, ConstraintError)
    assert (caption.text, caption.confidence) == (alone.text, pytest.approx(alone.confidence))


def test_no_ngram_comes_twice(captioner):
    repeated = 0
    for colour in range(0, 256, 20):
        pixels = np.full_like(PICTURE, (colour, 255 - colour, 40))
        words = captioner.caption(pixels, max_words=20, no_repeat_ngram=0).text.split()
        fresh = captioner.caption(pixels, max_words=20, no_repeat_ngram=1).text.split()
        default = captioner.caption(pixels, max_words=20).text.split()
        repeated += len(set(words)) < len(words)
        assert len(set(fresh)) == len(fresh)
        assert not [word for word in default if default.count(word) > 1 and word != "a"]
    assert repeated > 0


@given(
    colours=st.lists(st.integers(0, 8), min_size=1, max_size=4),
    options=st.sampled_from(
        [
            DecodeOptions(sampling=Sampling(seed=3), max_words=8),
            DecodeOptions(prefix="a dark", beam=2, max_words=6),
            DecodeOptions(require=("wall",), max_words=6),
            DecodeOptions(no_repeat_ngram=2, forbid=("dog",), nbest=4, max_words=7),
        ]
    ),
)
def test_whatever_is_wished_a_batch_captions_each_picture_as_if_alone(captioner, colours, options):
    pictures = [np.full_like(PICTURE, (30 * c, 255 - 30 * c, 7 * c)) for c in colours]
    for picture, found in zip(pictures, captioner.caption_batch(pictures, options), strict=True):
        (alone,) = captioner.caption_batch([picture], options)
        assert isinstance(found, Caption)
        assert found.text == alone.text
        assert found.log2_prob == pytest.approx(alone.log2_prob, abs=1e-4)


def test_a_draw_with_a_seed_is_the_same_again_and_scored_by_the_model(captioner):
    ended = 0
    for seed in range(8):
        sampling = Sampling(seed=seed, temperature=2.0)
        drawn = captioner.caption(PICTURE, sampling=sampling, max_words=30)
        assert drawn.text == captioner.caption(PICTURE, sampling=sampling, max_words=30).text
        if drawn.text and not drawn.truncated:
            ended += 1
            (score,) = captioner.score(PICTURE, [drawn.text])
            assert drawn.log2_prob == pytest.approx(score.log2_prob, abs=1e-4)
    assert ended > 2
    others = {
        captioner.caption(PICTURE, sampling=Sampling(seed=seed), max_words=6).text
        for seed in range(12)
    }
    assert len(others) > 3


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"sampling": Sampling(), "beam": 1}, "sampling draws one sentence"),
        ({"sampling": Sampling(), "nbest": 2}, "sampling draws one sentence"),
        ({"sampling": Sampling(), "require": ("dog",)}, "sampling draws one sentence"),
        ({"sampling": Sampling(), "length_penalty": 1.0}, "sampling draws one sentence"),
        ({"prefix": "?!"}, "has no word of letters"),
        ({"require": tuple("abcdefghi")}, "require has 9 words, at most 8"),
        ({"prefix": "a b c", "max_words": 2}, "prefix has 3 words, max_words is 2"),
        ({"forbid": ("two words",)}, "not one word"),
        ({"require": ("!",)}, "not one word"),
        ({"require": "dog"}, "give a list of words"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1"),
    ],
)
def test_wishes_that_contradict_themselves_are_refused(wishes, message):
    with pytest.raises(OptionError, match=message):
        DecodeOptions(**wishes)


def test_a_word_that_is_required_and_forbidden_is_refused(captioner):
    with pytest.raises(OptionError, match="dog is required and forbidden"):
        captioner.caption(PICTURE, require=["dog", "sky"], forbid=["Dog"])
    assert issubclass(ConstraintError, InputError)
