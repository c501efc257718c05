"""Scores, evidence and ranks of sentences, against numpy by hand."""

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge import Captioner, DecodeOptions
from mrnn_edge.errors import OptionError

PICTURE = np.full((tiny.SIDE, tiny.SIDE, 3), (200, 40, 90), np.uint8)
SENTENCES = ["a red dog", "a dog", "blue sky", "a dark wall a dark wall", "zebra", "dog a"]


def log2_by_hand(image: np.ndarray, sentence: str) -> list[float]:
    """log2 probability of each word and of the end sign."""
    network, vocabulary = tiny.TinyNetwork(), tiny.vocabulary()
    state, last, found = np.zeros((1, tiny.STATE)), vocabulary.start, []
    for token in [*vocabulary.encode(sentence.split()), vocabulary.end]:
        log_probs, state = network.step(np.array([last]), state, image[None])
        found.append(float(log_probs[0, token] / np.log(2)))
        last = token
    return found


def image_by_hand() -> np.ndarray:
    return tiny.TinyNetwork().encode(PICTURE[None])[0]


def prior_by_hand(sentence: str, kind: str) -> float:
    prior = tiny.prior()
    if kind == "mean":
        return sum(log2_by_hand(prior.mean, sentence))
    terms = [2 ** sum(log2_by_hand(centre, sentence)) for centre in prior.centres]
    return float(np.log2(np.sum(np.multiply(terms, prior.weights))))


@pytest.fixture(scope="module")
def without_prior(tmp_path_factory):
    folder = tiny.write(tmp_path_factory.mktemp("bare"), tiny.files(prior=None))
    return Captioner.load(folder, device="cpu", threads=1)


def test_evidence_is_what_the_image_adds_to_the_mean_picture_by_hand(captioner):
    for score in captioner.score(PICTURE, SENTENCES):
        own = sum(log2_by_hand(image_by_hand(), score.sentence))
        assert score.log2_prob == pytest.approx(own, abs=1e-4)
        expected = own - prior_by_hand(score.sentence, "mean")
        assert score.evidence == pytest.approx(expected, abs=1e-4)


def test_a_caption_has_the_evidence_of_its_score(captioner):
    caption = captioner.caption(PICTURE, max_words=20)
    assert not caption.truncated
    (score,) = captioner.score(PICTURE, [caption.text])
    (ranked,) = captioner.rank(PICTURE, [caption.text])
    assert score.evidence == pytest.approx(caption.evidence, abs=1e-4)
    assert ranked.evidence == pytest.approx(caption.evidence, abs=1e-4)


def test_grounding_is_each_words_share_of_the_evidence_by_hand(captioner):
    for score in captioner.score(PICTURE, SENTENCES):
        own = log2_by_hand(image_by_hand(), score.sentence)
        habit = log2_by_hand(tiny.prior().mean, score.sentence)
        shares = np.subtract(own, habit)
        assert [w.grounding for w in score.words] == pytest.approx(shares[:-1].tolist(), abs=1e-4)
        # The end sign has a share too, which belongs to no word.
        assert score.evidence == pytest.approx(shares.sum(), abs=1e-4)


@pytest.mark.parametrize("kind", ["train", "mean", "none"])
def test_sentences_rank_by_probability_over_prior_by_hand(captioner, kind):
    def worth(sentence: str) -> float:
        own = sum(log2_by_hand(image_by_hand(), sentence))
        return own if kind == "none" else own - prior_by_hand(sentence, kind)

    ranked = captioner.rank(PICTURE, iter(SENTENCES), prior=kind)
    assert [each.sentence for each in ranked] == sorted(SENTENCES, key=worth, reverse=True)
    for place, each in enumerate(ranked, 1):
        assert each.rank == place
        assert each.score == pytest.approx(worth(each.sentence), abs=1e-4)


def test_the_training_pictures_are_the_prior_of_ranks_where_none_is_named(captioner):
    assert captioner.rank(PICTURE, SENTENCES) == captioner.rank(PICTURE, SENTENCES, prior="train")


def test_equal_sentences_keep_their_order(captioner):
    ranked = captioner.rank(PICTURE, ["dog!", "a red dog", "Dog", "a wall", "dog"])
    dogs = [each.sentence for each in ranked if each.sentence.lower().strip("!") == "dog"]
    assert dogs == ["dog!", "Dog", "dog"]


@given(st.integers(1, 8), st.integers(1, 4))
def test_the_best_of_a_stream_are_the_first_of_the_whole_order(captioner, best, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mrnn_edge.language.sentences._STREAM", block)
        found = captioner.rank(PICTURE, iter(SENTENCES), best=best)
    whole = captioner.rank(PICTURE, SENTENCES)[:best]
    assert [each.sentence for each in found] == [each.sentence for each in whole]


def test_a_stream_is_held_block_by_block_not_whole(captioner, monkeypatch):
    monkeypatch.setattr("mrnn_edge.language.sentences._STREAM", 3)
    held, most = 0, 0
    scorer = captioner.sentences

    class Counting:
        def __init__(self, sentence):
            nonlocal held, most
            held += 1
            most = max(most, held)
            self.sentence = sentence

        def __del__(self):
            nonlocal held
            held -= 1

    class Text(str):
        __slots__ = ("counted",)

    def stream():
        for number in range(60):
            text = Text(f"a dog {'wall ' * (number % 5)}")
            text.counted = Counting(text[:0])
            yield text

    list(scorer.rank(image_by_hand().astype(np.float32), stream(), best=2))
    assert most <= 3 + 2 + 3


@pytest.mark.parametrize("sentence", ["", "  ", "!?", "…"])
def test_a_sentence_without_a_word_is_refused(captioner, sentence):
    for ask in (captioner.score, captioner.rank):
        with pytest.raises(OptionError, match="has no word"):
            ask(PICTURE, ["a dog", sentence])


def test_a_sentence_of_unknown_words_alone_is_scored_and_its_words_listed(captioner):
    (score,) = captioner.score(PICTURE, ["zebra giraffe zebra"])
    assert score.unknown_words == ("zebra", "giraffe")
    assert np.isfinite(score.log2_prob)


def test_a_sentence_of_a_thousand_words_is_a_number(captioner):
    (score,) = captioner.score(PICTURE, ["dog " * 1000])
    assert len(score.words) == 1000
    assert np.isfinite([score.log2_prob, score.perplexity, score.evidence]).all()


def test_a_sentence_of_more_words_is_refused_and_does_not_fill_the_memory(captioner):
    with pytest.raises(OptionError, match="has 1001 words, at most 1000"):
        captioner.rank(PICTURE, ["a dog", "dog " * 1001])


def test_no_sentences_give_no_scores(captioner):
    assert captioner.score(PICTURE, []) == captioner.rank(PICTURE, []) == []


def test_a_model_without_a_prior_gives_neither_evidence_nor_confidence(without_prior):
    caption = without_prior.caption(PICTURE)
    (score,) = without_prior.score(PICTURE, ["a dog"])
    assert caption.confidence is None
    for record in (caption, score):
        assert record.evidence is None
        assert {word.grounding for word in record.words} == {None}
    ranked = without_prior.rank(PICTURE, SENTENCES)
    values = [each.log2_prob for each in ranked]
    assert values == sorted(values, reverse=True)


def test_a_prior_or_a_least_confidence_that_the_model_cannot_give_is_refused(without_prior):
    for kind in ("train", "mean"):
        with pytest.raises(OptionError, match="has no prior"):
            without_prior.rank(PICTURE, ["a dog"], prior=kind)
    with pytest.raises(OptionError, match="gives no confidence"):
        without_prior.caption(PICTURE, min_confidence=0.0)


def test_a_prior_that_is_none_of_the_three_is_refused(captioner):
    with pytest.raises(OptionError, match="expected one of train, mean, none"):
        captioner.rank(PICTURE, ["a dog"], prior="uniform")


def test_a_rank_of_no_sentences_at_all_is_refused(captioner):
    with pytest.raises(OptionError, match="best is 0"):
        captioner.rank(PICTURE, ["a dog"], best=0)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("max_words", [1, 4, 20])
def test_a_captions_evidence_and_grounding_are_those_of_its_words_by_hand(
    captioner, beam, max_words
):
    for colour in range(0, 256, 25):
        pixels = np.full_like(PICTURE, (colour, 255 - colour, 40))
        caption = captioner.caption(pixels, beam=beam, max_words=max_words)
        own = log2_by_hand(tiny.TinyNetwork().encode(pixels[None])[0], caption.text)
        habit = log2_by_hand(tiny.prior().mean, caption.text)
        shares = np.subtract(own, habit)
        assert [w.grounding for w in caption.words] == pytest.approx(shares[:-1], abs=1e-4)
        counted = shares[:-1] if caption.truncated else shares
        assert caption.evidence == pytest.approx(counted.sum(), abs=1e-4)


def test_a_caption_below_the_least_confidence_is_withheld_with_the_reason(captioner):
    caption = captioner.caption(PICTURE)
    assert captioner.caption(PICTURE, min_confidence=caption.confidence).text == caption.text
    unsure = captioner.caption(PICTURE, nbest=3, min_confidence=caption.confidence + 0.01)
    assert unsure.text is None
    assert unsure.reason.startswith("not sure: ")
    assert (unsure.words, unsure.alternatives) == ((), ())
    assert unsure.confidence == caption.confidence
    assert unsure.to_record("x.jpg")["caption"] is None
    assert unsure.to_record("x.jpg")["reason"] == unsure.reason


@given(st.lists(st.integers(0, 8), min_size=1, max_size=5))
def test_confidence_in_a_batch_is_that_of_each_picture_alone(captioner, colours):
    pictures = [np.full_like(PICTURE, (30 * c, 255 - 30 * c, 7 * c)) for c in colours]
    for picture, found in zip(
        pictures, captioner.caption_batch(pictures, DecodeOptions(max_words=6)), strict=True
    ):
        alone = captioner.caption(picture, max_words=6)
        assert found.confidence == pytest.approx(alone.confidence, abs=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.01, 12.0])
def test_a_least_confidence_must_be_a_probability(value):
    with pytest.raises(OptionError, match="expected a probability from 0 to 1"):
        DecodeOptions(min_confidence=value)
