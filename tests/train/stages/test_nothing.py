"""Pictures of nothing, and that the stages show them in the place of as many as the recipe says."""

import dataclasses

import dataset
import numpy as np
import pytest
import torch

from mrnn_edge.errors import OptionError
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.stages.augment import nothing
from mrnn_edge_train.stages.finetune import FinetuneStage, WholeNetwork
from mrnn_edge_train.stages.selfcritical import SelfCriticalStage
from mrnn_edge_train.stages.stages import build_model


def many(count=300, size=32):
    random = np.random.default_rng(0)
    return np.stack([nothing(size, random) for _ in range(count)]).astype(float)


def slopes(pictures):
    """Which of them are planes: no second difference is more than rounding."""
    bend = np.abs(np.diff(pictures, n=2, axis=1)).max(axis=(1, 2, 3))
    return (bend <= 2) & ~plain(pictures)


def plain(pictures):
    """Which of them are of one colour."""
    return np.ptp(pictures, axis=(1, 2)).max(axis=1) == 0


def test_they_are_pictures_and_the_generator_decides_which():
    first, second = (nothing(64, np.random.default_rng(3)) for _ in "12")
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert (first != nothing(64, np.random.default_rng(4))).any()


def test_plain_ones_slopes_and_grain_are_all_among_them_in_grey_and_in_colour():
    pictures = many()
    grey = np.ptp(pictures, axis=3).max(axis=(1, 2)) == 0
    kinds = {"plain": plain(pictures), "slope": slopes(pictures)}
    kinds["grain"] = ~(kinds["plain"] | kinds["slope"])
    for kind, which in kinds.items():
        assert 0.15 < which.mean() < 0.6, kind
        assert (which & grey).any(), kind
        assert (which & ~grey).any(), kind
    assert pictures.min() == 0
    assert pictures.max() == 255


def test_slopes_go_in_all_directions():
    pictures = many()
    pictures = pictures[slopes(pictures)].mean(axis=3)
    down = np.sign(pictures[:, -8:].mean(axis=(1, 2)) - pictures[:, :8].mean(axis=(1, 2)))
    across = np.sign(pictures[..., -8:].mean(axis=(1, 2)) - pictures[..., :8].mean(axis=(1, 2)))
    assert {(-1, -1), (-1, 1), (1, -1), (1, 1)} <= set(zip(down, across, strict=True))


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


def test_the_second_stage_shows_them_in_the_place_of_a_share_of_the_pictures(
    two_stages, data, tmp_path, monkeypatch
):
    settings = dataclasses.replace(two_stages.finetune, nothing=0.25)
    recipe = dataclasses.replace(two_stages, finetune=settings)
    prepared = prepare(recipe, data, cache=tmp_path)
    cnn = EfficientNetLite(EncoderName(recipe.encoder), recipe.image_size)
    network = WholeNetwork(cnn, build_model(recipe, prepared))
    stage = FinetuneStage(recipe, prepared, network, seed=1)
    sign = np.full((settings.crop_size, settings.crop_size, 3), 77, np.uint8)
    monkeypatch.setattr("mrnn_edge_train.stages.finetune.nothing", lambda size, random: sign)
    shown = stage.augmented([0] * 400, np.random.default_rng(0))
    assert (shown == 77).all(axis=(1, 2, 3)).mean() == pytest.approx(0.25, abs=0.07)


def rewarded(recipe, data, cache):
    prepared = prepare(recipe, data, cache=cache)
    cnn = EfficientNetLite(EncoderName(recipe.encoder), recipe.image_size)
    model = build_model(recipe, prepared)
    return SelfCriticalStage(recipe, prepared, model, cnn, seed=1)


def test_the_reward_keeps_its_pictures_and_tells_a_share_of_the_references_of_nothing(
    three_stages, data, tmp_path, monkeypatch
):
    settings = dataclasses.replace(three_stages.self_critical, nothing=0.5)
    stage = rewarded(dataclasses.replace(three_stages, self_critical=settings), data, tmp_path)
    pictures = stage._views[0]
    seen, hidden = [], 0

    def cost(chosen, vectors, told):
        nonlocal hidden
        seen.extend(chosen)
        for number, vector, other in zip(chosen, vectors, told, strict=True):
            assert torch.equal(vector, pictures[number])
            if not torch.equal(other, vector):
                assert (stage._nothings == other).all(dim=1).any()
                hidden += 1
        return torch.tensor(0.0)

    monkeypatch.setattr(stage, "_cost", cost)
    for epoch in range(1, 21):
        list(stage.costs(epoch=epoch, first=0))
    assert sorted(seen) == sorted([*range(12)] * 20)
    assert hidden / len(seen) == pytest.approx(0.5, abs=0.12)


def test_the_cnn_reads_them_before_the_reward(three_stages, data, tmp_path):
    settings = dataclasses.replace(three_stages.self_critical, nothing=0.5)
    stage = rewarded(dataclasses.replace(three_stages, self_critical=settings), data, tmp_path)
    random = np.random.default_rng((1, 512))
    cnn = EfficientNetLite(EncoderName.LITE0, 32)
    expected = cnn(torch.from_numpy(np.stack([nothing(32, random) for _ in range(512)])))
    torch.testing.assert_close(stage._nothings, expected, atol=1e-4, rtol=1e-4)


def test_the_references_are_told_of_nothing_and_the_captions_drawn_of_the_picture(
    three_stages, data, tmp_path, monkeypatch
):
    stage = rewarded(three_stages, data, tmp_path)
    stage.network.eval()
    own, other = stage._views[0, [0, 4]], stage._views[0, [7, 9]]
    drawn_for = []
    end = stage.data.vocabulary.end

    def sample(vectors):
        drawn_for.append(vectors)
        return [[(end,)] * 3] * 2  # the same three times: no advantage, so no gain

    monkeypatch.setattr(stage, "sample", sample)
    alike = stage._cost([0, 4], other, other).detach()
    apart = stage._cost([0, 4], own, other).detach()
    assert torch.equal(drawn_for[1], own)
    torch.testing.assert_close(apart, alike)
    assert not torch.isclose(stage._cost([0, 4], own, own).detach(), apart)


def test_nothing_without_a_second_stage_is_refused(three_stages):
    settings = dataclasses.replace(three_stages.self_critical, nothing=0.1)
    with pytest.raises(OptionError, match="nothing is above 0, but needs the tuned CNN"):
        dataclasses.replace(three_stages, finetune=None, self_critical=settings)


@pytest.mark.parametrize("stage", ["finetune", "self_critical"])
def test_a_share_of_one_or_more_is_refused(three_stages, stage):
    with pytest.raises(OptionError, match="nothing is 1"):
        dataclasses.replace(getattr(three_stages, stage), nothing=1.0)
