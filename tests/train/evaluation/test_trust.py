import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.language.confidence import FEATURES, confidence
from mrnn_edge_train.evaluation.trust import (
    cross_validated,
    fit,
    is_right,
    predict,
    reliability,
)


@pytest.mark.parametrize(
    ("caption", "right"),
    [
        ("a brown dog runs", True),  # dog and runs of three
        ("a brown cat runs", False),
        ("a dog", True),
        ("on the", False),  # says nothing
        ("two dogs", False),
    ],
)
def test_a_caption_is_right_if_references_use_two_thirds_of_its_content_words(caption, right):
    references = [["a", "dog", "runs", "on", "grass"], ["the", "dog"]]
    assert is_right(caption.split(), references) is right


def drawn(count: int, seed: int) -> tuple[list[dict[str, float]], list[bool]]:
    """Captions that are right with the probability that their first two features say."""
    random = np.random.default_rng(seed)
    values = random.normal(3.0, 2.0, (count, len(FEATURES)))
    chance = 1.0 / (1.0 + np.exp(-(values[:, 0] - 0.5 * values[:, 1] - 1.5)))
    right = (random.random(count) < chance).tolist()
    return [dict(zip(FEATURES, row, strict=True)) for row in values.tolist()], right


def test_the_fit_finds_the_weights_that_drew_the_labels_and_is_calibrated():
    features, right = drawn(6000, seed=1)
    weights = fit(features, right)
    assert weights.weights[FEATURES[0]] == pytest.approx(1.0, abs=0.15)
    assert weights.weights[FEATURES[1]] == pytest.approx(-0.5, abs=0.1)
    assert all(abs(weights.weights[name]) < 0.1 for name in FEATURES[2:])
    others, found = drawn(6000, seed=2)
    figures = reliability(predict(weights, others).tolist(), found)
    assert figures.calibration_error < 0.03
    assert figures.area > 0.85
    assert figures.surest_half > figures.right


def test_the_library_computes_what_the_fit_predicts():
    features, right = drawn(200, seed=3)
    weights = fit(features, right)
    expected = [confidence(weights, each) for each in features]
    np.testing.assert_allclose(predict(weights, features), expected, rtol=1e-12)


def test_without_signal_the_cross_validated_area_is_a_half():
    features, _ = drawn(2000, seed=4)
    toss = (np.random.default_rng(5).random(2000) < 0.4).tolist()
    figures = reliability(cross_validated(features, toss).tolist(), toss)
    assert figures.area == pytest.approx(0.5, abs=0.05)


def test_captions_that_are_all_right_cannot_be_fitted():
    features, _ = drawn(10, seed=6)
    with pytest.raises(ValueError, match="all 10 captions are right"):
        fit(features, [True] * 10)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), min_size=1),
)
def test_the_area_is_the_share_of_pairs_in_the_right_order(pairs):
    sure, right = zip(*pairs, strict=True)
    won = [
        1.0 if first > second else 0.5 if first == second else 0.0
        for first, is_first in pairs
        for second, is_second in pairs
        if is_first and not is_second
    ]
    expected = sum(won) / len(won) if won else 0.5
    assert reliability(sure, right).area == pytest.approx(expected)


def test_figures_by_hand():
    figures = reliability([0.95, 0.85, 0.15, 0.12], [True, False, False, True])
    assert [(each.captions, each.right) for each in figures.bins] == [(2, 0.5), (1, 0.0), (1, 1.0)]
    gaps = 2 * abs(0.135 - 0.5) + abs(0.85 - 0.0) + abs(0.95 - 1.0)
    assert figures.calibration_error == pytest.approx(gaps / 4)
    assert figures.surest_half == 0.5
    assert figures.risk[-1] == 0.5
    with pytest.raises(ValueError, match="no captions"):
        reliability([], [])
