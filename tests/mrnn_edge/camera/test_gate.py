"""What counts as nothing new: noise does, a small thing that moved does not."""

import numpy as np
import pytest

from mrnn_edge.camera.gate import BeamClock, Stillness, field_means

RANDOM = np.random.default_rng(0)
ROOM = RANDOM.integers(60, 190, (480, 640, 3)).astype(float)


def shot(picture: np.ndarray, *, sigma: float = 0.0) -> np.ndarray:
    noise = RANDOM.normal(0.0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_the_means_are_those_of_the_fields():
    pixels = RANDOM.integers(0, 256, (32, 48, 3), np.uint8)
    by_hand = pixels.reshape(16, 2, 16, 3, 3).mean(axis=(1, 3))
    assert np.allclose(field_means(pixels), by_hand)
    backwards = field_means(pixels[..., ::-1])
    assert np.allclose(backwards, by_hand[..., ::-1])


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (17, 33), (63, 64), (65, 200), (480, 640)])
def test_frames_of_every_size_have_means(size):
    means = field_means(np.full((*size, 3), (10, 20, 30), np.uint8))
    assert means.shape == (min(16, size[0]), min(16, size[1]), 3)
    assert np.allclose(means, [10, 20, 30])


def test_the_first_frame_is_new_and_noise_is_not():
    stillness = Stillness()
    assert stillness.changed(shot(ROOM, sigma=4.0))
    assert not any(stillness.changed(shot(ROOM, sigma=4.0)) for _ in range(20))


def test_a_small_thing_that_comes_in_is_new():
    stillness = Stillness()
    stillness.changed(shot(ROOM, sigma=4.0))
    visited = ROOM.copy()
    visited[100:120, 300:320] = 250.0  # a thousandth of the picture
    assert stillness.changed(shot(visited, sigma=4.0))


def test_a_colour_that_changes_at_the_same_brightness_is_new():
    stillness = Stillness()
    stillness.changed(np.full((60, 60, 3), (100, 50, 60), np.uint8))
    assert stillness.changed(np.full((60, 60, 3), (60, 50, 100), np.uint8))


def test_what_changes_slowly_is_new_in_the_end():
    stillness = Stillness()
    found = [
        stillness.changed(np.full((64, 64, 3), 50 + number // 4, np.uint8)) for number in range(41)
    ]
    # A level each fourth frame, and two levels make a new one.
    assert [number for number, new in enumerate(found) if new] == [0, 8, 16, 24, 32, 40]


def test_another_size_is_another_frame_and_so_is_one_after_forgetting():
    stillness = Stillness()
    grey = np.full((8, 8, 3), 90, np.uint8)
    assert stillness.changed(grey)
    assert stillness.changed(grey[:, :4])
    assert not stillness.changed(grey[:, :4])
    stillness.forget()
    assert stillness.changed(grey[:, :4])


def test_before_anything_is_known_the_beam_is_one():
    assert BeamClock(3).widest_within(1000.0) == 1


def test_the_beam_widens_as_far_as_the_time_allows():
    clock = BeamClock(5)
    clock.record(1, 10.0)
    assert clock.widest_within(29.0) == 2
    assert clock.widest_within(30.0) == 3
    clock.record(3, 15.0)
    assert clock.widest_within(15.0) == 3
    assert clock.widest_within(25.0) == 5


def test_where_no_beam_is_ready_in_time_it_is_one():
    clock = BeamClock(5)
    clock.record(1, 10.0)
    assert clock.widest_within(1.0) == 1
    assert clock.widest_within(-5.0) == 1


def test_one_slow_search_narrows_the_beam_and_is_forgotten():
    clock = BeamClock(3)
    clock.record(3, 15.0)
    clock.record(3, 80.0)
    assert clock.widest_within(20.0) == 1
    for _ in range(60):
        clock.record(1, 5.0)
    assert clock.widest_within(20.0) == 3
