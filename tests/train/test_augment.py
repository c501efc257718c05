import colorsys
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge_train.augment import crop, mirror, recolour, variation, vary
from mrnn_edge_train.recipe import read_recipe

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


COLOURED = np.random.default_rng(3).integers(60, 190, (16, 16, 3)).astype(np.uint8)


def settings(**changes):
    return dataclasses.replace(read_recipe("flickr8k").finetune, **changes)


def spread(pixels):
    """How far the colours of the pixels are from grey, together."""
    return float(np.ptp(pixels.astype(int), axis=2).sum())


def test_other_light_is_brighter_and_darker_and_of_more_and_less_contrast():
    flat = np.full((4, 4, 3), 100, np.uint8)
    random = np.random.default_rng(0)
    means = [recolour(flat, light=0.3, saturation=0.0, random=random).mean() for _ in range(300)]
    # Of a plain picture contrast changes nothing.
    assert 70 <= min(means) < 72
    assert 128 < max(means) <= 130
    seen = [recolour(COLOURED, light=0.3, saturation=0.0, random=random) for _ in range(300)]
    # What brightness multiplies, mean and deviation, stays out of their ratio.
    ratios = [each.std() / each.mean() / (COLOURED.std() / COLOURED.mean()) for each in seen]
    assert 0.69 < min(ratios) < 0.73
    assert 1.2 < max(ratios) < 1.33


def test_paler_and_deeper_colours_leave_grey_as_it_is_and_turn_no_hue():
    random = np.random.default_rng(0)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(recolour(grey, light=0.0, saturation=0.5, random=random), grey)
    red = np.full((2, 2, 3), (180, 80, 60), np.uint8)
    hue = colorsys.rgb_to_hsv(*red[0, 0] / 255)[0]
    shares = []
    for _ in range(300):
        seen = recolour(red, light=0.0, saturation=0.5, random=random)
        assert colorsys.rgb_to_hsv(*seen[0, 0] / 255)[0] == pytest.approx(hue, abs=0.01)
        shares.append(spread(seen) / spread(red))
    assert 0.49 < min(shares) < 0.53
    assert 1.47 < max(shares) < 1.51


@given(share=st.floats(0.01, 0.99), other=st.floats(0.01, 0.99), seed=st.integers(0, 2**32))
def test_the_same_generator_gives_the_same_colours_and_none_are_given_again(share, other, seed):
    random, again = np.random.default_rng(seed), np.random.default_rng(seed)
    first, second = (recolour(COLOURED, light=share, saturation=other, random=random) for _ in "ab")
    np.testing.assert_array_equal(
        first, recolour(COLOURED, light=share, saturation=other, random=again)
    )
    assert not np.array_equal(first, second) or max(share, other) < 0.05
    still = recolour(COLOURED, light=0.0, saturation=0.0, random=random)
    np.testing.assert_array_equal(still, COLOURED)


@pytest.mark.parametrize(
    ("sentences", "mirror", "light", "saturation"),
    [
        ("two dogs run | a dog plays", True, 0.4, 0.4),
        ("two dogs run | a brown dog plays", True, 0.0, 0.0),
        ("ein Hund | a coloured ball", True, 0.0, 0.0),
        ("a man at night | two people", True, 0.0, 0.4),
        ("a white dog | the dog is brown", True, 0.0, 0.0),
        ("two dogs run | a dog on the left", False, 0.4, 0.4),
        ("the right hand of a boy in grey and pink", False, 0.0, 0.0),
    ],
)
def test_what_a_sentence_names_is_not_changed(sentences, mirror, light, saturation):
    words = [each.split() for each in sentences.split("|")]
    how = variation(settings(colour=0.4), words, mirror=True)
    assert (how.mirror, how.light, how.saturation) == (mirror, light, saturation)
    still = variation(settings(), words, mirror=False)
    assert (still.mirror, still.light, still.saturation) == (False, 0.0, 0.0)


def test_crops_and_mirror_images_are_the_same_whatever_else_is_changed():
    """So that a recipe with other colours can be held against one without."""
    blocks = np.random.default_rng(5).integers(80, 140, (8, 8)).astype(np.uint8)
    grey = np.repeat(np.kron(blocks, np.ones((8, 8), np.uint8))[:, :, None], 3, axis=2)
    plain = variation(settings(crop_size=32), [["dogs"]], mirror=True)
    turned = 0
    for seed in range(40):
        randoms = [np.random.default_rng(seed) for _ in "abcd"]
        for _ in range(3):
            seen, pale, lit, straight = (
                vary(grey, how, random=random)
                for how, random in zip(
                    (
                        plain,
                        # Grey stays grey.
                        dataclasses.replace(plain, saturation=0.5),
                        dataclasses.replace(plain, light=0.3),
                        dataclasses.replace(plain, mirror=False),
                    ),
                    randoms,
                    strict=True,
                )
            )
            np.testing.assert_array_equal(seen, pale)
            # Other light keeps the order of the values, but for rounding.
            assert np.corrcoef(seen.ravel(), lit.ravel())[0, 1] > 0.999
            backwards = not np.array_equal(seen, straight)
            np.testing.assert_array_equal(mirror(seen) if backwards else seen, straight)
            turned += backwards
    assert 40 < turned < 80
