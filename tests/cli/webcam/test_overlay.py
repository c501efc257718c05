"""What is drawn over a picture, and where."""

import numpy as np
import pytest

from mrnn_edge import Caption, CaptionEvent, Word
from mrnn_edge_cli.webcam.overlay import WHITE, Overlay, word_colour


def event(text: str | None, groundings: list[float | None] | None = None) -> CaptionEvent:
    words = () if text is None else text.split()
    bits = groundings or [0.0] * len(words)
    caption = Caption(
        text=text, reason=None, log2_prob=-1.0, perplexity=2.0, confidence=0.9, evidence=1.0,
        words=tuple(
            Word(word=word, prob=0.5, grounding=bit)
            for word, bit in zip(words, bits, strict=True)
        ),
        alternatives=(), unknown_words=(), truncated=False, frames=1, notes=(), model="m",
            device="cpu",
        precision="float32", timing_ms={},
    )  # fmt: skip
    return CaptionEvent(
        source="s", caption=caption, frame=0, time_s=0.0, at=None, age_ms=1.0, dropped=0,
        skipped=0, beam=3,
    )  # fmt: skip


def picture(height: int = 360, width: int = 640, level: int = 200) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_without_a_caption_and_a_status_nothing_is_drawn():
    drawn = picture()
    Overlay(explain=False).draw(drawn)
    assert np.array_equal(drawn, picture())


def test_a_caption_stands_bright_on_a_darkened_band_at_the_foot():
    overlay = Overlay(explain=False)
    overlay.caption(event("a dog runs"))
    drawn = picture()
    overlay.draw(drawn)
    changed = np.flatnonzero((drawn != 200).any(axis=(1, 2)))
    assert changed[-1] == 359
    assert changed[0] > 300
    band = drawn[changed[0] :]
    assert band.min() == 200 >> 2
    assert band.max() == 255
    # The words stand at the left; the band goes all across.
    assert (band[:, 400:] == 200 >> 2).all()


def test_white_text_can_be_read_on_a_white_picture_and_on_a_black_one():
    for level in (0, 255):
        overlay = Overlay(explain=False)
        overlay.caption(event("dog"))
        drawn = picture(level=level)
        overlay.draw(drawn)
        band = drawn[-20:, :100]
        assert int(band.max()) - int(band.min()) >= 190


def test_long_captions_take_more_lines():
    def band_height(text):
        overlay = Overlay(explain=False)
        overlay.caption(event(text))
        drawn = picture()
        overlay.draw(drawn)
        return int((drawn != 200).any(axis=(1, 2)).sum())

    one = band_height("a dog")
    assert band_height(" ".join(["something"] * 20)) > 2 * one


def test_a_new_caption_takes_the_place_of_the_old_one():
    overlay = Overlay(explain=False)
    drawn = []
    for text in ("a dog", "a cat", "a dog"):
        overlay.caption(event(text))
        drawn.append(picture())
        overlay.draw(drawn[-1])
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])


def test_the_status_stands_at_the_top_and_is_drawn_anew_when_it_changes():
    overlay = Overlay(explain=False)
    overlay.status("30 fps")
    first = picture()
    overlay.draw(first)
    changed = np.flatnonzero((first != 200).any(axis=(1, 2)))
    assert changed[0] == 0
    assert changed[-1] < 40
    overlay.status("no picture")
    second = picture()
    overlay.draw(second)
    assert not np.array_equal(first, second)


def test_with_explain_words_are_coloured_by_what_the_image_gave():
    def word(bits):
        return Word(word="w", prob=0.5, grounding=bits)

    strong, none, against = (word_colour(word(bits)) for bits in (3.0, 0.0, -3.0))
    assert strong[1] > strong[0] + 100
    assert strong[1] > strong[2] + 100
    assert none[0] == none[1] == none[2] >= 128
    assert against[0] > against[1] + 100
    assert word_colour(word(None)) == WHITE
    greens = [word_colour(word(bits))[0] for bits in (0.0, 1.0, 2.0, 3.0)]
    assert greens == sorted(greens, reverse=True)


def test_the_colours_come_out_in_opencvs_order():
    overlay = Overlay(explain=True)
    overlay.caption(event("dog", [3.0]))
    drawn = picture(level=0)
    overlay.draw(drawn)
    blue, green, red = drawn.reshape(-1, 3).max(axis=0)
    assert green > 200
    assert green > red + 100
    assert green > blue + 100


def test_what_is_not_sure_is_said():
    overlay = Overlay(explain=True)
    overlay.caption(event(None))
    drawn = picture(level=0)
    overlay.draw(drawn)
    assert drawn.max() >= 200


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 4), (48, 64), (720, 1280), (4, 2000)])
def test_pictures_of_every_size_are_drawn_on(height, width):
    overlay = Overlay(explain=False)
    overlay.status("30 fps")
    overlay.caption(event("a dog runs through the grass"))
    drawn = picture(height, width)
    overlay.draw(drawn)
    # The bands darken what lies under them: in a low picture all rows, else the first and the last.
    assert (drawn[[0, -1]] != 200).mean() > 0.9
    assert (drawn[height // 2] == 200).all() == (height > 100)
