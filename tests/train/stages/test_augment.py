import dataclasses

import numpy as np
import pytest

from mrnn_edge_train.recipe import read_recipe
from mrnn_edge_train.stages.augment import crop, mirror, variation, vary

# Red grows to the right, green downwards: a pixel's colour says where it is from.
Y, X = np.indices((64, 64))
MAP = np.stack([3 * X, 3 * Y, 0 * X], axis=2).astype(np.uint8)


def test_crops_stay_within_the_picture_and_within_the_share_of_its_area():
    random = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        seen = crop(MAP, size=32, smallest=0.5, random=random).astype(float)
        # From the first to the last pixel's middle it is 31 of the 32 parts of the side.
        width = (seen[:, -1, 0] - seen[:, 0, 0]).mean() / 3 * 32 / 31
        height = (seen[-1, :, 1] - seen[0, :, 1]).mean() / 3 * 32 / 31
        assert width == pytest.approx(height, abs=2)
        areas.append(width * height / 64**2)
    assert 0.45 < min(areas) < 0.55
    assert 0.93 < max(areas) < 1.05


def test_a_crop_of_everything_at_the_same_size_is_the_picture():
    found = crop(MAP, size=64, smallest=1.0, random=np.random.default_rng(0))
    np.testing.assert_array_equal(found, MAP)


def test_the_same_generator_gives_the_same_crop():
    one, two = (crop(MAP, size=32, smallest=0.5, random=np.random.default_rng(7)) for _ in "ab")
    np.testing.assert_array_equal(one, two)


def test_a_mirror_changes_left_and_right_about_and_nothing_else():
    np.testing.assert_array_equal(mirror(MAP)[:, :, 0], 3 * X[:, ::-1])
    np.testing.assert_array_equal(mirror(MAP)[:, :, 1], MAP[:, :, 1])


def settings(**changes):
    return dataclasses.replace(read_recipe("flickr8k").finetune, **changes)


@pytest.mark.parametrize(
    ("sentences", "mirror"),
    [
        ("two dogs run | a dog plays", True),
        ("two dogs run | a dog on the left", False),
        ("the right hand of a boy in grey and pink", False),
    ],
)
def test_a_picture_is_not_mirrored_where_a_sentence_names_a_side(sentences, mirror):
    words = [each.split() for each in sentences.split("|")]
    assert variation(settings(), words, mirror=True).mirror == mirror
    assert not variation(settings(), words, mirror=False).mirror


def test_crops_are_the_same_with_and_without_mirror_images():
    """So that a recipe with mirror images can be held against one without."""
    how = variation(settings(crop_size=32), [["dogs"]], mirror=True)
    turned = 0
    for seed in range(40):
        one, other = (np.random.default_rng(seed) for _ in "ab")
        for _ in range(3):
            seen = vary(MAP, how, random=one)
            straight = vary(MAP, dataclasses.replace(how, mirror=False), random=other)
            backwards = not np.array_equal(seen, straight)
            np.testing.assert_array_equal(mirror(seen) if backwards else seen, straight)
            turned += backwards
    assert 40 < turned < 80
