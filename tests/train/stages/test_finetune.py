"""The second stage on a generated data set, with the smallest CNN at 32 pixels."""

import dataclasses

import dataset
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from training import plan

from mrnn_edge.errors import OptionError
from mrnn_edge_train import prepare as preparing
from mrnn_edge_train.journal import StageName
from mrnn_edge_train.loop import train
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.stages import finetune
from mrnn_edge_train.stages.finetune import FinetuneStage, WholeNetwork, split_weights
from mrnn_edge_train.stages.stages import build_model


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


def stage_of(recipe, data, cache):
    prepared = prepare(recipe, data, cache=cache)
    cnn = EfficientNetLite(EncoderName(recipe.encoder), recipe.image_size)
    network = WholeNetwork(cnn, build_model(recipe, prepared))
    return FinetuneStage(recipe, prepared, network, seed=1)


def test_left_and_right_stay_true_to_the_words(two_stages, data, tmp_path):
    """Pictures are black on the left; three of the twelve have a sentence that says so."""
    captions = data / "text" / "Flickr8k.token.txt"
    text = captions.read_text()
    for number in (0, 4, 8):
        text = text.replace(f"train{number}.png#1\tThe", f"train{number}.png#1\tLeft")
    captions.write_text(text)
    half = np.full((32, 32, 3), 250, np.uint8)
    half[:, :16] = 0
    for number in range(12):
        Image.fromarray(half).save(data / "images" / f"train{number}.png")
    stage = stage_of(two_stages, data, tmp_path)
    mirrored = np.zeros(12, int)
    for seed in range(60):
        seen = stage.augmented(list(range(12)), np.random.default_rng(seed))
        mirrored += seen[:, :, :8].mean(axis=(1, 2, 3)) > seen[:, :, -8:].mean(axis=(1, 2, 3))
    assert mirrored[[0, 4, 8]].tolist() == [0, 0, 0]
    others = np.delete(mirrored, [0, 4, 8])
    assert (others > 10).all()
    assert (others < 50).all()


def test_a_recipe_may_leave_mirror_images_out_of_both_stages(two_stages, data, tmp_path):
    for number in range(12):
        half = np.full((32, 32, 3), 250, np.uint8)
        half[:, :16] = 0
        Image.fromarray(half).save(data / "images" / f"train{number}.png")
    stage = stage_of(dataclasses.replace(two_stages, mirror=False), data, tmp_path)
    assert stage.data.train_table.mirrored is None
    for seed in range(20):
        seen = stage.augmented(list(range(12)), np.random.default_rng(seed)).astype(int)
        assert (seen[:, :, :8].mean(axis=(1, 2, 3)) < seen[:, :, -8:].mean(axis=(1, 2, 3))).all()


def test_an_epoch_shows_every_picture_once_and_the_same_seed_shows_the_same(
    two_stages, data, tmp_path, monkeypatch
):
    stage = stage_of(two_stages, data, tmp_path)
    seen = []

    def cost(chosen, pictures):
        seen.append((chosen, pictures.tobytes()))
        return torch.tensor(0.0)

    monkeypatch.setattr(stage, "_cost", cost)
    list(stage.costs(epoch=1, first=0))
    whole = list(seen)
    assert sorted(number for chosen, _ in whole for number in chosen) == list(range(12))
    seen.clear()
    list(stage.costs(epoch=1, first=1))
    assert seen == whole[1:]
    seen.clear()
    list(stage.costs(epoch=2, first=0))
    assert seen != whole


def test_the_cost_is_the_mean_over_all_sentences_of_the_pictures(two_stages, data, tmp_path):
    stage = stage_of(two_stages, data, tmp_path)
    stage.network.eval()
    pictures = stage.augmented([3, 5], np.random.default_rng(0))
    cost = float(stage._cost([3, 5], pictures).detach())
    bits, words = 0.0, 0
    model, vocabulary = stage.network.model, stage.data.vocabulary
    with torch.no_grad():
        vectors = stage.network.cnn(torch.from_numpy(pictures))
        for row, number in enumerate((3, 5)):
            for sentence in stage.data.train[number].sentences:
                image = model.image_vector(vectors[row : row + 1])
                state = torch.zeros(1, model.recurrent.state_size)
                previous = vocabulary.start
                for word in (*vocabulary.encode(sentence), vocabulary.end):
                    log_probs, state = model.step(torch.tensor([previous]), state, image)
                    bits -= float(log_probs[0, word]) / np.log(2)
                    words, previous = words + 1, word
    assert cost == pytest.approx(bits / words, rel=1e-4)


def test_without_bfloat16_the_cnn_computes_in_float32_and_that_is_said(
    two_stages, data, tmp_path, monkeypatch
):
    half = dataclasses.replace(
        two_stages, finetune=dataclasses.replace(two_stages.finetune, bfloat16=True)
    )
    pictures = np.zeros((2, 32, 32, 3), np.uint8)

    def cost(recipe):
        torch.manual_seed(1)
        return stage_of(recipe, data, tmp_path)._cost([0, 1], pictures).item()

    for has, said in ((True, 0), (False, 1)):
        for module in (finetune, preparing):
            monkeypatch.setattr(module, "has_bfloat16", lambda _, has=has: has)
        assert (cost(half) == cost(two_stages)) is not has
        told = []
        prepare(half, data, cache=tmp_path, say=told.append)
        assert sum("no bfloat16 here" in line for line in told) == said


def test_cnn_and_language_model_learn_at_rates_of_their_own(two_stages, data, tmp_path):
    stage = stage_of(two_stages, data, tmp_path)
    cnn, rest = stage.groups()
    assert (cnn["peak"], rest["peak"]) == (
        two_stages.finetune.cnn_rate, two_stages.finetune.learning_rate,
    )  # fmt: skip
    assert all(each.requires_grad for each in cnn["params"])
    assert len(rest["params"]) == len(list(stage.network.model.parameters()))
    next(stage.costs(epoch=1, first=stage.steps - 1)).backward()
    assert all(each.grad is not None for group in (cnn, rest) for each in group["params"])


def test_a_run_of_two_stages_learns_and_keeps_the_cnn_with_the_rest(two_stages, data, tmp_path):
    prepared = prepare(two_stages, data, cache=tmp_path)
    epochs = list(train(plan(two_stages, data), prepared, tmp_path / "run"))
    assert [(each.stage, each.epoch) for each in epochs] == [
        (StageName.FEATURES, 1), (StageName.FEATURES, 2),
        (StageName.FINETUNE, 1), (StageName.FINETUNE, 2),
    ]  # fmt: skip
    assert epochs[3].train_bits < epochs[2].train_bits
    best = max(epochs, key=lambda each: each.dev_cider)
    cnn, rest = split_weights(load_file(tmp_path / "run" / "best.safetensors"))
    assert "softmax.bias" in rest
    if best.stage is StageName.FEATURES:
        assert cnn == {}
        return
    pretrained = EfficientNetLite(EncoderName.LITE0, 32).state_dict()
    assert cnn.keys() == pretrained.keys()
    changed = {name for name in cnn if not torch.equal(cnn[name], pretrained[name])}
    assert "network._conv_head.weight" in changed
    assert "network._conv_stem.weight" not in changed


def test_a_feature_table_cannot_be_tuned(two_stages, data, tmp_path):
    np.savez(tmp_path / "table.npz", names=np.array(["a"]), features=np.zeros((1, 2)))
    recipe = dataclasses.replace(two_stages, encoder=str(tmp_path / "table.npz"))
    with pytest.raises(OptionError, match="tunes the CNN"):
        prepare(recipe, data, cache=tmp_path)
