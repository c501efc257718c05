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


def test_other_light_multiplies_all_values_alike():
    random = np.random.default_rng(0)
    factors = []
    for _ in range(300):
        seen = recolour(COLOURED, light=0.3, saturation=0.0, random=random)
        factor = seen.mean() / COLOURED.mean()
        np.testing.assert_allclose(seen, COLOURED * factor, atol=1.5)
        factors.append(factor)
    assert 0.69 < min(factors) < 0.72
    assert 1.28 < max(factors) < 1.31


def test_contrast_changes_where_both_light_and_colours_may():
    """Of a grey picture saturation changes nothing, and light not the ratio of its values."""
    grey = np.full((4, 4, 3), 90, np.uint8)
    grey[:, 2:] = 110

    def ratios(light, saturation):
        random = np.random.default_rng(0)
        seen = [
            recolour(grey, light=light, saturation=saturation, random=random).astype(float)
            for _ in range(300)
        ]
        return [picture[0, 3, 0] / picture[0, 0, 0] for picture in seen]

    expected = pytest.approx([110 / 90] * 300, rel=0.02)
    assert ratios(0.3, 0.0) == expected
    assert ratios(0.0, 0.3) == expected
    # By 0.7 and 1.3: 107 over 93 and 113 over 87, but for what is rounded.
    assert min(ratios(0.3, 0.3)) == pytest.approx(1.15, abs=0.02)
    assert max(ratios(0.3, 0.3)) == pytest.approx(1.30, abs=0.04)


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


@given(share=st.floats(0.0, 0.99), other=st.floats(0.0, 0.99), seed=st.integers(0, 2**32))
def test_a_share_of_nought_draws_nothing_and_the_same_generator_gives_the_same(share, other, seed):
    seen = [
        recolour(COLOURED, light=share, saturation=other, random=np.random.default_rng(seed))
        for _ in "ab"
    ]
    np.testing.assert_array_equal(*seen)
    random = np.random.default_rng(seed)
    np.testing.assert_array_equal(
        recolour(COLOURED, light=0.0, saturation=0.0, random=random), COLOURED
    )
    assert random.random() == np.random.default_rng(seed).random()


@pytest.mark.parametrize(
    ("sentences", "mirror", "light", "saturation"),
    [
        ("two dogs run | a dog plays", True, 0.4, 0.4),
        ("two dogs run | a brown dog plays", True, 0.4, 0.0),
        ("a man at night | two people", True, 0.0, 0.4),
        ("a white dog | the dog is brown", True, 0.0, 0.0),
        ("two dogs run | a dog on the left", False, 0.4, 0.4),
        ("the right hand of a boy in grey and pink", False, 0.0, 0.0),
    ],
)
def test_what_a_sentence_names_is_not_changed(sentences, mirror, light, saturation):
    words = [each.split() for each in sentences.split("|")]
    how = variation(settings(colour=0.4), mirror=True, sentences=words)
    assert (how.mirror, how.light, how.saturation) == (mirror, light, saturation)
    still = variation(settings(), mirror=False, sentences=words)
    assert (still.mirror, still.light, still.saturation) == (False, 0.0, 0.0)


def test_crops_and_mirror_images_are_the_same_whatever_else_is_changed():
    """So that a recipe with other colours can be held against one without."""
    plain = variation(settings(crop_size=32), mirror=True, sentences=[["dogs"]])
    coloured = dataclasses.replace(plain, saturation=0.5)
    unmirrored = dataclasses.replace(plain, mirror=False)
    turned = 0
    for seed in range(40):
        seen, other, straight = (
            vary(MAP, how, random=np.random.default_rng(seed))
            for how in (plain, coloured, unmirrored)
        )
        # The places of the reddest and the greenest column and row say which crop it is.
        assert seen[:, :, 0].sum(0).argmax() == other[:, :, 0].sum(0).argmax()
        assert seen[:, :, 1].sum(1).argmax() == other[:, :, 1].sum(1).argmax()
        backwards = not np.array_equal(seen, straight)
        np.testing.assert_array_equal(mirror(seen) if backwards else seen, straight)
        turned += backwards
    assert 10 < turned < 30
