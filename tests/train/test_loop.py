"""A whole training run on a generated data set, with a feature table in place of a CNN."""

import dataclasses
import json
from itertools import pairwise

import dataset
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training import plan

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import DatasetError, OptionError, TrainingError
from mrnn_edge.image.read import read_pixels
from mrnn_edge.machine import processor
from mrnn_edge_train.loop import train
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.network.model import MRNN, ModelSizes
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import read_recipe
from mrnn_edge_train.stages.batches import Examples
from mrnn_edge_train.stages.validation import perplexity


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


@pytest.fixture
def recipe(data, tmp_path):
    """A small network over features that name the colour, and nothing else."""
    table = dataset.write_table(data, tmp_path / "table.npz")
    return dataclasses.replace(
        read_recipe("flickr8k-lite2"),
        encoder=str(table),
        minimum_count=1,
        embedding=8,
        state=16,
        multimodal=32,
        drop_image=0.0,
        drop_word=0.0,
        drop_multimodal=0.0,
        label_smoothing=0.0,
        l2=1e-6,
        learning_rate=2e-2,
        batch=6,
        epochs=30,
    )


def run(recipe, data, out, cache, seed=1):
    prepared = prepare(recipe, data, cache=cache)
    return list(train(plan(recipe, data, seed=seed), prepared, out))


def kept_perplexity(recipe, data, out, cache):
    """Of the weights that a run kept, on dev."""
    model = MRNN(ModelSizes(**json.loads((out / "run.json").read_text())["sizes"]))
    model.load_state_dict(load_file(out / "best.safetensors"))
    prepared = prepare(recipe, data, cache=cache)
    examples = Examples(prepared.dev, prepared.dev_table, prepared.vocabulary)
    return perplexity(model.eval(), examples.in_order(size=7))


def figures(epochs):
    return [dataclasses.replace(epoch, seconds=0.0) for epoch in epochs]


def test_a_run_learns_and_leaves_its_files(recipe, data, tmp_path):
    epochs = run(recipe, data, tmp_path / "run", tmp_path)
    assert len(epochs) == recipe.epochs
    # Given the colour, one of five sentences remains to be guessed: log2(5) bits over their 23
    # words and end signs divided by five, a perplexity of 1.42. No network can be below it.
    assert 1.41 < epochs[-1].dev_perplexity < 1.6
    assert epochs[-1].dev_perplexity < epochs[0].dev_perplexity / 2
    log = [json.loads(line) for line in (tmp_path / "run/log.ndjson").read_text().splitlines()]
    assert [line["dev_cider"] for line in log] == [epoch.dev_cider for epoch in epochs]
    best = max(epochs, key=lambda epoch: epoch.dev_cider)
    facts = json.loads((tmp_path / "run/run.json").read_text())
    assert facts["machine"] == f"{processor().name}, {torch.get_num_threads()} threads"
    assert facts["best"]["epoch"] == best.epoch
    assert facts["recipe"] == recipe.to_dict()
    assert "<unk>" in json.loads((tmp_path / "run/vocab.json").read_text())
    so_far = np.maximum.accumulate([epoch.dev_cider for epoch in epochs])
    assert [e.best for e in epochs] == [True, *(b > a for a, b in pairwise(so_far))]


def test_the_weights_that_are_kept_are_those_of_the_best_epoch(recipe, data, tmp_path):
    epochs = run(dataclasses.replace(recipe, epochs=8), data, tmp_path / "run", tmp_path)
    best = max(epochs, key=lambda epoch: epoch.dev_cider)
    found = kept_perplexity(recipe, data, tmp_path / "run", tmp_path)
    assert found == pytest.approx(best.dev_perplexity, rel=1e-5)


def test_without_an_image_the_epoch_that_is_kept_has_the_least_perplexity(recipe, data, tmp_path):
    # At such a rate perplexity falls and rises.
    blind = dataclasses.replace(recipe, image=False, epochs=8, learning_rate=0.5)
    epochs = run(blind, data, tmp_path / "run", tmp_path)
    least = min(epochs, key=lambda epoch: epoch.dev_perplexity)
    by_captions = max(epochs, key=lambda epoch: epoch.dev_cider)
    assert by_captions.epoch != least.epoch, "either would be kept"
    facts = json.loads((tmp_path / "run/run.json").read_text())
    assert facts["best"]["epoch"] == least.epoch
    assert [each.epoch for each in epochs if each.best][-1] == least.epoch
    assert not all(each.best for each in epochs), "the last would be kept in any case"
    found = kept_perplexity(blind, data, tmp_path / "run", tmp_path)
    assert found == pytest.approx(least.dev_perplexity, rel=1e-5)


def test_the_same_seed_gives_the_same_figures_and_weights_and_another_does_not(
    recipe, data, tmp_path
):
    recipe = dataclasses.replace(recipe, epochs=3)
    first = run(recipe, data, tmp_path / "a", tmp_path)
    second = run(recipe, data, tmp_path / "b", tmp_path)
    other = run(recipe, data, tmp_path / "c", tmp_path, seed=2)
    assert figures(first) == figures(second)
    assert figures(first) != figures(other)
    weights = [(tmp_path / name / "best.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_the_vocabulary_comes_from_the_training_split_alone(recipe, data, tmp_path):
    captions = data / "text" / "Flickr8k.token.txt"
    captions.write_text(captions.read_text().replace("dev0.png#0\tA", "dev0.png#0\tzebra"))
    words = prepare(recipe, data, cache=tmp_path).vocabulary.words
    assert "zebra" not in words
    assert "wall" in words


def test_a_folder_with_something_in_it_is_refused(recipe, data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").touch()
    with pytest.raises(OptionError, match="not empty"):
        run(recipe, data, tmp_path / "run", tmp_path)


def test_a_cost_that_is_not_finite_stops_the_run(recipe, data, tmp_path):
    recipe = dataclasses.replace(recipe, learning_rate=1e30, clip=1e30)
    with pytest.raises(TrainingError, match=r"the cost of epoch 1 \(features\) is"):
        run(recipe, data, tmp_path / "run", tmp_path)


def test_an_encoder_that_is_neither_name_nor_table_is_refused(recipe, data, tmp_path):
    recipe = dataclasses.replace(recipe, encoder="resnet")
    with pytest.raises(OptionError, match="efficientnet-lite0, efficientnet-lite2"):
        prepare(recipe, data, cache=tmp_path)


def test_the_vectors_are_what_the_cnn_gives_in_float32(two_stages, data, tmp_path):
    prepared = prepare(two_stages, data, cache=tmp_path)
    spec = ImageSpec(height=two_stages.image_size, width=two_stages.image_size)
    cnn = EfficientNetLite(EncoderName(two_stages.encoder), two_stages.image_size)
    pixels = np.stack([read_pixels(image.path, spec) for image in prepared.train])
    for seen, found in (
        (pixels, prepared.train_table.features),
        (pixels[:, :, ::-1].copy(), prepared.train_table.mirrored),
    ):
        np.testing.assert_allclose(found, cnn(torch.from_numpy(seen)).detach(), atol=1e-4)


def test_of_a_table_by_another_program_mirror_images_are_left_out_if_the_recipe_says_so(
    recipe, data, tmp_path
):
    arrays = dict(np.load(recipe.encoder))
    np.savez(recipe.encoder, **arrays, mirrored=arrays["features"])
    assert prepare(recipe, data, cache=tmp_path).train_table.mirrored is not None
    straight = dataclasses.replace(recipe, mirror=False)
    assert prepare(straight, data, cache=tmp_path).train_table.mirrored is None


def test_what_a_data_set_holds_is_said_before_its_pictures_are_looked_at(recipe, data, tmp_path):
    said = []
    with pytest.raises(OptionError, match="is neither an encoder"):
        prepare(dataclasses.replace(recipe, encoder="none"), data, cache=tmp_path, say=said.append)
    assert said[0] == "train: 12 pictures, 60 sentences"
    assert said[-1].endswith(" words")


def test_of_a_hundred_training_pictures_one_may_be_broken_and_is_named(two_stages, tmp_path):
    data = dataset.write(tmp_path / "set", train=100, dev=3, test=2)
    broken = data / "images" / "train7.png"
    broken.write_bytes(b"no picture")
    recipe = dataclasses.replace(two_stages, finetune=None, epochs=1)
    for _ in ("computed", "from the cache"):
        said = []
        prepared = prepare(recipe, data, cache=tmp_path / "cache", say=said.append)
        assert len(prepared.train) == len(prepared.train_table.features) == 99
        assert broken.name not in prepared.train_table.names
        assert said[-1] == "1 training picture cannot be read, left out: train7.png"
    (epoch,) = train(plan(recipe, data), prepared, tmp_path / "run")
    assert np.isfinite(epoch.dev_perplexity)
    (data / "images" / "train8.png").write_bytes(b"no picture either")
    with pytest.raises(DatasetError, match=r"2 of 100 pictures .*train7\.png.*train8\.png"):
        prepare(recipe, data, cache=tmp_path / "cache")


def test_a_broken_dev_picture_ends_the_run_before_it_begins(two_stages, data, tmp_path):
    (data / "images" / "dev1.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"1 of 6 pictures cannot be read: .*dev1\.png"):
        prepare(two_stages, data, cache=tmp_path / "cache")
