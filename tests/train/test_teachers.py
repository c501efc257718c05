"""A network that learns from two others, on a generated data set with the smallest CNN."""

import dataclasses

import dataset
import numpy as np
import pytest
import torch

from mrnn_edge.errors import OptionError
from mrnn_edge_train.batches import collate
from mrnn_edge_train.device import CPU
from mrnn_edge_train.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.finetune import FinetuneStage, WholeNetwork
from mrnn_edge_train.loop import prepare, train
from mrnn_edge_train.recipe import Distill
from mrnn_edge_train.runs import read_run
from mrnn_edge_train.stages import build_model
from mrnn_edge_train.teachers import read_teachers


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


@pytest.fixture
def teachers(two_stages, data, tmp_path):
    """Two runs: one with its CNN as it came and a cell of its own, one of two stages."""
    plain = dataclasses.replace(two_stages, finetune=None, cell="lstm", state=12)
    folders = []
    for seed, recipe in ((1, plain), (2, two_stages)):
        folders.append(tmp_path / f"teacher{seed}")
        prepared = prepare(recipe, data, cache=tmp_path)
        list(train(recipe, prepared, folders[-1], seed=seed, source=str(data)))
    return folders


def learner(recipe, folders, *, weight=0.5, temperature=1.0):
    settings = Distill(teachers=tuple(map(str, folders)), weight=weight, temperature=temperature)
    return dataclasses.replace(recipe, distill=settings)


def stage_of(recipe, data, cache):
    prepared = prepare(recipe, data, cache=cache)
    torch.manual_seed(5)
    cnn = EfficientNetLite(EncoderName(recipe.encoder), recipe.image_size)
    network = WholeNetwork(cnn, build_model(recipe, prepared))
    return FinetuneStage(recipe, recipe.finetune, prepared, network, seed=1)


def said_by(run, pixels, sentence, *, temperature):
    """A teacher's distributions after each word of a sentence, one step at a time."""
    rows = []
    with torch.no_grad():
        image = run.model.image_vector(run.cnn(pixels))
        state = torch.zeros(1, run.model.recurrent.state_size)
        for word in (run.vocabulary.start, *sentence):
            log_probs, state = run.model.step(torch.tensor([word]), state, image)
            rows.append(torch.softmax(log_probs[0] / temperature, dim=0))
    return torch.stack(rows)


def test_soft_targets_are_the_mean_of_what_each_teacher_says_alone(
    two_stages, data, tmp_path, teachers
):
    recipe = learner(two_stages, teachers, temperature=2.0)
    vocabulary = prepare(recipe, data, cache=tmp_path).vocabulary
    ask = read_teachers(recipe.distill, vocabulary, bfloat16=False, device=CPU)
    random = np.random.default_rng(3)
    pixels = torch.from_numpy(random.integers(0, 256, (2, 32, 32, 3), np.uint8))
    sentences = [vocabulary.encode(words) for words in (("a", "red", "wall"), ("blue",))]
    found = ask(pixels, torch.tensor([1, 0]), collate(sentences, vocabulary))
    each = []
    for run in map(read_run, teachers):
        told = [
            said_by(run, pixels[row : row + 1], sentence, temperature=2.0)
            for row, sentence in zip((1, 0), sentences, strict=True)
        ]
        each.append(torch.cat(told))
    assert found.shape == (6, len(vocabulary))
    assert (each[0] - each[1]).abs().max() > 1e-3
    torch.testing.assert_close(found, (each[0] + each[1]) / 2, rtol=1e-3, atol=1e-6)


def test_the_cost_mixes_labels_and_soft_targets_by_weight_and_temperature(
    two_stages, data, tmp_path, teachers
):
    stage = stage_of(learner(two_stages, teachers, weight=0.3, temperature=2.0), data, tmp_path)
    stage.network.eval()
    pictures = stage.augmented([3, 5], np.random.default_rng(0))
    found = float(stage._cost([3, 5], pictures).detach())
    model, vocabulary = stage.network.model, stage._data.vocabulary
    runs = list(map(read_run, teachers))
    hard, soft, words = 0.0, 0.0, 0
    with torch.no_grad():
        vectors = stage.network.cnn(torch.from_numpy(pictures))
        for row, number in enumerate((3, 5)):
            pixels = torch.from_numpy(pictures[row : row + 1])
            for spoken in stage._data.train[number].sentences:
                sentence = vocabulary.encode(spoken)
                each = [said_by(run, pixels, sentence, temperature=2.0) for run in runs]
                image = model.image_vector(vectors[row : row + 1])
                state = torch.zeros(1, model.recurrent.state_size)
                previous = vocabulary.start
                for place, word in enumerate((*sentence, vocabulary.end)):
                    log_probs, state = model.step(torch.tensor([previous]), state, image)
                    hard -= float(log_probs[0, word])
                    wanted = (each[0][place] + each[1][place]) / 2
                    soft -= float(wanted @ torch.log_softmax(log_probs[0] / 2.0, dim=0))
                    words, previous = words + 1, word
    expected = (0.7 * hard + 0.3 * 4.0 * soft) / words / np.log(2)
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_learner_trains_and_its_teachers_do_not_change(two_stages, data, tmp_path, teachers):
    recipe = learner(two_stages, teachers, weight=1.0)
    before = {path: path.read_bytes() for folder in teachers for path in folder.iterdir()}
    prepared = prepare(recipe, data, cache=tmp_path)
    epochs = list(train(recipe, prepared, tmp_path / "run", seed=3, source=str(data)))
    assert epochs[3].train_bits < epochs[2].train_bits
    assert all(not run.model.training for run in prepared.teachers._runs)
    assert {path: path.read_bytes() for folder in teachers for path in folder.iterdir()} == before
    assert read_run(tmp_path / "run").recipe == recipe


def test_a_teacher_with_other_words_is_refused_before_anything_is_computed(
    two_stages, data, tmp_path, teachers
):
    captions = data / "text" / "Flickr8k.token.txt"
    captions.write_text(captions.read_text().replace("wall", "fence"))
    with pytest.raises(OptionError, match="teacher1 has another vocabulary"):
        prepare(learner(two_stages, teachers), data, cache=tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


def test_a_teacher_that_is_no_run_is_refused(two_stages, data, tmp_path):
    with pytest.raises(OptionError, match="nobody is no training run"):
        prepare(learner(two_stages, [tmp_path / "nobody"]), data, cache=tmp_path)
