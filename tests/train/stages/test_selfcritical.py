"""The stage of reward on a generated data set, its cost computed by hand from single steps."""

import dataclasses

import dataset
import numpy as np
import pytest
import torch
from pycocoevalcap.cider.cider import Cider
from training import plan

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import OptionError
from mrnn_edge.image.read import read_pixels
from mrnn_edge_train.loop import train
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.stages.augment import variation, vary
from mrnn_edge_train.stages.selfcritical import SelfCriticalStage, drawn
from mrnn_edge_train.stages.stages import build_model


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
    return SelfCriticalStage(three_stages, prepared, model, None, seed=1)


def bits_of(stage, picture, ids, *, among_the_sayable=False):
    """Bits of each word, a step at a time; of all words, or of those that a caption can have."""
    model, vocabulary = stage.network, stage.data.vocabulary
    image = model.image_vector(stage._views[0, picture : picture + 1])
    state, previous, found = torch.zeros(1, model.recurrent.state_size), vocabulary.start, []
    for word in ids:
        log_probs, state = model.step(torch.tensor([previous]), state, image)
        probabilities = log_probs[0].detach().exp()
        if among_the_sayable:
            probabilities = probabilities / (
                1.0 - probabilities[vocabulary.start] - probabilities[vocabulary.unknown]
            )
        found.append(-float(probabilities[word].log2()))
        previous = word
    return found


def toolkits_reward(stage, picture, ids):
    """CIDEr-D of the coco-caption toolkit, references and their document frequencies having the
    end sign as a word."""
    end = stage.data.vocabulary.end

    def text(ids):
        return " ".join(map(str, ids))

    truth = {row: [text((*each, end)) for each in group]
             for row, group in enumerate(stage._sentences)}  # fmt: skip
    guess = {row: [text(ids) if row == picture else ""] for row in truth}
    return Cider().compute_score(truth, guess)[1][picture]


def test_the_cost_weighs_each_word_by_its_sentences_advantage(stage, monkeypatch):
    encode, end = stage.data.vocabulary.encode, stage.data.vocabulary.end
    cut_off = (*encode(["green", "wall"]),)
    samples = [
        [(*encode(words), end) for words in (["a", "red", "wall"], ["red", "wall"], ["blue"])],
        [(*encode(["the", "wall", "is", "green"]), end), cut_off, (end,)],
    ]
    assert toolkits_reward(stage, 4, cut_off) < toolkits_reward(stage, 4, (*cut_off, end))
    monkeypatch.setattr(stage, "sample", lambda vectors: samples)
    vectors = stage._views[0, [0, 4]]
    cost = float(stage._cost([0, 4], vectors, vectors).detach())
    gained, words = 0.0, 0
    for picture, group in zip((0, 4), samples, strict=True):
        rewards = [toolkits_reward(stage, picture, ids) for ids in group]
        for own, (reward, ids) in enumerate(zip(rewards, group, strict=True)):
            others = np.mean(np.delete(rewards, own))
            bits = bits_of(stage, picture, ids, among_the_sayable=True)
            gained += (reward - others) * sum(bits) * np.log(2)
            words += len(bits)
    told = [b for picture in (0, 4) for ids in stage._sentences[picture]
            for b in bits_of(stage, picture, (*ids, end))]  # fmt: skip
    assert cost == pytest.approx(gained / words + 0.2 * np.mean(told), rel=1e-4)


def test_samples_follow_the_model_and_hold_neither_start_nor_unknown_word(stage):
    vocabulary = stage.data.vocabulary
    torch.manual_seed(2)
    samples = stage.sample(stage._views[0, :4])
    assert [len(group) for group in samples] == [3, 3, 3, 3]
    banned = {vocabulary.start, vocabulary.unknown}
    assert not any(banned & set(ids) for group in samples for ids in group)
    assert not any(vocabulary.end in ids[:-1] for group in samples for ids in group)
    assert len({ids for group in samples for ids in group}) > 3
    with torch.no_grad():
        stage.network.softmax.bias[vocabulary.end] = 50.0
    assert stage.sample(stage._views[0, :2]) == [[(vocabulary.end,)] * 3] * 2


def test_a_sample_that_was_cut_off_has_no_end_sign(stage):
    end = stage.data.vocabulary.end
    with torch.no_grad():
        stage.network.softmax.bias[end] = -1e4
    samples = [ids for group in stage.sample(stage._views[0, :4]) for ids in group]
    assert {len(ids) for ids in samples} == {20}
    assert not any(end in ids for ids in samples)


def test_words_are_drawn_as_often_as_they_are_likely_and_never_where_they_cannot_come():
    torch.manual_seed(3)
    wanted = torch.tensor([0.0, 0.5, 0.125, 0.0, 0.375, 0.0])
    found = torch.bincount(drawn(wanted.expand(20_000, -1)), minlength=6) / 20_000
    assert found[wanted == 0].sum() == 0
    # Four standard deviations of a share of 20,000.
    torch.testing.assert_close(found, wanted, atol=4 * (0.25 / 20_000) ** 0.5, rtol=0.0)


def test_rows_go_on_with_their_own_picture_and_state_when_others_have_ended(stage):
    model, vocabulary = stage.network, stage.data.vocabulary
    with torch.no_grad():
        # So sure of itself that it can only say the likeliest word.
        model.softmax.bias.mul_(1e6)
        model.softmax.projection.weight.mul_(1e6)
        model.image_to_multimodal.weight.mul_(20.0)
    sure, expected = [], []
    for number, vector in enumerate(stage._views[0]):
        image = model.image_vector(vector[None])
        state, token = torch.zeros(1, model.recurrent.state_size), vocabulary.start
        said, leads = [], []
        while len(said) < 20:
            log_probs, state = model.step(torch.tensor([token]), state, image)
            log_probs[0, [vocabulary.start, vocabulary.unknown]] = -torch.inf
            best, second = log_probs[0].detach().topk(2).values.tolist()
            leads.append(best - second)
            said.append(token := int(log_probs.argmax()))
            if token == vocabulary.end:
                break
        # Of hundreds of thousands; a lead of 1 is one of rounding, which differs with the batch.
        if min(leads) > 100.0:
            sure.append(number)
            expected.append([tuple(said)] * 3)
    assert len({len(group[0]) for group in expected}) > 1
    assert stage.sample(stage._views[0, sure]) == expected


def test_no_reward_moves_what_can_never_be_sampled(stage, monkeypatch):
    vocabulary = stage.data.vocabulary
    said = (["a", "red", "wall"], ["blue"], [])
    groups = [[(*vocabulary.encode(words), vocabulary.end) for words in said]]
    monkeypatch.setattr(stage, "sample", lambda vectors: groups)
    stage._rewarded = dataclasses.replace(stage._rewarded, cost_weight=0.0)
    vectors = stage._views[0, [0]]
    torch.autograd.backward(stage._cost([0], vectors, vectors))
    gradient = stage.network.softmax.bias.grad
    assert gradient[[vocabulary.start, vocabulary.unknown]].tolist() == [0.0, 0.0]
    assert gradient.abs().sum() > 0


def test_a_network_that_is_sure_of_the_unknown_word_says_another(stage):
    vocabulary = stage.data.vocabulary
    with torch.no_grad():
        stage.network.softmax.bias[vocabulary.unknown] = 1e4
        stage.network.softmax.bias[vocabulary.end] = 50.0
    assert stage.sample(stage._views[0, :2]) == [[(vocabulary.end,)] * 3] * 2


def test_each_picture_is_seen_whole_or_as_one_of_its_crops(three_stages, data, tmp_path):
    settings = dataclasses.replace(three_stages.self_critical, crops=3)
    recipe = dataclasses.replace(three_stages, self_critical=settings)
    prepared = prepare(recipe, data, cache=tmp_path)
    model = build_model(recipe, prepared)
    cnn = EfficientNetLite(EncoderName.LITE0, recipe.image_size)
    stage = SelfCriticalStage(recipe, prepared, model, cnn, seed=1)
    assert stage._views.shape == (4, 12, 1280)
    for number in (0, 7):
        image = prepared.train[number]
        pixels = read_pixels(image.path, ImageSpec(height=32, width=32))
        random = np.random.default_rng((1, number))
        how = variation(recipe.finetune, image.sentences, mirror=True)
        crops = [vary(pixels, how, random=random) for _ in "123"]
        expected = cnn(torch.from_numpy(np.stack([pixels, *crops])))
        torch.testing.assert_close(stage._views[:, number], expected, atol=1e-4, rtol=1e-4)
    seen = []
    stage._cost = lambda chosen, vectors, told: seen.append((chosen, vectors))
    list(stage.costs(epoch=1, first=0))
    assert sorted(number for chosen, _ in seen for number in chosen) == list(range(12))
    views = []
    for chosen, vectors in seen:
        for number, vector in zip(chosen, vectors, strict=True):
            views.append(int((stage._views[:, number] == vector).all(dim=1).nonzero()[0]))
    assert len(set(views)) > 1


def test_crops_of_a_recipe_without_finetune_are_refused(three_stages):
    settings = dataclasses.replace(three_stages.self_critical, crops=3)
    with pytest.raises(OptionError, match="crops is above 0, but needs the tuned CNN"):
        dataclasses.replace(three_stages, finetune=None, self_critical=settings)


def test_without_a_tuned_cnn_the_stage_stands_on_the_feature_table(three_stages, data, tmp_path):
    recipe = dataclasses.replace(three_stages, finetune=None)
    prepared = prepare(recipe, data, cache=tmp_path)
    epochs = list(train(plan(recipe, data), prepared, tmp_path / "run"))
    assert [each.stage for each in epochs] == ["features", "features", "self-critical"]
