"""Captions change when the scene does, and only then. The models here are tables and numpy."""

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from fake_capture import colour
from tiny import IMAGE, SIDE, STATE, TinyNetwork, vocabulary

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import ConfidenceWeights, ImageSpec
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.camera.frames import Frame
from mrnn_edge.camera.scene import CUT, Scene, WatchOptions, cosine_distance, reduce
from mrnn_edge.errors import ConstraintError, NumericalError, OptionError
from mrnn_edge.language.captions import CaptionGenerator, search_space
from mrnn_edge.language.confidence import FEATURES
from mrnn_edge.options import DecodeOptions, Sampling

WORDS = vocabulary()
END, RED, BLUE = WORDS.end, *WORDS.encode(["red", "blue"])


class TwoSentences:
    """A step that says "red" or "blue"; the vector's angle says how much likelier each is.

    P(red) = 1 / (1 + 2^-bits), bits = the vector's second number; then the sentence ends.
    """

    def __call__(self, token, state, image):
        log_probs = np.full((len(token), len(WORDS)), -np.inf, np.float32)
        for row, (said, vector) in enumerate(zip(token, image, strict=True)):
            if said == WORDS.start:
                bits = float(vector[1])
                log_probs[row, RED] = -math.log1p(2.0**-bits)
                log_probs[row, BLUE] = -math.log1p(2.0**bits)
            else:
                log_probs[row, END] = 0.0
        return log_probs, state


def vector(angle: float, bits: float) -> np.ndarray:
    """An image vector at an angle from the first axis, whose second number is `bits`.

    The third and fourth number hold the angle; large, so that `bits` hardly turns it.
    """
    return np.array([1e3 * math.cos(angle), bits, 1e3 * math.sin(angle), 0, 0, 0], np.float32)


class Script:
    """An encoder that gives one vector after the other, whatever the picture."""

    def __init__(self, *vectors: np.ndarray) -> None:
        self.vectors = list(vectors)

    def __call__(self, pixels):
        assert pixels.shape == (1, SIDE, SIDE, 3)
        return self.vectors.pop(0)[None]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


EVIDENCE = ConfidenceWeights(
    bias=-0.2, weights={name: float(name == "word_evidence") for name in FEATURES}
)
"""The confidence is 0.45 without evidence, and 0.5 with 0.2 bits a word."""


def scene(encode, *, step=None, options=None, clock=None, prior=None) -> Scene:
    space = search_space(WORDS, state=STATE)
    captions = CaptionGenerator(
        step=step or TwoSentences(),
        vocabulary=WORDS,
        space=space,
        prior=prior,
        weights=None if prior is None else EVIDENCE,
        length_penalty=0.0,
        model="fake",
        device="cpu",
        precision="float32",
    )
    return Scene(
        encode=encode,
        captions=captions,
        image=ImageSpec(height=SIDE, width=SIDE),
        options=options or WatchOptions(),
        source="cam",
        clock=clock or Clock(),
    )


def frame(number: int = 0, *, captured: float = 0.0) -> Frame:
    return Frame(
        number=number,
        time_s=number / 30.0,
        captured=captured,
        pixels=colour(number * 37 % 256, 2, 3),  # never still: the vectors decide
        dropped=number,
    )


def texts(watched: Scene, count: int) -> list[str | None]:
    """The text of the event of each look, None where there was none."""
    events = [watched.look(frame(number)) for number in range(count)]
    return [None if event is None else event.caption.text for event in events]


def angle_of(distance: float) -> float:
    return math.acos(1.0 - distance)


SAME, OTHER_VIEW, OTHER_SCENE = 0.0, angle_of(0.3), angle_of(0.6)


def test_a_still_scene_is_described_once():
    watched = scene(Script(*[vector(SAME, 5.0)] * 10))
    assert texts(watched, 10) == ["red"] + [None] * 9
    assert watched.skipped == 9


def test_a_frame_that_shows_nothing_new_is_not_even_encoded():
    script = Script(vector(SAME, 5.0), vector(OTHER_SCENE, -5.0))
    watched = scene(script)
    assert watched.look(frame(3)) is not None
    assert [watched.look(frame(3)) for _ in range(5)] == [None] * 5
    assert watched.skipped == 5
    assert len(script.vectors) == 1
    event = watched.look(frame(4))
    assert event is not None
    assert event.skipped == 5


def test_a_threshold_of_zero_decodes_every_frame():
    script = Script(*[vector(SAME, 5.0)] * 6)
    watched = scene(script, options=WatchOptions(change_threshold=0.0))
    for _ in range(6):
        watched.look(frame(3))
    assert watched.skipped == 0
    assert script.vectors == []


def test_below_the_threshold_nothing_is_decoded_even_if_the_words_would_differ():
    watched = scene(Script(vector(SAME, 5.0), vector(SAME, -5.0)))
    assert texts(watched, 2) == ["red", None]
    assert watched.skipped == 1


def test_the_threshold_is_a_cosine_distance():
    for distance, decoded in ((0.19, False), (0.21, True)):
        watched = scene(
            Script(vector(SAME, 5.0), vector(angle_of(distance), -9.0)),
            options=WatchOptions(change_threshold=0.2),
        )
        assert texts(watched, 2) == ["red", "blue" if decoded else None]


@pytest.mark.parametrize(("bits", "changes"), [(2.9, False), (3.1, True)])
def test_within_a_scene_a_caption_stays_until_another_is_likelier_by_the_hysteresis(bits, changes):
    # log2 P(blue) - log2 P(red) is exactly `bits` here.
    watched = scene(Script(vector(SAME, 1.0), vector(OTHER_VIEW, -bits)))
    assert texts(watched, 2) == ["red", "blue" if changes else None]


def test_a_caption_does_not_flip_between_two_phrasings():
    swing = [vector(OTHER_VIEW * (n % 2), 1.5 * (-1) ** n) for n in range(20)]
    assert texts(scene(Script(*swing)), 20) == ["red"] + [None] * 19
    restless = scene(Script(*swing), options=WatchOptions(hysteresis_bits=0.0))
    assert texts(restless, 20) == ["red", "blue"] * 10


def test_after_a_cut_the_new_caption_stands_however_little_likelier_it_is():
    watched = scene(Script(vector(SAME, 1.0), vector(OTHER_SCENE, -0.1)))
    assert CUT < 0.6
    assert texts(watched, 2) == ["red", "blue"]


def test_a_caption_that_stayed_moves_the_scene_along():
    # Each step is a small one from the step before, and the last is far from the first.
    steps = [vector(angle_of(0.1) * n, 5.0) for n in range(1, 8)]
    watched = scene(Script(vector(SAME, 5.0), *steps), options=WatchOptions(change_threshold=0.09))
    assert texts(watched, 8) == ["red"] + [None] * 7
    assert watched.skipped == 0


def test_the_same_words_are_not_said_twice_after_a_cut():
    watched = scene(Script(vector(SAME, 5.0), vector(OTHER_SCENE, 5.0)))
    assert texts(watched, 2) == ["red", None]


def test_a_scene_that_is_forgotten_is_described_anew():
    watched = scene(Script(vector(SAME, 5.0), vector(SAME, 5.0)))
    assert texts(watched, 1) == ["red"]
    watched.forget()
    assert texts(watched, 1) == ["red"]


def test_an_event_tells_frame_time_age_dropped_skipped_and_beam():
    clock = Clock()

    class Slow(TwoSentences):
        def __call__(self, token, state, image):
            clock.now += 0.05
            return super().__call__(token, state, image)

    watched = scene(
        Script(vector(SAME, 5.0), vector(SAME, 5.0), vector(OTHER_SCENE, -5.0)),
        step=Slow(),
        clock=clock,
    )
    watched.look(frame(0))
    watched.look(frame(1))
    clock.now = 10.0
    event = watched.look(frame(30, captured=9.9))
    assert event is not None
    assert (event.frame, event.time_s, event.dropped, event.skipped) == (30, 1.0, 30, 1)
    # 100 ms had passed at the look, and each call of the step takes 50.
    assert event.age_ms == pytest.approx((clock.now - 9.9) * 1000.0)
    assert event.age_ms >= 200.0
    assert set(event.caption.timing_ms) == {"decode", "encode", "generate", "total"}
    record = event.to_record()
    assert record["file"] == "cam"
    assert record["caption"] == "blue"
    assert {"frame", "time_s", "age_ms", "dropped", "skipped", "beam"} <= set(record)
    assert "at" not in record


def test_an_event_of_a_frame_with_a_date_tells_it_in_utc():
    at = datetime(2026, 11, 25, 4, 0, 0, 1600, tzinfo=timezone(timedelta(hours=1)))
    event = scene(Script(vector(SAME, 5.0))).look(replace(frame(0), at=at))
    assert event is not None
    assert event.at == at
    assert event.to_record()["at"] == "2026-11-25T03:00:00.001Z"


def test_a_deadline_narrows_the_beam_and_the_event_says_so():
    clock = Clock()

    class Slow(TwoSentences):
        def __call__(self, token, state, image):
            clock.now += 0.010 * len(token)
            return super().__call__(token, state, image)

    def beams(deadline_ms):
        vectors = [vector(OTHER_SCENE * (n % 2), 5.0 * (-1) ** n) for n in range(6)]
        watched = scene(
            Script(*vectors),
            step=Slow(),
            clock=clock,
            options=WatchOptions(deadline_ms=deadline_ms, decode=DecodeOptions(beam=2)),
        )
        events = [watched.look(frame(n, captured=clock.now)) for n in range(6)]
        return [event.beam for event in events]

    assert beams(None) == [2] * 6
    assert beams(1000.0) == [1, 2, 2, 2, 2, 2]
    assert beams(25.0) == [1] * 6


def test_a_caption_that_is_withheld_is_told_once(captioner: Captioner):
    network = TinyNetwork()
    options = WatchOptions(decode=DecodeOptions(min_confidence=1.0))
    vectors = [v.astype(np.float32) for v in np.random.default_rng(0).normal(0, 1, (4, IMAGE))]
    watched = scene(
        Script(*vectors), step=_float32(network), options=options, prior=captioner.captions.prior
    )
    events = [watched.look(frame(n)) for n in range(4)]
    assert [event is not None for event in events] == [True, False, False, False]
    assert events[0].caption.text is None
    assert "not sure" in events[0].caption.reason


def test_a_caption_that_was_withheld_gives_way_to_one_with_evidence():
    # The prior knows neither: the evidence is log2 P(red) + 1, 0 and then 0.83 bits in two words.
    mean = vector(SAME, 0.0)
    prior = PriorVectors(mean=mean, centres=mean[None], weights=np.ones(1, np.float32))
    watched = scene(
        Script(mean, vector(OTHER_VIEW, 3.0)),
        options=WatchOptions(decode=DecodeOptions(min_confidence=0.5)),
        prior=prior,
    )
    first, second = (watched.look(frame(number)) for number in range(2))
    assert first is not None
    assert first.caption.text is None
    assert second is not None
    assert second.caption.text == "red"


def test_after_a_frame_without_a_sentence_the_caption_before_it_is_said_again():
    class Mute(TwoSentences):
        def __call__(self, token, state, image):
            log_probs, state = super().__call__(token, state, image)
            return np.where(image[:, 1:2] > 50.0, np.float32(np.nan), log_probs), state

    script = Script(vector(SAME, 5.0), vector(OTHER_SCENE, 60.0), vector(SAME, 5.0))
    watched = scene(script, step=Mute())
    assert texts(watched, 1) == ["red"]
    with pytest.raises(NumericalError):
        watched.look(frame(1))
    event = watched.look(frame(2))
    assert event is not None
    assert event.caption.text == "red"


def _float32(network):
    def step(token, state, image):
        log_probs, state = network.step(token, state, image)
        return log_probs.astype(np.float32), state.astype(np.float32)

    return step


def test_a_scene_without_a_sentence_raises_and_the_next_frame_is_not_tried_again():
    options = WatchOptions(decode=DecodeOptions(require=("dog",)))
    watched = scene(Script(vector(SAME, 5.0), vector(SAME, 5.0)), options=options)
    with pytest.raises(ConstraintError):
        watched.look(frame(0))
    assert watched.look(frame(1)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_s": -1.0},
        {"change_threshold": 2.5},
        {"change_threshold": float("nan")},
        {"hysteresis_bits": -0.1},
        {"deadline_ms": 0.0},
        {"deadline_ms": 10.0, "decode": DecodeOptions(sampling=Sampling())},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError):
        WatchOptions(**wrong)


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((90, 70), (30, 24)), ((47, 39), (47, 39)), ((48, 40), (24, 20)), ((10, 10), (10, 10))],
)
def test_frames_of_opencv_and_of_python_are_shrunk_by_whole_factors(size, reduced):
    spec = ImageSpec(height=24, width=20)
    bgr = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    rows, columns = max(size[0] // 24, 1), max(size[1] // 20, 1)
    for given in (bgr[..., ::-1], rgb, rgb[:, ::-1][:, ::-1]):
        found = np.asarray(reduce(given, spec))
        assert found.shape[:2] == reduced
        for row, column in ((0, 0), (2, 3)):
            field = rgb[
                row * rows : (row + 1) * rows, column * columns : (column + 1) * columns
            ].reshape(-1, 3)
            assert np.abs(found[row, column] - field.mean(axis=0)).max() <= 0.5


def test_cosine_distance_by_hand():
    x, y = np.array([3.0, 0.0], np.float32), np.array([0.0, 2.0], np.float32)
    assert cosine_distance(x, 5 * x) == pytest.approx(0.0)
    assert cosine_distance(x, y) == pytest.approx(1.0)
    assert cosine_distance(x, -x) == pytest.approx(2.0)
    assert cosine_distance(0 * x, 0 * x) == 0.0
    assert cosine_distance(0 * x, y) == 1.0
