"""Ranking against brute force in numpy, and short lists against the exact order."""

import numpy as np
import pytest
import tiny

from mrnn_edge.decode.hypotheses import SearchSpace
from mrnn_edge.index import nearest as search
from mrnn_edge.index.nearest import best_rows, largest, query_vector, short_list

SPACE = SearchSpace(start=0, end=1, banned=(0, 2), state=tiny.STATE)
NETWORK = tiny.TinyNetwork()


def slope(token, state, image, target):
    """The gradient by central differences of the network in float64."""
    found = np.zeros(image.shape)
    for column, move in enumerate(1e-5 * np.eye(image.shape[1])):
        sides = [NETWORK.step(token, state, image + move * sign)[0] for sign in (1, -1)]
        found[:, column] = (sides[0] - sides[1])[np.arange(len(target)), target] / 2e-5
    return found, NETWORK.step(token, state, image)[1]


def vectors(count: int, *, spread: float = 1.0, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(0, spread, (count, tiny.IMAGE)).astype(np.float32)


def by_hand(vector: np.ndarray, sentence: list[int]) -> float:
    """log P of one sentence for one vector, a word after the other."""
    state, total = np.zeros((1, tiny.STATE)), 0.0
    for token, target in zip([SPACE.start, *sentence], [*sentence, SPACE.end], strict=True):
        found, state = NETWORK.step(np.array([token]), state, vector[None])
        total += found[0, target]
    return total


def test_the_exact_order_is_that_of_brute_force():
    images = vectors(40)
    sentence = [5, 3, 11]
    rows, found = best_rows(NETWORK.step, None, images, images.mean(0), sentence, SPACE, k=3)
    assert rows.tolist() == sorted(range(40), key=lambda row: -by_hand(images[row], sentence))
    np.testing.assert_allclose(found[0], by_hand(images[rows[0]], sentence), rtol=1e-5)


def test_equal_vectors_come_in_the_order_of_their_rows():
    images = vectors(3)[[0, 1, 2, 0, 1, 2, 0]]
    rows, found = best_rows(NETWORK.step, None, images, images.mean(0), [4], SPACE, k=7)
    assert len(set(found.tolist())) == 3
    for value in set(found.tolist()):
        tied = rows[found == value].tolist()
        assert tied == sorted(tied)


def test_the_query_vector_is_the_slope_of_the_whole_sentence():
    image = vectors(1)[0]
    query = query_vector(slope, image, [5, 3, 11], SPACE)
    for column, move in enumerate(1e-5 * np.eye(tiny.IMAGE)):
        rise = by_hand(image + move, [5, 3, 11]) - by_hand(image - move, [5, 3, 11])
        assert query[column] == pytest.approx(rise / 2e-5, abs=1e-4)


@pytest.mark.parametrize("sentence", [[3], [5, 3, 11], [9, 9, 4, 7, 8]])
def test_a_short_list_has_the_exact_best_and_costs_the_step_no_more_than_its_rows(
    monkeypatch, sentence
):
    for name, value in (("SHORT_LIST", 20), ("ROWS_A_HIT", 5), ("EXACT_UP_TO", 50), ("POOL", 80)):
        monkeypatch.setattr(search, name, value)
    monkeypatch.setattr(search, "NEAR", 10)
    images = vectors(400, spread=0.3)
    scored = []

    def step(token, state, image):
        scored.append(len(image))
        return NETWORK.step(token, state, image)

    rows, _ = best_rows(step, slope, images, images.mean(0), sentence, SPACE, k=4)
    exact = sorted(range(400), key=lambda row: -by_hand(images[row], sentence))
    assert rows[:4].tolist() == exact[:4]
    assert scored == [20] * (len(sentence) + 1)


def test_without_a_gradient_or_with_few_images_every_image_is_ranked(monkeypatch):
    monkeypatch.setattr(search, "EXACT_UP_TO", 50)
    for gradient, count in ((None, 60), (slope, 50)):
        images = vectors(count)
        rows, _ = best_rows(NETWORK.step, gradient, images, images.mean(0), [3], SPACE, k=1)
        assert sorted(rows.tolist()) == list(range(count))


def test_a_short_list_is_ascending_and_has_every_row_once():
    images = vectors(300)
    rows = short_list(slope, images, images.mean(0), [3, 4], SPACE, count=120)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 120


def test_the_largest_come_first_and_ties_by_the_lower_row():
    values = np.array([1.0, 3.0, 2.0, 3.0, 2.0, 2.0])
    assert largest(values, 4).tolist() == [1, 3, 2, 4]
    assert largest(values, 99).tolist() == [1, 3, 2, 4, 5, 0]
    assert largest(values, 0).tolist() == []
    assert largest(np.zeros(0), 3).tolist() == []
