import threading
from dataclasses import asdict

import numpy as np
import pytest
import tiny
from conftest import noise_picture
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge import Captioner, DecodeOptions, Picture
from mrnn_edge.errors import FileError, ImageInputError, OptionError
from mrnn_edge.image.read import read_pixels
from mrnn_edge.language.records import Caption


def plain(colour, side=tiny.SIDE):
    return np.full((side, side, 3), colour, np.uint8)


def greedy_by_hand(pixels: np.ndarray, max_words: int) -> tuple[list[str], float, list[float]]:
    network, vocabulary = tiny.TinyNetwork(), tiny.vocabulary()
    image = network.encode(pixels[None])
    state, last, words, probs, total = np.zeros((1, tiny.STATE)), 0, [], [], 0.0
    while len(words) < max_words:
        log_probs, state = network.step(np.array([last]), state, image)
        allowed = log_probs[0].copy()
        allowed[[vocabulary.start, vocabulary.unknown]] = -np.inf
        last = int(allowed.argmax())
        total += log_probs[0, last]
        if last == vocabulary.end:
            break
        words.append(vocabulary.words[last])
        probs.append(float(np.exp(log_probs[0, last])))
    return words, float(total / np.log(2)), probs


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 90, 30), (10, 10, 200), (250, 250, 250)])
def test_a_greedy_caption_is_what_numpy_finds_by_hand(captioner, colour):
    pixels = plain(colour)
    caption = captioner.caption(pixels, beam=1, max_words=6, no_repeat_ngram=0)
    words, log2_prob, probs = greedy_by_hand(pixels, 6)
    assert caption.text == " ".join(words)
    assert str(caption) == caption.text
    assert caption.log2_prob == pytest.approx(log2_prob, abs=1e-4)
    assert caption.perplexity == pytest.approx(2 ** (-log2_prob / (len(words) + 1)), rel=1e-4)
    assert [word.word for word in caption.words] == words
    assert [word.prob for word in caption.words] == pytest.approx(probs, abs=1e-5)


def test_a_caption_that_ended_scores_as_the_same_sentence_scores(captioner):
    for colour in range(0, 256, 15):
        pixels = plain((colour, 255 - colour, 40))
        caption = captioner.caption(pixels)
        if not caption.truncated:
            (score,) = captioner.score(pixels, [caption.text])
            assert score.log2_prob == pytest.approx(caption.log2_prob, abs=1e-4)
            assert score.perplexity == pytest.approx(caption.perplexity, rel=1e-4)
            assert [w.prob for w in score.words] == pytest.approx(
                [w.prob for w in caption.words], abs=1e-5
            )
            return
    pytest.fail("no caption of the tiny model ended by itself")


def test_unknown_words_are_scored_as_the_unknown_word_and_listed(captioner):
    known, unknown = captioner.score(plain(9), ["A red dog!", "a zebra dog"])
    assert known.unknown_words == ()
    assert unknown.unknown_words == ("zebra",)
    assert [word.word for word in unknown.words] == ["a", "zebra", "dog"]
    network, vocabulary = tiny.TinyNetwork(), tiny.vocabulary()
    image = network.encode(plain(9)[None])
    _, state = network.step(np.array([vocabulary.start]), np.zeros((1, tiny.STATE)), image)
    a = vocabulary.encode(["a"])[0]
    second, _ = network.step(np.array([a]), state, image)
    assert unknown.words[1].prob == pytest.approx(float(np.exp(second[0, 2])), abs=1e-5)


def test_the_n_best_are_ordered_by_probability_and_hold_the_caption(captioner):
    caption = captioner.caption(plain((200, 10, 10)), beam=2, nbest=4, max_words=5)
    texts = [each.caption for each in caption.alternatives]
    assert len(texts) == len(set(texts)) == 4
    assert caption.text in texts
    values = [each.log2_prob for each in caption.alternatives]
    assert values == sorted(values, reverse=True)


def test_one_sentence_wanted_gives_no_alternatives(captioner):
    assert captioner.caption(plain(3)).alternatives == ()


def test_the_length_penalty_of_the_bundle_is_the_default_and_another_ranks_otherwise(captioner):
    told_apart = 0
    for colour in range(0, 256, 5):
        pixels = plain((colour, 255 - colour, 90))
        default = captioner.caption(pixels, beam=5)
        assert default.text == captioner.caption(pixels, beam=5, length_penalty=0.5).text
        by_probability = captioner.caption(pixels, beam=5, nbest=5, length_penalty=0.0)
        assert by_probability.text == by_probability.alternatives[0].caption
        told_apart += default.text != by_probability.text
    assert told_apart > 0


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6), st.integers(1, 4), st.integers(1, 3))
def test_a_batch_captions_each_picture_as_if_alone(captioner, colours, beam, nbest):
    pictures = [plain((30 * c, 255 - 30 * c, 7 * c)) for c in colours]
    wishes = {"beam": beam, "nbest": nbest, "max_words": 6}
    outcomes = captioner.caption_batch(pictures, DecodeOptions(**wishes))
    for picture, outcome in zip(pictures, outcomes, strict=True):
        # Sums of floats may differ in their last bits with the batch.
        assert untimed(outcome) == close_to(untimed(captioner.caption(picture, **wishes)))


def untimed(caption: Caption) -> dict:
    """All of a caption but how long it took, which no two runs share."""
    return {name: value for name, value in asdict(caption).items() if name != "timing_ms"}


def close_to(value):
    """Equal to this, each float in it to five digits."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-5, abs=1e-5)
    if isinstance(value, dict):
        return {name: close_to(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(close_to, value))
    return value


def test_a_failed_picture_is_an_error_in_its_place_and_no_other(captioner, tmp_path):
    good = noise_picture(tmp_path / "good.png")
    first, bad, last = captioner.caption_batch([good, tmp_path / "none.jpg", good])
    assert isinstance(bad, FileError)
    assert isinstance(first, Caption)
    assert first.text == last.text == captioner.caption(good).text


def test_a_picture_that_makes_nan_spoils_no_neighbour(tmp_path):
    network = tiny.TinyNetwork()
    # White overflows the projection to infinity; nothing else does.
    network.weights["projection"][:] = 0
    network.weights["projection"][0, 0] = np.float32(3e36)
    captioner = Captioner.load(tiny.write(tmp_path, tiny.files(network)), device="cpu")
    dark, white = captioner.caption_batch([plain(127), plain(255)])
    assert isinstance(dark, Caption)
    assert "not finite" in str(white)
    assert str(white).endswith("; check the model with `mrnn-edge verify`")


def test_one_string_in_place_of_a_list_is_refused_not_taken_letter_by_letter(captioner, picture):
    with pytest.raises(OptionError, match="a list of sentences"):
        captioner.score(picture, "a dog")
    for one in (str(picture), b"bytes"):
        with pytest.raises(OptionError, match="give a list"):
            captioner.caption_batch(one)


def test_no_pictures_give_no_captions(captioner):
    assert captioner.caption_batch([]) == []


def test_a_missing_picture_raises_where_one_caption_is_asked_for(captioner):
    with pytest.raises(FileError, match="no such file"):
        captioner.caption("nothing.jpg")


def test_a_precision_that_is_none_is_refused(bundle):
    with pytest.raises(OptionError, match="expected float32 or int8"):
        Captioner.load(bundle, precision="float16")


def test_16_threads_that_share_a_captioner_get_what_one_gets_bit_for_bit(captioner):
    pictures = [plain((c, 255 - c, c // 2)) for c in range(0, 256, 32)]
    expected = [untimed(captioner.caption(picture, nbest=2)) for picture in pictures]
    found: dict[int, list[dict]] = {}

    def work(number: int) -> None:
        # Each begins elsewhere, so that different pictures meet in the graphs.
        turned = pictures[number % 8 :] + pictures[: number % 8]
        captions = [untimed(captioner.caption(picture, nbest=2)) for picture in turned]
        found[number] = captions[8 - number % 8 :] + captions[: 8 - number % 8]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [found[number] for number in range(16)] == [expected] * 16


def test_the_times_of_the_stages_add_up(captioner):
    timing = captioner.caption(plain(0)).timing_ms
    assert set(timing) == {"decode", "encode", "generate", "total"}
    assert timing["total"] == pytest.approx(sum(timing.values()) - timing["total"])


def test_encode_gives_the_vector_that_numpy_gives(captioner, picture):
    pixels = read_pixels(picture, captioner.config.image)
    expected = tiny.TinyNetwork().encode(pixels[None])[0]
    np.testing.assert_allclose(captioner.encode(picture), expected, atol=1e-4)


def test_a_picture_read_ahead_gives_the_caption_of_its_file(captioner, picture):
    ahead = captioner.read(picture)
    found = captioner.caption(ahead)
    assert found.text == captioner.caption(picture).text
    assert found.timing_ms["decode"] == pytest.approx(ahead.decode_ms)
    np.testing.assert_array_equal(captioner.encode(ahead), captioner.encode(picture))


def test_the_decode_time_of_a_batch_is_the_mean_of_its_pictures(captioner):
    pixels = np.stack([plain(0), plain(9)])
    pictures = [
        Picture(pixels=each, frames=1, notes=(), decode_ms=spent)
        for each, spent in zip(pixels, (3.0, 5.0), strict=True)
    ]
    for caption in captioner.caption_batch(pictures):
        assert caption.timing_ms["decode"] == pytest.approx(4.0)


def test_frames_and_notes_reach_the_record_where_there_is_something_to_say(captioner):
    said = Picture(pixels=plain(4), frames=3, notes=("half of it",), decode_ms=0.0)
    record = captioner.caption(said).to_record("a.gif")
    assert (record["frames"], record["notes"]) == (3, ["half of it"])
    assert not {"frames", "notes"} & set(captioner.caption(plain(4)).to_record("a.png"))


def test_a_picture_read_for_another_model_is_refused(captioner):
    other = Picture(pixels=plain(4, side=3), frames=1, notes=(), decode_ms=0.0)
    with pytest.raises(ImageInputError, match="read it for this model"):
        captioner.caption(other)
