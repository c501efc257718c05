"""The stage of reward on a generated data set, its cost computed by hand from single steps."""

import dataclasses

import dataset
import numpy as np
import pytest
import torch

from mrnn_edge_train.loop import prepare, train
from mrnn_edge_train.selfcritical import SelfCriticalStage
from mrnn_edge_train.stages import build_model


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


@pytest.fixture
def stage(three_stages, data, tmp_path):
    prepared = prepare(three_stages, data, cache=tmp_path)
    torch.manual_seed(1)
    model = build_model(three_stages, prepared)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    settings = three_stages.self_critical
    return SelfCriticalStage(three_stages, settings, prepared, model, None, {}, seed=1)


def bits_of(stage, picture, ids):
    """Bits of each word and the end sign, a step at a time."""
    model, vocabulary = stage.network, stage._data.vocabulary
    image = model.image_vector(stage._vectors[picture : picture + 1])
    state, previous, found = torch.zeros(1, model.recurrent.state_size), vocabulary.start, []
    for word in (*ids, vocabulary.end):
        log_probs, state = model.step(torch.tensor([previous]), state, image)
        found.append(-float(log_probs[0, word].detach()) / np.log(2))
        previous = word
    return found


def test_the_cost_weighs_each_word_by_its_sentences_advantage(stage, monkeypatch):
    encode = stage._data.vocabulary.encode
    drawn = [
        [encode(["a", "red", "wall"]), encode(["red", "wall"]), encode(["blue"])],
        [encode(["the", "wall", "is", "green"]), encode(["dog"]), ()],
    ]
    monkeypatch.setattr(stage, "sample", lambda vectors: drawn)
    cost = float(stage._cost([0, 4]).detach())
    gained, words = 0.0, 0
    end = stage._data.vocabulary.end
    for picture, group in zip((0, 4), drawn, strict=True):
        rewards = [stage._reward.score(picture, (*ids, end)) for ids in group]
        for own, (reward, ids) in enumerate(zip(rewards, group, strict=True)):
            others = np.mean(np.delete(rewards, own))
            bits = bits_of(stage, picture, ids)
            gained += (reward - others) * sum(bits) * np.log(2)
            words += len(bits)
    told = [b for picture in (0, 4) for ids in stage._sentences[picture]
            for b in bits_of(stage, picture, ids)]  # fmt: skip
    assert cost == pytest.approx(gained / words + 0.2 * np.mean(told), rel=1e-4)


def test_samples_follow_the_model_and_hold_neither_start_nor_unknown_word(stage):
    vocabulary = stage._data.vocabulary
    torch.manual_seed(2)
    samples = stage.sample(stage._vectors[:4])
    assert [len(group) for group in samples] == [3, 3, 3, 3]
    banned = {vocabulary.start, vocabulary.unknown, vocabulary.end}
    assert not any(banned & set(ids) for group in samples for ids in group)
    assert len({ids for group in samples for ids in group}) > 3
    with torch.no_grad():
        stage.network.softmax.bias[vocabulary.end] = 50.0
    assert stage.sample(stage._vectors[:2]) == [[()] * 3] * 2


def test_without_a_tuned_cnn_the_stage_stands_on_the_feature_table(three_stages, data, tmp_path):
    recipe = dataclasses.replace(three_stages, finetune=None)
    prepared = prepare(recipe, data, cache=tmp_path)
    epochs = list(train(recipe, prepared, tmp_path / "run", seed=1, source=str(data)))
    assert [each.stage for each in epochs] == ["features", "features", "self-critical"]
